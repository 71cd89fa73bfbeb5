"""A model as HDF5: the whole of it, or its weights, laid out as Keras 2 did.

Owns which groups there are, the names and the order of the arrays. Leaves the dialect of the
configuration to `legacy/to_keras2`, what `compile` was given to `write_training`, and the bytes to
`write_image`.

A whole model is written in the dialect that Keras 2.15 and Keras 3 both open, where there is one
for it; else as Keras 3 alone opens it, and a warning says so and why.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.formats.legacy.to_keras2 import to_keras2
from holdfast.formats.live import write_training
from holdfast.formats.live.describe_objects import configuration, value_of
from holdfast.formats.live.write_image import Image, names_attribute
from holdfast.types import Json

_KERAS_2 = "2.15.0"
# How many reasons a warning lists.
_LISTED = 3


def whole(model: Any, *, compiled: bool = True) -> Iterable[memoryview]:
    """Return a file of a whole model, in pieces.

    Args:
        model: built.
        compiled: write what it was compiled with, and the optimizer's state.

    Raises:
        FormatError: the model has no configuration, or an array that HDF5 cannot hold.
    """
    config = configuration(model)
    _push_flags(config, frozen=False)
    dialect = to_keras2(config)
    training = write_training.describe(model) if compiled else None
    image = Image()
    if dialect.reasons:
        _warn(
            f"{model.name} is written in HDF5 as Keras 3 opens it, and Keras 2 does not",
            dialect.reasons,
        )
        named = config.get("registered_name") or config["class_name"]
        head = {"class_name": named, "config": config["config"]}
        version, backend = keras.__version__, keras.backend.backend()
    else:
        head, version, backend = dialect.config, _KERAS_2, "tensorflow"
        if training is not None and training.reasons:
            _warn(
                f"{model.name} is written in HDF5 so that Keras 2 does not open it but by "
                "load_model(path, compile=False)",
                training.reasons,
            )
    root = image.root
    root.attrs["keras_version"] = version
    root.attrs["backend"] = backend
    root.attrs["model_config"] = json.dumps(head).encode()
    group = root.create_group("model_weights")
    names = _layers(image, group, model, (version, backend))
    if training is not None:
        both = not dialect.reasons and not training.reasons
        config = training.keras2 if both else training.keras3
        root.attrs["training_config"] = json.dumps(config).encode()
        if both:
            arrays = training.arrays_of_keras2(names)
        elif not dialect.reasons:
            arrays = training.arrays_of_newer_keras2()
        else:
            arrays = training.arrays_of_keras3()
        _listed(image, root.create_group("optimizer_weights"), arrays)
    return image.end()


def weights(model: Any) -> Iterable[memoryview]:
    """Return a file of a model's weights, in pieces, as Keras 2 reads it."""
    image = Image()
    _layers(image, image.root, model, (_KERAS_2, "tensorflow"))
    return image.end()


def _push_flags(part: Json, *, frozen: bool) -> None:
    """Give every layer the flag that counts: models within are not frozen as a whole when read.

    Keras 2 forgets the flag of a functional model, and both forget that of a `Sequential`; the
    flags decide in which order arrays are read.
    """
    config = part["config"]
    if not isinstance(config, dict) or "layers" not in config:
        if frozen and isinstance(config, dict) and "trainable" in config:
            config["trainable"] = False
        return
    frozen = frozen or config.get("trainable") is False
    for layer in config["layers"]:
        _push_flags(layer, frozen=frozen)


def _layers(image: Image, group: Any, model: Any, origin: tuple[str, str]) -> dict[int, str]:
    """Add the groups of the layers; returns the name of each variable, by its `id`."""
    names_attribute(group, "layer_names", [layer.name for layer in model.layers])
    version, backend = origin
    group.attrs["keras_version"] = version.encode()
    group.attrs["backend"] = backend.encode()
    names: dict[int, str] = {}
    # By name, so that no layer's group is made within another's before that one is.
    for layer in sorted(model.layers, key=lambda layer: str(layer.name)):
        trainable, others = split(layer, frozen=not model.trainable)
        named = _named(layer, [*trainable, *others])
        names |= {id(variable): name for name, variable in named}
        _listed(image, group.create_group(layer.name), _arrays(named))
    held = {id(variable) for variable in model.weights}
    own = [v for v in keras_private.own_variables(model) if id(v) in held]
    named = _named(model, own)
    _listed(image, group.create_group("top_level_model_weights"), _arrays(named))
    return {id(variable): name for name, variable in named} | names


def split(layer: Any, *, frozen: bool) -> tuple[list[Any], list[Any]]:
    """Return a layer's trainable variables and the others, in the order of files.

    Args:
        layer: or a nested model.
        frozen: whether a model around it is, which counts for all within: see `_push_flags`.
    """
    if isinstance(layer, keras.Model):
        trainable: list[Any] = []
        others: list[Any] = []
        stopped = frozen or not layer.trainable
        for inner in layer.layers:
            first, second = split(inner, frozen=stopped)
            trainable += first
            others += second
        known = {id(variable) for variable in [*trainable, *others]}
        for variable in layer.weights:
            if id(variable) not in known:
                (trainable if variable.trainable and not stopped else others).append(variable)
        return trainable, others
    if frozen or not layer.trainable:
        return [], list(layer.weights)
    # A variable that two layers within share is there once, as Keras 2 has it.
    found = list({id(variable): variable for variable in layer.weights}.values())
    return [v for v in found if v.trainable], [v for v in found if not v.trainable]


def _named(layer: Any, variables: Iterable[Any]) -> list[tuple[str, Any]]:
    """Return variables with names within their layer, as Keras 2 would call them."""
    used: dict[str, Any] = {}
    for variable in variables:
        name = variable_name(layer, variable)
        unique, count = name, 0
        while unique in used:
            count += 1
            unique = f"{name}_{count}"
        used[unique] = variable
    return list(used.items())


def _arrays(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    return ((f"{name}:0", value_of(variable)) for name, variable in named)


def variable_name(layer: Any, variable: Any) -> str:
    """Return a variable's path from its layer on: `dense/kernel`."""
    parts = variable.path.split("/")
    begin = parts.index(layer.name) + 1 if layer.name in parts else 0
    return "/".join([layer.name, *parts[begin:]])


def _listed(image: Image, group: Any, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    names = []
    for name, value in arrays:
        image.array(group, name, value)
        names.append(name)
    names_attribute(group, "weight_names", names)


def _warn(what: str, reasons: list[str]) -> None:
    listed = "; ".join(reasons[:_LISTED])
    more = f"; and {len(reasons) - _LISTED} more" if len(reasons) > _LISTED else ""
    warnings.warn(f"{what}: {listed}{more}", stacklevel=2)
