"""Optimizers told in older words: `Adam(lr=0.001, decay=1e-6)`, `optimizer.lr`, `adam(...)`.

Owns the arguments and names of optimizers and regularizers. Leaves those of layers to `old_layers`
and `old_inputs`, of callbacks to `old_callbacks` and of models to `old_methods`.

How a rate decays is `old_decay`'s.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras

from holdfast import keras_private
from holdfast.compat import old_decay, old_inputs, old_layers
from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches
from holdfast.compat.translating import Arguments, rename, translate
from holdfast.errors import PlanError
from holdfast.optimizers import SlowNadam

RATE = Old(
    "optimizers' lr=",
    "Keras 2.11",
    "learning_rate=",
    "taken as learning_rate; Keras 2.11 to 2.15 ignored it",
)
DECAY = Old(
    "optimizers' decay=",
    "Keras 2.11",
    "learning_rate=keras.optimizers.schedules.InverseTimeDecay(rate, 1, decay)",
    "each step divides the rate by 1 + decay * iterations, as it did; callbacks may set the rate; "
    "files have the schedule",
)
EPSILON = Old(
    "optimizers' epsilon=None",
    "Keras 2.11",
    "nothing, or epsilon=1e-7",
    "taken as keras.config.epsilon()",
)
SCHEDULE_DECAY = Old(
    "Nadam(schedule_decay=)",
    "Keras 2.11",
    "nothing: its momentum follows another schedule",
    "computes as Nadam did until Keras 2.10 (holdfast.optimizers.SlowNadam)",
)
ATTRIBUTE = Old(
    "optimizer.lr",
    "Keras 3.0",
    "optimizer.learning_rate",
    "gets and sets the learning rate",
)
STRENGTH = Old(
    "keras.regularizers.l2(l=), l1(l=)",
    "Keras 3.0",
    "l2(l2=), l1(l1=)",
    "renamed",
)
LOWER = Old(
    "keras.optimizers.adam(…), sgd(…), rmsprop(…) and the like",
    "Keras 2.4",
    "keras.optimizers.Adam, SGD, RMSprop",
    "makes what the class of today makes",
)

_LOWER = {
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "adam": "Adam",
    "adamax": "Adamax",
    "nadam": "Nadam",
}


def put(patches: Patches) -> None:
    """Let optimizers take what they took, and layers too."""
    old_inputs.put(patches)
    old_layers.put(patches)
    old_decay.put(patches)
    for kind in _kinds():
        translate(patches, kind, "__init__", _arguments)
    for regularizer in (keras.regularizers.L1, keras.regularizers.L2):
        translate(patches, regularizer, "__init__", _strength)
    patches.set(keras.optimizers.Optimizer, "lr", property(_rate, _set_rate))
    for module in keras_private.modules("optimizers"):
        for name, kind_name in _LOWER.items():
            if name not in vars(module):
                patches.set(module, name, _lower(name, getattr(keras.optimizers, kind_name)))


def _kinds() -> list[type]:
    base = keras.optimizers.Optimizer
    found = [value for value in vars(keras.optimizers).values() if isinstance(value, type)]
    return [
        kind
        for kind in dict.fromkeys(found)
        if issubclass(kind, base) and kind is not base and "__init__" in vars(kind)
    ]


def _arguments(optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    rename(kwargs, "lr", "learning_rate", RATE)
    if "epsilon" in kwargs and kwargs["epsilon"] is None:
        met(EPSILON)
        kwargs["epsilon"] = keras.config.epsilon()
    if isinstance(optimizer, keras.optimizers.SGD) and len(args) > 2 and type(args[2]) is float:
        # As the third of Keras 2: today that is nesterov, which is true or false.
        kwargs["decay"] = args[2]
        kwargs |= dict(zip(["nesterov"], args[3:], strict=False))
        args = args[:2]
    if type(optimizer) is keras.optimizers.Nadam and "schedule_decay" in kwargs:
        _slow(optimizer, kwargs)
    told = old_decay.from_file(args[0] if args else kwargs.get("learning_rate"))
    if told is not None:
        rate, decay = told
        if args:
            args = (rate, *args[1:])
        else:
            kwargs["learning_rate"] = rate
        old_decay.begin(optimizer, decay)
    elif decay := kwargs.pop("decay", None):
        _decaying(optimizer, args, kwargs, float(decay))
    return args, kwargs


def _decaying(optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], decay: float) -> None:
    met(DECAY)
    kind = type(optimizer)
    default = inspect.signature(kind).parameters.get("learning_rate")
    rate = args[0] if args else kwargs.get("learning_rate", default.default if default else None)
    if not isinstance(rate, (int, float)):
        raise PlanError(
            f"{kind.__name__}(decay={decay:g}) has learning_rate={rate!r}, and a decay is of a "
            "number: leave decay= out"
        )
    old_decay.begin(optimizer, decay)


def _slow(optimizer: Any, kwargs: dict[str, Any]) -> None:
    """Make an optimizer that is being made a SlowNadam.

    Its class decides how it computes, and the program has named another.
    """
    met(SCHEDULE_DECAY)
    object.__setattr__(optimizer, "__class__", SlowNadam)
    object.__setattr__(optimizer, "schedule_decay", float(kwargs.pop("schedule_decay")))


def _strength(regularizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    rename(kwargs, "l", type(regularizer).__name__.lower(), STRENGTH)
    return args, kwargs


def _lower(name: str, kind: type) -> Any:
    def make(*args: Any, **kwargs: Any) -> Any:
        met(LOWER)
        return kind(*args, **kwargs)

    make.__name__ = name
    return make


def _rate(optimizer: Any) -> Any:
    met(ATTRIBUTE)
    return optimizer.learning_rate


def _set_rate(optimizer: Any, rate: Any) -> None:
    met(ATTRIBUTE)
    optimizer.learning_rate = rate


ROWS = (RATE, DECAY, EPSILON, SCHEDULE_DECAY, ATTRIBUTE, STRENGTH, LOWER)
