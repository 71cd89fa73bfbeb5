"""Arrays listed by layers, matched with a model's variables.

Owns finding the layer that a name or a place stands for. Leaves the order within a layer to
`matching`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast import keras_private
from holdfast.formats.live.forms import inner_model
from holdfast.formats.live.matching import Form, Match, in_order
from holdfast.formats.model_file import ByLayer, Entry, LayerEntries


def match(
    model: Any,
    weights: ByLayer,
    renamed: Mapping[tuple[str, ...], str],
    forms: Mapping[int, Form],
) -> Match:
    """Match by the layers' names where the model has them all, else by their order.

    Args:
        model: built.
        weights: of a file.
        renamed: of the translation by which the model was built.
        forms: of the layers whose arrays have another form now.
    """
    return _match(model, weights.layers, weights.top, renamed, forms, ())


def _match(
    model: Any,
    layers: Sequence[LayerEntries],
    top: Sequence[Entry],
    renamed: Mapping[tuple[str, ...], str],
    forms: Mapping[int, Form],
    path: tuple[str, ...],
) -> Match:
    found = Match()
    if top:
        own = keras_private.own_variables(model)
        found.pairs += zip(own, top, strict=False)
        found.left += top[len(own) :]
    held = [part for part in layers if _count(part)]
    for part, layer in _paired(model, held, renamed, path):
        if layer is None:
            found.left += _all(part)
        elif part.layers:
            inner = inner_model(layer)
            deeper = (*path, part.name)
            found.add(_match(inner, part.layers, part.entries, renamed, forms, deeper))
        else:
            found.add(in_order(layer, part.entries, forms))
    return found


def _paired(
    model: Any,
    held: Sequence[LayerEntries],
    renamed: Mapping[tuple[str, ...], str],
    path: tuple[str, ...],
) -> Iterator[tuple[LayerEntries, Any]]:
    """Yield what the file holds of each layer with the layer it is for, or None."""
    named = {layer.name: layer for layer in model.layers}
    names = [renamed.get((*path, part.name), part.name) for part in held]
    if all(name in named for name in names):
        yield from ((part, named[name]) for part, name in zip(held, names, strict=True))
        return
    weighty = [layer for layer in model.layers if layer.weights]
    for place, part in enumerate(held):
        yield part, weighty[place] if place < len(weighty) else None


def _count(part: LayerEntries) -> int:
    return len(part.entries) + sum(map(_count, part.layers))


def _all(part: LayerEntries) -> list[Entry]:
    return [*part.entries, *(entry for inner in part.layers for entry in _all(inner))]
