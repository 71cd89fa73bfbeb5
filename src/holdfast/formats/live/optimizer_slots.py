"""Whose the slots of an optimizer are.

Owns finding the model's variable for each slot: by the variables that a checkpoint says they are
of, else by their order, else by their names. Leaves the order of the variables to
`optimizer_order`, and that of the slots of one variable to `optimizer_state`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.formats.legacy.translation import Translation
from holdfast.formats.live import by_layer, by_name, by_object
from holdfast.formats.live.forms import forms_of
from holdfast.formats.live.matching import last_name, within
from holdfast.formats.live.optimizer_order import Group, Rearranged
from holdfast.formats.live.optimizer_state import (
    State,
    Unfit,
    blocks,
    kept,
    of_names,
    owner,
)
from holdfast.formats.model_file import ByLayer, ByName, ByObject, Entry, ModelFile

Found = dict[tuple[str, int], Any]
"""By the slot's name and the `id` of the model's variable, the array."""


def by_variable(model: Any, file: ModelFile, state: State, translation: Translation) -> Found:
    """Find slots by the variables that a checkpoint says they are of.

    Raises:
        Unfit: one is of a variable that the model does not have.
        Rearranged: one is of a variable that has another form now.
    """
    weights = file.weights
    if isinstance(weights, ByLayer):
        match = by_layer.match(model, weights, translation.renamed, {})
    elif isinstance(weights, ByObject):
        match = by_object.match(model, weights)
    elif isinstance(weights, ByName):
        match = by_name.match(model, weights)
    else:
        return {}
    found: Found = {}
    mine = {entry.name: variable for variable, entry in match.pairs}
    forms = forms_of(model, translation)
    rearranged = [layer for layer in within(model) if id(layer) in forms]
    other = {id(variable): layer for layer in rearranged for variable in layer.weights}
    for name, slots in state.slots.items():
        if name not in mine:
            raise Unfit(f"the model has no variable for {name}")
        if (layer := other.get(id(mine[name]))) is not None:
            raise Rearranged(f"the layer {layer.name!r} keeps its arrays in another form now")
        for slot, array in slots.items():
            found[slot, id(mine[name])] = array.read()
    return found


def by_order(
    optimizer: Any, kind: str, groups: list[Group], state: State
) -> tuple[tuple[Entry, ...], Found]:
    """Find slots by their order; also return the arrays before the first slot.

    Where there are more or fewer than the model needs, as of layers that were frozen later, their
    names tell whose they are.

    Raises:
        Unfit: neither tells.
    """
    shapes = [shape for group in groups for shape in group.shapes]
    together = blocks(kind, optimizer, old=state.old)
    head, slots = _head(kind, together, shapes, state)
    if kind == "SGD" and not slots:
        return head, {}
    if len(slots) != len(kept(together, shapes)):
        found = _by_names(groups, kind, slots, state.old)
        if found is None:
            raise Unfit(
                f"{kind} keeps {len(kept(together, shapes))} arrays for this model's variables, "
                f"and the file has {len(slots)}"
            )
        return head, found
    by_names = _order_by_names(groups, together, slots, state.old)
    if by_names is not None:
        shapes = [shapes[number] for number in by_names]
        groups = [groups[number] for number in by_names]
    arrays: dict[tuple[str, int], Entry] = {}
    wanted = kept(together, shapes)
    for (slot, number, shape), entry in zip(wanted, slots, strict=True):
        if entry.shape != shape:
            raise Unfit(f"{entry.name} should have shape {shape}, found {entry.shape}")
        arrays[slot, number] = entry
    found = {}
    start = 0
    for group in groups:
        numbers = range(start, start + len(group.shapes))
        start = numbers.stop
        for slot in {slot for slot, number in arrays if number in numbers}:
            given = [arrays[slot, number].read() for number in numbers]
            made = given if group.convert is None else group.convert(given)
            for variable, array in zip(group.variables, made, strict=True):
                found[slot, id(variable)] = array
    return head, found


def _head(
    kind: str,
    together: Sequence[tuple[str, ...]],
    shapes: Sequence[tuple[int, ...]],
    state: State,
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Take apart what comes before the slots, which are single numbers, and the slots."""
    listed = state.listed
    count = len(kept(together, shapes))
    unused = len(shapes)
    # Until 2.3 Adam kept a single number for each variable in the place of amsgrad's maxima.
    singles = [entry.shape for entry in listed[-unused:]] == [(1,)] * unused
    if state.old and kind == "Adam" and singles and len(listed) - unused >= count:
        listed = listed[:-unused]
    before = len(listed) - count
    if not 0 <= before <= 2 or (kind == "SGD" and len(listed) == 1):
        before = 1
    if any(entry.shape != () for entry in listed[:before]):
        before = 0
    return listed[:before], listed[before:]


def _by_names(
    groups: Sequence[Group], kind: str, slots: Sequence[Entry], old: bool
) -> Found | None:
    """Find slots by the names of their variables, or return None where they do not tell.

    A variable without slots had none: Keras 2 makes them for what the loss depends on. But each
    slot must be of a variable of the model: else names may have changed.
    """
    named = of_names(slots, kind, old=old)
    mine: dict[tuple[str, str], Any] = {}
    for group in groups:
        if group.convert is not None or _owner(group.variables[0]) in mine:
            return None
        mine[_owner(group.variables[0])] = group.variables[0]
    if named is None or not named or not named.keys() & mine.keys():
        return None
    return {
        (slot, id(mine[of])): entry.read()
        for of, entries in named.items()
        if of in mine
        for slot, entry in entries.items()
    }


def _order_by_names(
    groups: Sequence[Group],
    together: Sequence[tuple[str, ...]],
    slots: Sequence[Entry],
    old: bool,
) -> list[int] | None:
    """Return the order of the variables that the names of the slots tell, or None.

    None also where they tell nothing: variables without names, or of no one layer.
    """
    if any(group.convert is not None for group in groups):
        return None
    shapes = [shape for group in groups for shape in group.shapes]
    named: dict[int, tuple[str, str]] = {}
    for (_, number, _), entry in zip(kept(together, shapes), slots, strict=False):
        layer, variable = owner(entry.name, old=old)
        named.setdefault(number, (layer, last_name(variable)))
    file = [named.get(number, ("", "")) for number in range(len(groups))]
    mine = [_owner(group.variables[0]) for group in groups]
    if file == mine or sorted(file) != sorted(mine) or len(set(mine)) < len(mine):
        return None
    return [mine.index(name) for name in file]


def _owner(variable: Any) -> tuple[str, str]:
    parts = variable.path.split("/")
    return (parts[-2] if len(parts) > 1 else "", last_name(parts[-1]))
