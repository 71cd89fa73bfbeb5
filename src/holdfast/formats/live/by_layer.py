"""Arrays listed by layers, matched with a model's variables.

Owns finding the layer that a name or a place stands for. Leaves the order within a layer to
`matching`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast import keras_private
from holdfast.formats.live.forms import inner_model
from holdfast.formats.live.matching import Form, Match, in_order, missing
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


def match_named(model: Any, weights: ByLayer, forms: Mapping[int, Form]) -> tuple[Match, list[Any]]:
    """Match the layers whose names both have; what else there is on either side is left alone.

    Args:
        model: built.
        weights: of a file.
        forms: of the layers whose arrays have another form now.

    Returns:
        The match, and the variables of those layers: what is missing of them differs. Of a layer
        that has another number of arrays in the file, none is matched.
    """
    found, wanted = Match(), []
    named = {layer.name: layer for layer in model.layers}
    for part in weights.layers:
        layer = named.get(part.name)
        if layer is None:
            continue
        wanted += layer.weights
        if part.layers:
            of_layer = _match(inner_model(layer), part.layers, part.entries, {}, forms, ())
        else:
            of_layer = in_order(layer, part.entries, forms)
        hooked = [inner for inner, _ in of_layer.hooks]
        if of_layer.left or missing(layer, of_layer.pairs, hooked):
            of_layer = Match(left=_all(part))
        found.add(of_layer)
    if weights.top:
        own = keras_private.own_variables(model)
        wanted += own
        found.pairs += zip(own, weights.top, strict=False)
        found.left += weights.top[len(own) :]
    return found, wanted


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
