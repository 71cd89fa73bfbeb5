"""What the names of older Keras are called today.

Owns the table of names that have another name, beside that of `old_members`. Leaves modules that
are gone to the table of `gone`, and changing a program to the modules beside it. Keras itself is
asked what it has.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import types
from typing import Any

from holdfast.compat.gone import GONE, WITHIN
from holdfast.compat.old_members import MOVED
from holdfast.formats.legacy.keras1_names import CLASSES

_KERAS = (
    "tensorflow.compat.v1.keras",
    "tensorflow.compat.v2.keras",
    "tensorflow.contrib.keras.python.keras",
    "tensorflow.contrib.keras.api.keras",
    "tensorflow.contrib.keras",
    "tensorflow.python.keras",
    "tensorflow.keras",
    "keras.api._v2.keras",
    "keras.api._v1.keras",
    "keras.api",
    "keras.src",
)
_ACTIVATIONS = ("elu", "leaky_relu", "relu", "relu6", "selu", "sigmoid", "softmax", "softplus")
_ERRORS = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
}
_OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "Adamax", "Nadam")
_MOVED = {
    **{old: new for old, (_, new) in MOVED.items() if new.startswith("keras.")},
    **{f"tensorflow.nn.{name}": f"keras.activations.{name}" for name in _ACTIVATIONS},
    "tensorflow.nn.tanh": "keras.activations.tanh",
    "tensorflow.__version__": "keras.__version__",
    "tensorflow.tanh": "keras.activations.tanh",
    "tensorflow.sigmoid": "keras.activations.sigmoid",
    "tensorflow.random.set_seed": "keras.utils.set_random_seed",
    "tensorflow.set_random_seed": "keras.utils.set_random_seed",
    "tensorflow.compat.v1.set_random_seed": "keras.utils.set_random_seed",
    "tensorflow.random.set_random_seed": "keras.utils.set_random_seed",
    "tensorflow.compat.v1.random.set_random_seed": "keras.utils.set_random_seed",
    **{
        f"keras.{module}.{name}": f"keras.{module}.{new}"
        for module in ("losses", "metrics")
        for old, new in _ERRORS.items()
        for name in (old, old.upper())
    },
    "keras.losses.logcosh": "keras.losses.log_cosh",
    **{f"keras.optimizers.{name.lower()}": f"keras.optimizers.{name}" for name in _OPTIMIZERS},
    **{
        f"keras.layers.{old}": f"keras.layers.{new}"
        for old, new in CLASSES.items()
        if old != "TimeDistributedDense"
    },
    "keras.utils.visualize_util.plot": "keras.utils.plot_model",
    "keras.utils.vis_utils.plot": "keras.utils.plot_model",
    "keras.experimental.CosineDecay": "keras.optimizers.schedules.CosineDecay",
    "keras.backend.random_normal": "keras.random.normal",
    "keras.backend.random_uniform": "keras.random.uniform",
}
# There, but made to raise as soon as they are used.
_HOLLOW = ("keras.optimizers.legacy", "keras.src", "keras._tf_keras")


@functools.cache
def today(name: str) -> str | None:
    """Return where today's Keras has what older ones, or TensorFlow, have as `name`.

    Args:
        name: a full name: `tensorflow.keras.layers.core.Dense`.

    Returns:
        The full name today, `keras.layers.Dense`; None where there is nothing of that name.
    """
    name = within_keras(_MOVED.get(name, name))
    name = _MOVED.get(name, name)
    if name == "keras":
        return name
    if not name.startswith("keras."):
        return None
    if alive(name):
        return name
    module, _, last = name.rpartition(".")
    module = WITHIN.get(module, module)
    for new in GONE[module].today if module in GONE else ():
        found = today(f"{new}.{last}")
        if found is not None:
            return found
    return None


def within_keras(name: str) -> str:
    """Return a name of `tensorflow.keras` as one of `keras`, another as it is."""
    for prefix in _KERAS:
        if name == prefix or name.startswith(f"{prefix}."):
            return "keras" + name.removeprefix(prefix)
    return name


@functools.cache
def meant(name: str) -> str | None:
    """Return the one name of today's Keras that `name` is a slip of the pen for, or None.

    Args:
        name: a full name that `today` does not know.
    """
    name = within_keras(name)
    if not name.startswith("keras.") or name.startswith("keras.backend."):
        return None
    found = "keras"
    for part in name.split(".")[1:]:
        if alive(f"{found}.{part}"):
            found = f"{found}.{part}"
            continue
        near = nearest(part, [each for each in dir(value(found)) if not each.startswith("_")])
        if near is None:
            return None
        found = f"{found}.{near}"
    return found


def nearest(word: str, words: list[str]) -> str | None:
    """Return the only one of `words` that differs from `word` by a slip, or None."""
    near = [
        each
        for each in difflib.get_close_matches(word, words, n=2, cutoff=0.85)
        if abs(len(each) - len(word)) <= 2
    ]
    return near[0] if len(near) == 1 else None


@functools.cache
def alive(name: str) -> bool:
    """Return whether today's Keras has `name`."""
    if name.startswith(_HOLLOW):
        return False
    try:
        value(name)
    except (AttributeError, ImportError):
        return False
    return True


def value(name: str) -> Any:
    """Return what `name` is in today's Keras.

    Args:
        name: a full name: `keras.layers.Dense`.

    Raises:
        AttributeError: Keras has no such name.
    """
    import keras

    found: Any = keras
    at = "keras"
    for part in name.split(".")[1:]:
        at = f"{at}.{part}"
        if not hasattr(found, part) and isinstance(found, types.ModuleType):
            try:
                found = importlib.import_module(at)
            except ImportError:
                raise AttributeError(at) from None
        else:
            found = getattr(found, part)
    return found
