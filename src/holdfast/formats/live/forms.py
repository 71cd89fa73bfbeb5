"""Layers whose arrays have another form now than in the file.

Owns finding them: by the names that a translation speaks of, or, in a model of the caller's own, by
their classes and by the shapes of the arrays.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.legacy.cudnn import adapting
from holdfast.formats.legacy.keras1 import Kernels
from holdfast.formats.legacy.keras1_arrays import CONVOLUTIONS, changes
from holdfast.formats.legacy.translation import Translation
from holdfast.formats.live.matching import Form, Match, adapted, within
from holdfast.formats.model_file import ModelFile

_CUDNN = {"LSTM": "CuDNNLSTM", "GRU": "CuDNNGRU"}


def forms_of(model: Any, translation: Translation) -> dict[int, Form]:
    """Return what makes a layer's old arrays new ones, by the `id` of each layer of another form.

    Args:
        model: built of the translated configuration.
        translation: of the configuration.
    """
    return dict(_forms(model, translation, ()))


def forms_of_keras1(
    model: Any, counts: Mapping[str, int], kernels: Kernels | None, file: ModelFile
) -> dict[int, Form]:
    """Return what makes the arrays of Keras 0 and 1 those of a model of the caller's own.

    Args:
        model: built.
        counts: how many arrays the file has of each layer, by the layer's name now.
        kernels: on which backend they were trained.
        file: with these arrays.

    Raises:
        FormatError: there are convolutions, and `kernels` is None.
    """
    found: dict[int, Form] = {}
    normalizing: list[str] = []
    for layer in within(model):
        kind = type(layer).__name__
        if kind in CONVOLUTIONS and kernels is None:
            raise FormatError(
                f"{file.path}: the layer {layer.name!r} has convolution kernels, and files of "
                "Keras 1 do not say on which backend they were trained: Theano turns kernels "
                "around. Say which: kernels='tensorflow' or kernels='theano'"
            )
        ordering = getattr(layer, "data_format", "channels_last")
        fused = {"consume_less": "gpu"} if counts.get(layer.name) == len(layer.weights) else {}
        if kind == "BatchNormalization" and file.major == 1:
            normalizing.append(layer.name)
        change = changes(
            kind,
            {**fused, "epsilon": getattr(layer, "epsilon", 1e-5)},
            ordering,
            turned=kernels == "theano",
            real_std=file.major == 0,
        )
        if change is not None:
            found[id(layer)] = Form(*change)
    if normalizing and file.keras_version == "1":
        warnings.warn(
            f"{file.path} is of Keras 1 and does not say of which: up to 1.0.5 the layer "
            f"{normalizing[0]!r} kept a standard deviation, and here it is taken for the variance "
            "that it kept since. Where it is older, build the model with "
            "holdfast.load_model(the JSON of its architecture), which says the version",
            stacklevel=2,
        )
    return found


def of_cudnn(model: Any, found: Match) -> Match:
    """Return a match in which the arrays of layers that ran on CuDNN have the form of plain ones.

    Their two biases lay in one row, which no plain layer has.
    """
    entries = {id(variable): entry for variable, entry in found.pairs}
    for layer in within(model):
        gates = _CUDNN.get(type(layer).__name__)
        variables = list(layer.weights) if gates else []
        held = [entries[id(v)] for v in variables if id(v) in entries]
        if not gates or len(held) != len(variables) or len(held) != 3:
            continue
        if held[2].shape == (2 * math.prod(held[1].shape[1:]),):
            form = Form(adapting(gates))
            new = adapted(list(zip(variables, held, strict=True)), [layer], {id(layer): form})
            entries |= {id(variable): entry for variable, entry in new}
    pairs = [(variable, entries[id(variable)]) for variable, _ in found.pairs]
    return Match(pairs, found.left, found.hooks)


def inner_model(layer: Any) -> Any:
    """Return the model that a layer is, or wraps; else the layer, or what it wraps."""
    while not hasattr(layer, "layers") and hasattr(layer, "layer"):
        layer = layer.layer
    return layer


def _forms(
    model: Any, translation: Translation, path: tuple[str, ...]
) -> Iterator[tuple[int, Form]]:
    """Yield the `id` of each layer whose arrays have another form now, with what makes it."""
    if not translation.adapt:
        return
    for layer in getattr(model, "layers", []):
        here = (*path, layer.name)
        for name, parts in _parts(layer, translation, here):
            form = Form(translation.adapt[name], translation.old_counts.get(name))
            yield from ((id(part), form) for part in parts)
        yield from _forms(inner_model(layer), translation, here)


def _parts(
    layer: Any, translation: Translation, here: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Yield the names of another form with the layers of that form: a layer, or what it wraps."""
    if here in translation.adapt:
        yield here, [layer]
    if hasattr(layer, "layers"):
        return
    ways = ("forward_layer", "backward_layer")
    wrapped = [part for way in ways if (part := getattr(layer, way, None)) is not None]
    wrapped = wrapped or [part for part in [getattr(layer, "layer", None)] if part is not None]
    for name in translation.adapt:
        if wrapped and name[:-1] == here:
            yield name, wrapped
