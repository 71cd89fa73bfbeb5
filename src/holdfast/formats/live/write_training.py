"""What `compile` was given and an optimizer's state, as files of HDF5 have them.

Owns the form that Keras 2.15 and Keras 3 both read, and the one of Keras 3. Leaves the model to
`write_hdf5`, and reading to `compiling` and `optimizer`.

Keras 2.15 has two optimizers of most names. In HDF5 it writes the newer ones in a way of which
Keras 3 makes one with default arguments, and says nothing. So the form of both names the older
ones, whose arguments Keras 3 takes too, and lists the state as those do: one slot of all variables,
then the next. They compute the same but for where RMSprop and Adagrad add epsilon. What they do
not have, Keras 2 cannot be told.

Keras 3 reads no optimizer's state from HDF5, in whatever order it is. Holdfast does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.formats.legacy.to_keras2 import schedule_of_keras2
from holdfast.formats.live.describe_objects import slots_of, value_of
from holdfast.optimizers import saved_variables
from holdfast.types import Json

# The older optimizers of Keras 2: the arguments that both know, and the slots in its order, by the
# names it gives them, with those of Keras 3.
_OPTIMIZERS: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "Adadelta": (
        "rho epsilon",
        (("accum_grad", "accumulated_grad"), ("accum_var", "accumulated_delta_var")),
    ),
    "Adagrad": ("initial_accumulator_value epsilon", (("accumulator", "accumulator"),)),
    "Adam": (
        "beta_1 beta_2 epsilon amsgrad",
        (("m", "momentum"), ("v", "velocity"), ("vhat", "velocity_hat")),
    ),
    "Adamax": ("beta_1 beta_2 epsilon", (("m", "momentum"), ("v", "norm"))),
    "Ftrl": (
        "learning_rate_power initial_accumulator_value l1_regularization_strength "
        "l2_regularization_strength l2_shrinkage_regularization_strength beta",
        (("accumulator", "accumulator"), ("linear", "linear")),
    ),
    "RMSprop": (
        "rho momentum epsilon centered",
        (("rms", "velocity"), ("momentum", "momentum"), ("mg", "average_gradient")),
    ),
    "SGD": ("momentum nesterov", (("momentum", "momentum"),)),
}
_COMMON = ("name", "learning_rate", "clipnorm", "clipvalue", "global_clipnorm")
_LEFT_OUT = frozenset(["ema_momentum", "ema_overwrite_frequency"])

_LOSSES = frozenset(
    """
    BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy
    CategoricalHinge CosineSimilarity Hinge Huber KLDivergence LogCosh MeanAbsoluteError
    MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
    SparseCategoricalCrossentropy SquaredHinge
    """.split()  # noqa: SIM905
)
_METRICS = (_LOSSES - {"BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "Huber"}) | {
    *"""
    AUC Accuracy BinaryAccuracy BinaryIoU CategoricalAccuracy F1Score FBetaScore FalseNegatives
    FalsePositives IoU LogCoshError Mean MeanIoU OneHotIoU OneHotMeanIoU Precision
    PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError SensitivityAtSpecificity
    SparseCategoricalAccuracy SparseTopKCategoricalAccuracy SpecificityAtSensitivity Sum
    TopKCategoricalAccuracy TrueNegatives TruePositives
    """.split()  # noqa: SIM905
} - {"LogCosh"}

# Names that both take for what they are, by the shape of the output.
_BY_SHAPE = frozenset(["accuracy", "acc", "crossentropy", "ce"])

_SHORT = {
    "bce": "BinaryCrossentropy",
    "kld": "KLDivergence",
    "kullback_leibler_divergence": "KLDivergence",
    "kl_divergence": "KLDivergence",
    "logcosh": "LogCosh",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "mse": "MeanSquaredError",
    "msle": "MeanSquaredLogarithmicError",
}

_REDUCTIONS = frozenset(["sum", "sum_over_batch_size", "none", None])
_NEUTRAL = {"axis": -1, "from_sorted_ids": False}


@dataclass
class Training:
    """What a compiled model was compiled with.

    Args:
        optimizer: of the model.
        names: of the model's variables in the file, by the `id` of the variable.
        trainable: the model's trainable variables, in order.
        keras2: as both read it; of no use where there are `reasons`.
        keras3: as Keras 3 reads it.
        reasons: why Keras 2 cannot read it.
    """

    optimizer: Any
    trainable: list[Any]
    keras2: Json = None
    keras3: Json = None
    reasons: list[str] = field(default_factory=list)

    def arrays_of_keras3(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield the optimizer's arrays by name, in the order of Keras 3."""
        variables = saved_variables(self.optimizer)
        names = _distinct(variable.path for variable in variables)
        yield from zip(names, map(value_of, variables), strict=True)

    def arrays_of_newer_keras2(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield the optimizer's arrays in the order of Keras 2's newer optimizers.

        Where the configuration is of Keras 2 and the optimizer is not: Keras 2 does not read it.
        """
        variables = slots_of(self.optimizer)
        names = _distinct(variable.path for variable in variables)
        yield "iteration", value_of(self.optimizer.iterations).astype(np.int64)
        yield from zip(names, map(value_of, variables), strict=True)

    def arrays_of_keras2(self, names: Mapping[int, str]) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield the optimizer's arrays by name, in the order of Keras 2.

        Args:
            names: of the model's variables in the file, by the `id` of the variable.
        """
        kind = type(self.optimizer).__name__
        yield f"{kind}/iter:0", value_of(self.optimizer.iterations).astype(np.int64)
        held = {variable.path: variable for variable in self.optimizer.variables}
        slots = [
            (
                old,
                {id(v): held[path] for v in self.trainable if (path := self._slot(v, new)) in held},
            )
            for old, new in _OPTIMIZERS[kind][1]
        ]
        order = [(old, of, v) for old, of in slots for v in self.trainable if id(v) in of]
        if kind == "Ftrl":
            order = [(old, of, v) for v in self.trainable for old, of in slots if id(v) in of]
        for old, of, variable in order:
            yield f"{kind}/{names[id(variable)]}/{old}:0", value_of(of[id(variable)])

    def _slot(self, variable: Any, slot: str) -> str:
        """Return the path that Keras 3 gives an optimizer's slot for a variable."""
        return f"{self.optimizer.name}/{variable.path.replace('/', '_')}_{slot}"


def describe(model: Any) -> Training | None:
    """Return what a model was compiled with, or None where it was not."""
    if not getattr(model, "compiled", False) or getattr(model, "optimizer", None) is None:
        return None
    given = model.get_compile_config()
    if not given:
        return None
    given = json.loads(json.dumps(given, default=float))
    training = Training(model.optimizer, list(model.trainable_variables))
    writer = _Writer(training.reasons)
    common = {
        "loss": writer.nested(given.get("loss"), "loss"),
        "metrics": writer.nested(given.get("metrics"), "metric"),
        "weighted_metrics": writer.nested(given.get("weighted_metrics"), "metric"),
        "loss_weights": given.get("loss_weights"),
    }
    optimizer = given["optimizer"]
    training.keras3 = {**common, "optimizer_config": optimizer}
    training.keras2 = {**common, "optimizer_config": writer.optimizer(optimizer)}
    return training


class _Writer:
    def __init__(self, reasons: list[str]) -> None:
        self._reasons = reasons

    def nested(self, given: Json, what: str) -> Json:
        """Return losses or metrics, in whatever they are nested, each as an object."""
        if isinstance(given, str):
            return self._by_name(given, what)
        if isinstance(given, list):
            return [self.nested(part, what) for part in given]
        if not isinstance(given, dict):
            return given
        if "class_name" not in given:
            return {name: self.nested(part, what) for name, part in given.items()}
        return self._object(given, what)

    def _by_name(self, name: str, what: str) -> Json:
        # Keras 3 does not read back every name that it takes.
        if what == "metric" and name in _BY_SHAPE:
            return name
        known = _LOSSES if what == "loss" else _METRICS
        kind = _SHORT.get(name.lower()) or "".join(map(str.capitalize, name.split("_")))
        if what == "metric" and kind == "LogCosh":
            kind = "LogCoshError"
        kind = name if name in known else kind
        if kind not in known:
            self._reasons.append(f"the {what} {name!r} is not one that Keras 2 has")
            return name
        module = "keras.losses" if what == "loss" else "keras.metrics"
        return _object(module, kind, {"name": name if what == "metric" else _snake(kind)})

    def _object(self, given: Mapping[str, Any], what: str) -> Json:
        kind, config = given["class_name"], given["config"]
        known = _LOSSES if what == "loss" else _METRICS
        if kind == "function" and given.get("module") == "builtins" and isinstance(config, str):
            return self._by_name(config, what)
        module = given.get("module") or ""
        if kind not in known or not module.startswith("keras.") or not isinstance(config, dict):
            self._reasons.append(
                f"the {what} {given.get('registered_name') or kind} is not one that Keras 2 has"
            )
            return dict(given)
        kept = {
            key: _dtype(value) if key == "dtype" else value
            for key, value in config.items()
            if not (key in _NEUTRAL and value == _NEUTRAL[key])
        }
        if what == "loss":
            kept.pop("dtype", None)
        if kept.get("reduction") not in _REDUCTIONS:
            self._reasons.append(f"the {what} {kind} has reduction={kept['reduction']!r}")
            return dict(given)
        return _object(module, kind, kept)

    def optimizer(self, given: Mapping[str, Any]) -> Json:
        """Return an optimizer as both read it."""
        kind = given["class_name"]
        if kind not in _OPTIMIZERS or given.get("module") != "keras.optimizers":
            self._reasons.append(f"the optimizer {kind} is not one that Keras 2 reads in HDF5")
            return None
        known = {*_COMMON, *_OPTIMIZERS[kind][0].split()}
        config: dict[str, Any] = {}
        for key, value in given["config"].items():
            if key in known:
                if value is not None:
                    config[key] = value
            elif value not in (None, False) and key not in _LEFT_OUT:
                self._reasons.append(f"the optimizer has {key}={value!r}, which Keras 2 does not")
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            config["learning_rate"], reasons = schedule_of_keras2(rate)
            self._reasons += reasons
        return _object("keras.optimizers", kind, config)


def _object(module: str, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": kind,
        "config": dict(config),
        "registered_name": None,
    }


def _dtype(value: Any) -> Any:
    return value["config"]["name"] if isinstance(value, dict) else value


def _snake(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()


def _distinct(names: Iterable[str]) -> Iterator[str]:
    used: set[str] = set()
    for name in names:
        unique, count = name, 0
        while unique in used:
            count += 1
            unique = f"{name}_{count}"
        used.add(unique)
        yield unique
