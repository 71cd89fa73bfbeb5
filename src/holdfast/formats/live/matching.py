"""What it means that arrays of a file are matched with variables of a model.

Owns the value that the four ways of matching give, and the order in which Keras 1 and 2 listed a
layer's variables.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.formats.legacy.translation import Adapt
from holdfast.formats.model_file import Entry

# Names of variables that Keras 3 calls otherwise.
RENAMED = {
    "depthwise_kernel": "kernel",
    "adapt_mean": "mean",
    "adapt_variance": "variance",
    "sn_u": "vector_u",
    "moving_var": "moving_variance",
}


@dataclass
class Match:
    """Which array is for which variable.

    Args:
        pairs: variables with their arrays; shapes may differ.
        left: arrays that are for no variable.
        hooks: layers that load what they saved by themselves, with what is theirs by its key.
    """

    pairs: list[tuple[Any, Entry]] = field(default_factory=list)
    left: list[Entry] = field(default_factory=list)
    hooks: list[tuple[Any, dict[str, Entry]]] = field(default_factory=list)

    def add(self, other: Match) -> None:
        """Take over what another has matched."""
        self.pairs += other.pairs
        self.left += other.left
        self.hooks += other.hooks


@dataclass(frozen=True)
class Form:
    """What makes a layer's old arrays new ones, and how many old ones there are, if not as many."""

    adapt: Adapt
    old_count: int | None = None


def in_order(layer: Any, entries: Sequence[Entry], forms: Mapping[int, Form]) -> Match:
    """Match a layer's arrays, in the order that Keras 1 and 2 listed them, with its variables.

    The order was: trainable variables, then the others, by the flags at the time of saving. Where
    the flags differ now, names and shapes tell which order it was.

    Args:
        layer: a layer or a nested model.
        entries: all of its arrays.
        forms: by the `id` of the layer, of this layer and those within it.
    """
    if entries and not layer.weights and loads_by_itself(layer):
        numbered = {str(place): entry for place, entry in enumerate(entries)}
        return Match(hooks=[(layer, numbered)])
    changed = [inner for inner in within(layer) if id(inner) in forms]
    if any(forms[id(inner)].old_count is not None for inner in changed):
        slots = [*_slots(layer, forms, True), *_slots(layer, forms, False)]
        pairs = list(zip(slots, entries, strict=False))
        return Match(list(_changed(pairs, forms)), list(entries[len(slots) :]))
    orders = [*_orders(layer), *_named_orders(layer, entries)]
    best = max(orders, key=lambda order: _agreement(order, entries, changed))
    pairs = list(zip(best, entries, strict=False))
    return Match(list(adapted(pairs, changed, forms)), list(entries[len(best) :]))


def adapted(
    pairs: Sequence[tuple[Any, Entry]], changed: Sequence[Any], forms: Mapping[int, Form]
) -> Iterator[tuple[Any, Entry]]:
    """Yield pairs with the arrays of layers that have another form now in that form."""
    of_layer = {id(variable): inner for inner in changed for variable in inner.weights}
    groups: dict[int, list[tuple[Any, Entry]]] = {}
    for variable, entry in pairs:
        inner = of_layer.get(id(variable))
        if inner is None:
            yield variable, entry
        else:
            groups.setdefault(id(inner), []).append((variable, entry))
    for key, group in groups.items():
        variables, entries = zip(*group, strict=True)
        yield from zip(variables, _new(forms[key], entries), strict=False)


def _changed(
    pairs: Sequence[tuple[Any, Entry]], forms: Mapping[int, Form]
) -> Iterator[tuple[Any, Entry]]:
    """Yield pairs of variables, given pairs in which a layer stands for each of its old arrays."""
    groups: dict[int, tuple[Any, list[Entry]]] = {}
    for slot, entry in pairs:
        if id(slot) in forms:
            groups.setdefault(id(slot), (slot, []))[1].append(entry)
        else:
            yield slot, entry
    for key, (layer, entries) in groups.items():
        variables = [*layer.trainable_weights, *layer.non_trainable_weights]
        yield from zip(variables, _new(forms[key], entries), strict=False)


def _slots(
    layer: Any, forms: Mapping[int, Form], trainable: bool, seen: set[int] | None = None
) -> list[Any]:
    """Return the variables of one kind, a layer of another form standing for each old array."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return []
    seen.add(id(layer))
    if id(layer) in forms:
        count = forms[id(layer)].old_count
        count = len(layer.weights) if count is None else count
        return [layer] * count if layer.trainable == trainable else []
    slots = [v for v in keras_private.own_variables(layer) if v.trainable == trainable]
    for part in getattr(layer, "layers", None) or getattr(layer, "_layers", []):
        slots += _slots(part, forms, trainable, seen)
    return slots


def _new(form: Form, entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the arrays in their new form, under the old ones' names as far as there are any."""
    arrays = form.adapt([entry.read() for entry in entries])
    names = [entry.name for entry in entries] + [entries[0].name] * len(arrays)
    for name, array in zip(names, arrays, strict=False):
        yield Entry(name, array.shape, array.dtype.name, functools.partial(_same, array))


def _same(array: NDArray[Any]) -> NDArray[Any]:
    return array


def loads_by_itself(layer: Any) -> bool:
    """Return whether a layer saves what it keeps in a form of its own."""
    own = getattr(type(layer), "load_own_variables", None)
    return own is not None and own is not keras.Layer.load_own_variables


def within(layer: Any) -> list[Any]:
    """Return a layer and all layers in it, each once."""
    found = {id(layer): layer}
    waiting = [layer]
    while waiting:
        for inner in getattr(waiting.pop(), "_layers", []):
            if id(inner) not in found:
                found[id(inner)] = inner
                waiting.append(inner)
    return list(found.values())


def last_name(name: str) -> str:
    """Return what a variable is called within its layer: `kernel` of `model/dense/kernel:0`."""
    short = name.replace("\\", "/").rpartition("/")[2].partition(":")[0]
    return RENAMED.get(short, short)


def _orders(layer: Any) -> list[list[Any]]:
    """Return the orders in which the variables may have been listed, the likeliest first."""
    now = [*layer.trainable_weights, *layer.non_trainable_weights]
    kinds = {id(v) for inner in within(layer) for v in getattr(inner, "_trainable_variables", ())}
    unfrozen = sorted(layer.weights, key=lambda variable: id(variable) not in kinds)
    return [now, unfrozen, list(layer.weights)]


def _named_orders(layer: Any, entries: Sequence[Entry]) -> Iterator[list[Any]]:
    """Yield the orders that the arrays' names tell of, whatever was frozen when they were saved."""
    paths, names = [v.path for v in layer.weights], [entry.name for entry in entries]
    for keys_of in (_owners_and_names, _plain_owners_and_names, _ranks_and_names):
        named = dict(zip(keys_of(paths), layer.weights, strict=True))
        keys = keys_of(names)
        unique = len(named) == len(paths) and len(set(keys)) == len(keys)
        if unique and all(each in named for each in keys):
            yield [named[each] for each in keys]


def _owners_and_names(names: Sequence[str]) -> list[tuple[Any, ...]]:
    return [(_owner(name), last_name(name)) for name in names]


def _plain_owners_and_names(names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the last two owners without their counters, which depend on the program."""
    found = []
    for name in names:
        owners = name.split("/")[:-1][-2:]
        found.append((*(_counted(owner)[0] for owner in owners), last_name(name)))
    return found


def _ranks_and_names(names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return as how many-eth of its kind each owner was made, wherever the program counted from."""
    made = sorted({_counted(_owner(name)) for name in names})
    kinds = [base for base, _ in made]
    ranks = {each: number - kinds.index(each[0]) for number, each in enumerate(made)}
    owners = [_counted(_owner(name)) for name in names]
    return [
        (owner[0], ranks[owner], last_name(name)) for owner, name in zip(owners, names, strict=True)
    ]


def _counted(name: str) -> tuple[str, int]:
    """Return a layer's name without the counter behind it, and the counter."""
    base, _, count = name.rpartition("_")
    return (base, int(count)) if base and count.isdecimal() else (name, 0)


def _agreement(
    order: Sequence[Any], entries: Sequence[Entry], changed: Sequence[Any]
) -> tuple[int, int, int]:
    free = {id(variable) for inner in changed for variable in inner.weights}
    pairs = list(zip(order, entries, strict=False))
    shapes = sum(id(v) in free or tuple(v.shape) == entry.shape for v, entry in pairs)
    names = sum(last_name(v.path) == last_name(entry.name) for v, entry in pairs)
    owners = sum(_owner(v.path) == _owner(entry.name) for v, entry in pairs)
    return shapes, names, owners


def _owner(name: str) -> str:
    parts = name.rpartition("/")[0].rpartition("/")
    return parts[2]


def fits(variable: Any, entry: Entry) -> bool:
    """Return whether an array can be a variable's value: no fraction is cut off silently."""
    whole = not keras.backend.is_float_dtype(variable.dtype) and variable.dtype != "complex64"
    fractions = "float" in entry.dtype or "complex" in entry.dtype
    return tuple(variable.shape) == entry.shape and not (whole and fractions)


def likeliest(tried: Sequence[Match]) -> Match:
    """Return the match that leaves the least open; of equals, the first."""

    def sense(found: Match) -> tuple[int, int]:
        fitting = {id(variable) for variable, entry in found.pairs if fits(variable, entry)}
        return 2 * len(fitting) - len(found.pairs), -len(found.left)

    return max(tried, key=sense)


def repeated(model: Any) -> list[Any]:
    """Return the layers that have the class and the name of one before them, in another model.

    Keras 2 wrote a layer that several models share once; read again, it is several.
    """
    seen: set[tuple[type, str]] = set()
    found = []

    def visit(owner: Any) -> None:
        for layer in owner.layers:
            same = (type(layer), layer.name)
            if same in seen:
                found.append(layer)
            seen.add(same)
            if hasattr(layer, "layers"):
                visit(layer)

    if hasattr(model, "layers"):
        visit(model)
    return found


def with_twins(model: Any, found: Match) -> Match:
    """Return a match in which a repeated layer has the arrays of the one it repeats."""
    copies = {id(v) for layer in repeated(model) for v in layer.weights}
    if not copies:
        return found
    have = {id(variable) for variable, _ in found.pairs}
    held = {_end(v.path): (v, entry) for v, entry in found.pairs if id(v) not in copies}
    pairs = list(found.pairs)
    for variable in model.weights:
        if id(variable) in copies and id(variable) not in have:
            twin = held.get(_end(variable.path))
            if twin is not None and twin[0].shape == variable.shape:
                pairs.append((variable, twin[1]))
    return Match(pairs, found.left, found.hooks)


def _end(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def missing(model: Any, pairs: Iterable[tuple[Any, Entry]], hooked: Iterable[Any]) -> list[Any]:
    """Return a model's variables for which there is no array."""
    have = {id(variable) for variable, _ in pairs}
    for layer in hooked:
        have |= {id(variable) for variable in keras_private.own_variables(layer)}
    return [variable for variable in model.weights if id(variable) not in have]
