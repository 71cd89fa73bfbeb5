"""The trainable variables of a model in the order in which Keras 1 and 2 listed them.

Owns that order, and which of the file's variables those of layers with another form were. It is the
order of the layers in the configuration; Keras 3 sorts the layers of some models otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from holdfast.formats.legacy.translation import Adapt, Translation
from holdfast.formats.model_file import ByLayer, Entry, LayerEntries, ModelFile
from holdfast.types import Json

Arrays = list[Any]


class Rearranged(Exception):  # noqa: N818
    """A layer keeps its arrays in a form now that slots cannot be brought into. Says which."""


@dataclass(frozen=True)
class Group:
    """Variables of the file whose slots together are those of variables of the model.

    Args:
        shapes: of the file's variables.
        variables: of the model.
        convert: makes the slots of the model's variables of those of the file's; None if they are
            the same.
    """

    shapes: tuple[tuple[int, ...], ...]
    variables: tuple[Any, ...]
    convert: Callable[[Arrays], Arrays] | None = None


def groups(model: Any, file: ModelFile, translation: Translation) -> Iterator[Group]:
    """Yield the trainable variables in the order of Keras 1 and 2.

    Args:
        model: built.
        file: that its weights are of.
        translation: by which it was built.

    Raises:
        Rearranged: the slots of a layer cannot follow its arrays into their new form.
    """
    layers = file.weights.layers if isinstance(file.weights, ByLayer) else ()
    seen: set[int] = set()
    found = _of_model(model, file.config, layers, translation, (), ())
    for group in found if file.config is not None else ():
        fresh = [v for v in group.variables if id(v) not in seen]
        seen |= {id(v) for v in fresh}
        if fresh:
            yield group
    for variable in model.trainable_variables:
        if id(variable) not in seen:
            yield _same(variable)


def _of_model(
    model: Any,
    config: Json,
    entries: Sequence[LayerEntries],
    translation: Translation,
    path: tuple[str, ...],
    now: tuple[str, ...],
) -> Iterator[Group]:
    named = {layer.name: layer for layer in getattr(model, "layers", [])}
    held = {part.name: part for part in entries}
    for name, part in _layer_configs(config):
        here = (*path, name)
        layer = named.get(translation.renamed.get(here, name))
        if layer is None:
            continue
        mine, own = (*now, layer.name), held.get(name)
        if mine in translation.adapt:
            yield from _adapted(layer, own.entries if own else (), translation.adapt[mine])
        elif hasattr(layer, "layers"):
            inner = own.layers if own else ()
            yield from _of_model(layer, part, inner, translation, here, mine)
        elif any(other[: len(mine)] == mine for other in translation.adapt):
            yield from _wrapped(layer, own.entries if own else (), translation, mine)
        else:
            yield from map(_same, layer.trainable_variables)


def _wrapped(
    wrapper: Any, entries: Sequence[Entry], translation: Translation, path: tuple[str, ...]
) -> Iterator[Group]:
    """Yield the variables of a layer that wraps one with another form now, or two: each way."""
    ways = [getattr(wrapper, name, None) for name in ("forward_layer", "backward_layer")]
    inner = ways if None not in ways else [getattr(wrapper, "layer", None)]
    adapts = [made for other, made in translation.adapt.items() if other[:-1] == path]
    if len(adapts) != 1 or None in inner or len(entries) % len(inner):
        raise Rearranged(f"the layer {wrapper.name!r} keeps its arrays in another form now")
    count = len(entries) // len(inner)
    for place, layer in enumerate(inner):
        yield from _adapted(layer, entries[place * count : (place + 1) * count], adapts[0])


def _layer_configs(config: Json) -> Iterator[tuple[str, Json]]:
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    for part in layers if isinstance(layers, list) else []:
        arguments = part.get("config") if isinstance(part, dict) else None
        name = part.get("name") if isinstance(part, dict) else None
        if isinstance(arguments, dict):
            name = arguments.get("name", name)
        if isinstance(name, str):
            yield name, part


def _same(variable: Any) -> Group:
    return Group((tuple(variable.shape),), (variable,))


def _adapted(layer: Any, entries: Sequence[Entry], adapt: Adapt) -> Iterator[Group]:
    """Yield the trainable variables of a layer whose arrays have another form now.

    Where the new form only rearranges the elements of the old, that of the slots does too. Which
    goes where is seen by rearranging numbers.
    """
    if not entries:  # only files that list arrays by layer say which were whose
        raise Rearranged(f"the layer {layer.name!r} keeps its arrays in another form now")
    starts = np.cumsum([0, *(math.prod(entry.shape) for entry in entries)])
    numbers = [
        np.arange(start, stop, dtype=np.float64).reshape(entry.shape)
        for entry, (start, stop) in zip(entries, itertools.pairwise(starts), strict=True)
    ]
    made = list(adapt(numbers))
    trainable = {id(variable) for variable in layer.trainable_variables}
    weights = [*layer.trainable_weights, *layer.non_trainable_weights]
    pairs = [(v, a) for v, a in zip(weights, made, strict=False) if id(v) in trainable]
    if not pairs:
        return
    variables = tuple(variable for variable, _ in pairs)
    order = np.concatenate([np.asarray(array, np.float64).ravel() for _, array in pairs])
    used = [
        number
        for number, (start, stop) in enumerate(itertools.pairwise(starts))
        if np.isin(np.arange(start, stop), order).all() and stop > start
    ]
    whole = np.concatenate([np.arange(starts[n], starts[n + 1]) for n in used] or [np.empty(0)])
    if not np.array_equal(np.sort(order), whole):
        raise Rearranged(f"the layer {layer.name!r} keeps its arrays in another form now")
    back = np.searchsorted(whole, order)

    def convert(slots: Arrays) -> Arrays:
        flat = np.concatenate([slot.ravel() for slot in slots])[back]
        ends = np.cumsum([math.prod(variable.shape) for variable in variables])[:-1]
        parts = np.split(flat, ends)
        return [
            part.reshape(tuple(variable.shape))
            for part, variable in zip(parts, variables, strict=True)
        ]

    yield Group(tuple(entries[number].shape for number in used), variables, convert)
