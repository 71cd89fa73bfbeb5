"""A plan in words: what must be the same for a run to go on with the same bits.

Owns the description of model, optimizer, losses and metrics as JSON, and the comparison of
two descriptions. Names that Keras makes up (`dense_2`) are replaced by the layer's place, so
that building the same model twice in a notebook is no change.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from holdfast.state import buffers, variables
from holdfast.types import Json

# A seed that nobody chose is another one in every process, and the state that grew from it is
# in the checkpoint.
_NOT_ARCHITECTURE = {"build_config", "compile_config", "registered_name", "module", "name", "seed"}
_NOT_TRAINING = {"run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss"}
_LONGEST = 60


def describe_model(model: Any) -> Json:
    """Return a model's class, its layers and the shapes of its variables."""
    # A subclassed model need not have a configuration: its layers then speak for it.
    config = _configuration(model.get_config) or {"layers": [_layer(part) for part in model.layers]}
    places = dict(_places(config))
    trainable, fixed, *_ = variables.groups(model)
    modules = [str(module) for module in buffers.wrapped(model)]
    return {
        "class": type(model).__name__,
        **({"PyTorch modules": modules} if modules else {}),
        **_without_names(config, places),
        "trainable variables": [_shape(variable) for variable in trainable],
        "other variables": [_shape(variable) for variable in fixed],
    }


def describe_training(model: Any) -> dict[str, Json]:
    """Return a model's optimizer, losses and metrics, each under its topic."""
    compiled = _configuration(model.get_compile_config) or {"loss": _plain(model.loss)}
    described = {
        topic: _without_names(_spelt(topic, value), {})
        for topic, value in compiled.items()
        if topic not in _NOT_TRAINING and topic != "optimizer"
    }
    optimizer = model.optimizer
    config = _without_names(_configuration(optimizer.get_config), {})
    described["optimizer"] = {"class": type(optimizer).__name__, **config}
    return described


def differences(then: Json, now: Json, name: str = "") -> list[tuple[str, str, str]]:
    """Return where two descriptions differ, each as (name, then, now)."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        keys = [*then, *(key for key in now if key not in then)]
        pairs = [(key, then.get(key), now.get(key)) for key in keys]
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = [(str(n), *pair) for n, pair in enumerate(zip(then, now, strict=True), start=1)]
    else:
        return [] if then == now else [(name, short(then), short(now))]
    return [
        difference
        for key, a, b in pairs
        for difference in differences(a, b, f"{name}, {key}" if name else str(key))
    ]


def _configuration(get: Callable[[], Any]) -> dict[str, Json]:
    """Return a configuration as JSON, or an empty one where its object cannot give one.

    It may be a user's own code: a description is no reason to refuse a training, nor to warn.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _plain(get()) or {}
        except Exception:
            return {}


def _layer(layer: Any) -> Json:
    config = _configuration(layer.get_config)
    inner = [_layer(part) for part in getattr(layer, "layers", [])]
    return {"class_name": type(layer).__name__, "config": config, "layers": inner}


def _plain(value: Any) -> Json:
    """Return a configuration as JSON; what has no JSON form is named by its class."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        if value.get("class_name") == "__lambda__":
            return "lambda"  # its bytecode holds line numbers: an edit above it is no change
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part) for part in value]
    return getattr(value, "__qualname__", type(value).__qualname__)


def _places(config: Json) -> Iterator[tuple[str, str]]:
    """Yield each layer's name with what stands for it: its class and its place."""
    number = 0
    for part in _objects(config):
        inner = part.get("config")
        if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
            number += 1
            yield inner["name"], f"{part.get('class_name')} {number}"


def _objects(config: Json) -> Iterator[Mapping[str, Json]]:
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for part in config.values():
            yield from _objects(part)
    elif isinstance(config, list):
        for part in config:
            yield from _objects(part)


def _without_names(config: Json, places: Mapping[str, str]) -> Any:
    if isinstance(config, Mapping):
        return {
            key: _without_names(part, places)
            for key, part in config.items()
            if key not in _NOT_ARCHITECTURE
        }
    if isinstance(config, list):
        return [_without_names(part, places) for part in config]
    return places.get(config, config) if isinstance(config, str) else config


def _spelt(topic: str, config: Json) -> Json:
    """Return losses, or metrics, as short as they can be said.

    `"mse"`, its long name and its object with nothing set are the same; which of them a model has
    depends on whether it was made or loaded.
    """
    if isinstance(config, list):
        return [_spelt(topic, part) for part in config]
    if isinstance(config, Mapping):
        kind, inner = config.get("class_name"), config.get("config")
        if kind == "function" and isinstance(inner, str):
            return _spelt(topic, inner)
        if kind is None:
            return {key: _spelt(topic, part) for key, part in config.items()}
        return _usual(keras.losses if topic == "loss" else keras.metrics, kind, inner) or config
    if isinstance(config, str) and topic == "loss":
        with contextlib.suppress(Exception):
            return str(keras.losses.get(config).__name__)
    return config


def _usual(module: Any, kind: Json, config: Json) -> str | None:
    """Return the name of a loss or metric of Keras's with nothing set, or None for any other."""
    found = getattr(module, str(kind), None)
    if not isinstance(found, type) or not isinstance(config, Mapping):
        return None
    unset = {"name": "", "dtype": ""}
    with contextlib.suppress(Exception):  # it may need arguments
        usual = found().get_config()
        if {**usual, **config, **unset} == {**usual, **unset}:
            return str(config.get("name") or usual["name"])
    return None


def _shape(variable: Any) -> Json:
    return [_type(variable), list(variable.shape)]


def _type(variable: Any) -> str:
    """Return a variable's type, as it is on JAX where Keras has another for each backend."""
    name = str(variable.dtype)
    if variable.path.endswith("seed_generator_state"):
        return "uint32"
    if name == "int64" and keras.config.backend() == "tensorflow":
        return "int32"  # what Keras calls "int"
    return name


def short(value: Json) -> str:
    """Return a value as differences show it."""
    text = repr(value)
    if isinstance(value, float) and float(np.float32(value)) == value:
        text = str(np.float32(value))  # a variable's value, in as many digits as it has
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
