"""`compile` told in older words.

Owns its arguments that are gone, and the names of losses and metrics that today's Keras refuses.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras

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
    translate(patches, keras.Model, "compile", _of_compile)


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
    bound = inspect.signature(keras.Model.compile).bind_partial(model, *args, **kwargs).arguments
    told = {name: value for name, value in bound.items() if name != "self"}
    for name, one in (("loss", _loss), ("metrics", _metric), ("weighted_metrics", _metric)):
        if told.get(name) is not None:
            told[name] = _each(told[name], one)
    return (), told


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


ROWS = (COMPILE, COMPILE_1, LOSSES, METRICS)
