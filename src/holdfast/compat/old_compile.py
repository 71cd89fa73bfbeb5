"""`compile` told in older words.

Owns its arguments that are gone, and the names and forms of losses and metrics that today's Keras
refuses. Leaves what a program's own losses and metrics are given to `old_targets`.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras

from holdfast.compat import old_targets
from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches
from holdfast.compat.translating import Arguments, translate
from holdfast.errors import UnsupportedError
from holdfast.formats.legacy.losses import FUNCTIONS

COMPILE = Old(
    "compile(sample_weight_mode=, target_tensors=None)",
    "Keras 3.0",
    "nothing: weights by step are known by their shape",
    "dropped",
)
COMPILE_1 = Old(
    "compile(class_mode=)",
    "Keras 2.0",
    "nothing",
    "dropped",
)
LOSSES = Old(
    "the losses kullback_leibler_divergence, cosine_proximity, cosine",
    "Keras 3.0",
    "kl_divergence, cosine_similarity",
    "taken as these",
)
METRICS = Old(
    "the metrics kld, kullback_leibler_divergence, cosine_proximity, logcosh",
    "Keras 3.0",
    "keras.metrics.KLDivergence() and the like",
    "taken as these, by their old names",
)

ALONE = Old(
    "compile(metrics='accuracy')",
    "Keras 3.0",
    "compile(metrics=['accuracy'])",
    "taken as a list of it",
)
OUTPUTS = Old(
    "compile(metrics=['accuracy']) of a model with several outputs",
    "Keras 3.0",
    "compile(metrics=[['accuracy'], ['accuracy']]), a list for each output",
    "taken for each output; as many metrics as outputs are one for each, as today's Keras has it",
)
WEIGHTED = Old(
    "compile(loss='mse', loss_weights=[1, 0.5]) of a model with several outputs",
    "Keras 3.7",
    "compile(loss=['mse', 'mse'], loss_weights=[1, 0.5])",
    "the loss is taken for each output",
)
PARTLY = Old(
    "compile(loss={'a': 'mse'}) of a model with the outputs a and b",
    "Keras 3.7",
    "compile(loss={'a': 'mse', 'b': None})",
    "taken so: an output without a loss is not trained",
)

_LOSSES = {
    "kullback_leibler_divergence": "kl_divergence",
    "cosine_proximity": "cosine_similarity",
    "cosine": "cosine_similarity",
}
_COMPILE = {
    "sample_weight_mode": COMPILE,
    "target_tensors": COMPILE,
    "class_mode": COMPILE_1,
}


def put(patches: Patches) -> None:
    """Let `compile` take what it took."""
    # Where it is defined: Keras compiles no model from a file whose class has another.
    owner = next(kind for kind in keras.Model.__mro__ if "compile" in vars(kind))
    translate(patches, owner, "compile", _of_compile)
    old_targets.put(patches)


def _of_compile(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    for name, row in _COMPILE.items():
        if name in kwargs:
            met(row)
            if name == "target_tensors" and kwargs[name] is not None:
                raise UnsupportedError(
                    "compile(target_tensors=…) was for graphs of TensorFlow 1: pass the targets "
                    "to fit, or a loss by model.add_loss in a layer"
                )
            del kwargs[name]
    # Keras's own: a program may have put its own in the place of what is called.
    signature = inspect.signature(super(keras.Model, keras.Model).compile)
    bound = signature.bind_partial(model, *args, **kwargs).arguments
    told = {name: value for name, value in bound.items() if name != "self"}
    names = getattr(model, "output_names", None) or ["output"]
    if told.get("loss") is not None:
        told["loss"] = _each(told["loss"], _loss)
        if len(names) > 1:
            told["loss"] = _losses(told["loss"], told.get("loss_weights"), names)
    for name in ("metrics", "weighted_metrics"):
        if told.get(name) is not None:
            told[name] = _metrics(_each(told[name], _metric), names)
    return (), told


def _losses(loss: Any, weights: Any, names: list[str]) -> Any:
    """Return the losses of several outputs in the form that today's Keras takes."""
    if isinstance(loss, dict) and loss.keys() < set(names):
        met(PARTLY)
        return {name: loss.get(name) for name in names}
    if isinstance(loss, (list, tuple, dict)) or not isinstance(weights, (list, tuple, dict)):
        return loss
    met(WEIGHTED)
    return [loss] * len(names)


def _metrics(told: Any, names: list[str]) -> Any:
    """Return metrics in the form that today's Keras takes."""
    if not isinstance(told, (list, tuple, dict)):
        met(ALONE)
        told = [told]
    if isinstance(told, dict):
        return told
    flat = not any(isinstance(part, (list, tuple, dict)) for part in told)
    # As many as outputs are taken today, with another meaning: that one counts.
    if flat and told and len(names) > 1 and len(told) != len(names):
        met(OUTPUTS)
        return [_again(told) for _ in names]
    return [part for part in told if part is not None] if len(names) == 1 else told


def _again(told: Any) -> list[Any]:
    """Return metrics for one more output: an object counts for one alone."""
    kind = keras.metrics.Metric
    return [
        type(part).from_config(part.get_config()) if isinstance(part, kind) else part
        for part in told
        if part is not None
    ]


def _each(value: Any, one: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each(part, one) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_each(part, one) for part in value)
    return one(value) if isinstance(value, str) else value


def _loss(name: str) -> str:
    if name not in _LOSSES:
        return name
    met(LOSSES)
    return _LOSSES[name]


def _metric(name: str) -> Any:
    """Return a metric of today for a name that today's Keras refuses."""
    if name.lower() not in FUNCTIONS:
        return name
    try:
        keras.metrics.get(name)
    except ValueError:
        met(METRICS)
        return getattr(keras.metrics, FUNCTIONS[name.lower()])(name=name)
    return name


ROWS = (COMPILE, COMPILE_1, LOSSES, METRICS, ALONE, OUTPUTS, WEIGHTED, PARTLY)
