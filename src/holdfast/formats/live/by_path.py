"""Arrays named by the path of attributes, as `.keras` and `.weights.h5` have them.

Owns finding the layer and the variable that a path such as
`layers/bidirectional/forward_layer/cell/vars/0` leads to. Leaves files of Keras 2 to `by_group`,
the optimizer's arrays to `optimizer`, and layers that save in a form of their own to themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from holdfast import keras_private
from holdfast.errors import FormatError
from holdfast.formats.live.matching import (
    Match,
    in_order,
    likeliest,
    loads_by_itself,
    repeated,
    with_twins,
)
from holdfast.formats.model_file import ByPath, Entry

# What is saved beside the model itself.
_BESIDE = ("optimizer", "_metrics", "metrics", "_loss_tracker", "_compile_metrics", "_compile_loss")


def match(model: Any, weights: ByPath) -> Match:
    """Match a model with a file that was written of the same classes.

    Args:
        model: built.
        weights: of the file.
    """
    entries = _tree(own(weights))
    copies = frozenset(map(id, repeated(model)))
    tried = [_match_tree(model, entries, frozenset())]
    if copies:
        tried.append(with_twins(model, _match_tree(model, entries, copies)))
    if attributes := _attributes(model, entries):
        # A model by subclass of Keras 2 counts only the layers that are in no attribute's group.
        tried.append(_match_tree(model, entries, attributes))
    return likeliest(tried)


def _attributes(model: Any, tree: Tree) -> frozenset[int]:
    """Return the `id`s of the layers that have a group by the name of their attribute."""
    owned = [getattr(model, name, None) for name in tree if not hasattr(keras.Model, name)]
    return frozenset(id(layer) for layer in owned if isinstance(layer, keras.Layer))


def own(weights: ByPath) -> dict[str, Entry]:
    """Return the arrays of the model itself: none of its optimizer's or its metrics'."""
    beside = tuple(f"{name}/" for name in _BESIDE)
    return {p: entry for p, entry in weights.entries.items() if not p.startswith(beside)}


def match_object(owner: Any, entries: Mapping[str, Entry]) -> Match:
    """Match what a group holds with the object that it was saved of.

    Args:
        owner: a layer, a model, or a container of layers.
        entries: by their paths within the group.
    """
    return _match_tree(owner, _tree(entries), frozenset())


def owners(model: Any, paths: Iterator[str] | Sequence[str]) -> Iterator[tuple[Any, str]]:
    """Yield the object that each path of a group leads to, with the path; None is left out."""
    for path in paths:
        found: Any = model
        for name in path.split("/"):
            found = _child(found, name, frozenset())
        if found is not None:
            yield found, path


Tree = dict[str, Any]


def _tree(entries: Mapping[str, Entry]) -> Tree:
    root: Tree = {}
    for path, entry in entries.items():
        node = root
        *groups, last = path.split("/")
        for name in groups:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise FormatError(f"{path}: a part of it is an array and a group at once")
        if last in node:
            raise FormatError(f"{path}: it is an array and a group at once")
        node[last] = entry
    return root


def _match_tree(layer: Any, tree: Tree, uncounted: frozenset[int]) -> Match:
    """Match a tree of groups with an object, as if layers of these `id`s were not in containers."""
    found = Match()
    for name, part in tree.items():
        if isinstance(part, Entry):
            found.left.append(part)
        elif name == "vars":
            found.add(_match_variables(layer, part))
        else:
            inner = _child(layer, name, uncounted)
            if inner is None:
                found.left += _entries(part)
            else:
                found.add(_match_tree(inner, part, uncounted))
    return found


def _match_variables(layer: Any, group: Tree) -> Match:
    entries = {name: entry for name, entry in group.items() if isinstance(entry, Entry)}
    if not isinstance(layer, keras.Layer):
        return Match(left=list(entries.values()))
    own = keras_private.own_variables(layer)
    numbered = set(entries) == {str(place) for place in range(len(entries))}
    if numbered and len(entries) == len(own):
        pairs = [(variable, entries[str(place)]) for place, variable in enumerate(own)]
        return Match(pairs)
    if numbered and not own and len(entries) == len(layer.weights):
        # What is a cell's now was the layer's own.
        return in_order(layer, [entries[str(place)] for place in range(len(entries))], {})
    if loads_by_itself(layer):
        return Match(hooks=[(layer, entries)])
    in_place = [entries[name] for name in sorted(entries, key=_number)]
    return Match(list(zip(own, in_place, strict=False)), in_place[len(own) :])


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 62, name)


def _entries(tree: Tree) -> list[Entry]:
    return [
        entry
        for part in tree.values()
        for entry in ([part] if isinstance(part, Entry) else _entries(part))
    ]


def _child(owner: Any, name: str, uncounted: frozenset[int]) -> Any | None:
    """Return what an object has under the name of a group, or None."""
    if isinstance(owner, (list, tuple, dict)):
        parts = list(owner.values()) if isinstance(owner, dict) else list(owner)
        groups = dict(_counted([part for part in parts if id(part) not in uncounted]))
        return groups.get(name, groups.get(name.replace("cu_dnn", "")))  # now the plain layer
    for attribute in (name, f"_{name}", name.lstrip("_")):
        # Only what the object really has: a property may compute.
        found = getattr(owner, attribute, None)
        if isinstance(found, (keras.Layer, list, tuple, dict)):
            return found
    return None


def _counted(parts: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a container with the names of their groups, as Keras counts them."""
    counts: dict[str, int] = {}
    for part in parts:
        if isinstance(part, (list, tuple, dict)):
            base = "container"
        elif isinstance(part, keras.Layer):
            base = keras_private.to_snake_case(type(part).__name__)
        else:
            continue
        yield counted(counts, base), part


def counted(counts: dict[str, int], base: str) -> str:
    """Return the next name of a group: `dense`, `dense_1`. `counts` is what there was so far."""
    count = counts.get(base, 0)
    counts[base] = count + 1
    return f"{base}_{count}" if count else base
