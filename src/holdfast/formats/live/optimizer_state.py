"""What a file holds of an optimizer's state, put in one form.

Owns the orders in which optimizers listed their arrays, and the names they gave them. Leaves whose
slots these are to `optimizer`.

A slot is an array that an optimizer keeps for a variable: Adam has two for each. Their order:

| written by | order |
| --- | --- |
| Keras 3, and 2 since 2.11 | iterations, averages, then for each variable its slots; what is optional (the maximum of `amsgrad`, the momentum of RMSprop) for all variables at the end |
| Keras 1 and 2 until 2.10 | iterations where there are any, then one slot of all variables, then the next |
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.formats.legacy.optimizers import is_old
from holdfast.formats.live.matching import last_name
from holdfast.formats.model_file import ByObject, ByPath, Entry, ModelFile, ObjectNode

# Of each class, the slots of a variable in the order of Keras 3.
_SLOTS = {
    "SGD": ("momentum",),
    "Adam": ("momentum", "velocity"),
    "AdamW": ("momentum", "velocity"),
    "Adamax": ("momentum", "norm"),
    "Nadam": ("momentum", "velocity"),
    "SlowNadam": ("momentum", "velocity"),
    "RMSprop": ("velocity",),
    "Adagrad": ("accumulator",),
    "Adadelta": ("accumulated_grad", "accumulated_delta_var"),
    "Ftrl": ("accumulator", "linear"),
    "Lion": ("momentum",),
    "Adafactor": ("rows", "columns", "velocity"),
}
# What checkpoints call slots, by what they are called here.
_SLOT_NAMES = {
    ("Adamax", "v"): "norm",
    ("RMSprop", "rms"): "velocity",
    ("RMSprop", "mg"): "average_gradient",
    ("Adadelta", "accum_grad"): "accumulated_grad",
    ("Adadelta", "accum_var"): "accumulated_delta_var",
}
_COMMON_NAMES = {
    "m": "momentum",
    "v": "velocity",
    "vhat": "velocity_hat",
    "u": "norm",
    "r": "rows",
    "c": "columns",
}
# TensorFlow 1 ended a slot's name so. The second of several optimizers would end in `_2`.
_TENSORFLOW_1 = {
    "SGD": {"Momentum": "momentum"},
    "Adam": {"Adam": "momentum", "Adam_1": "velocity"},
    "RMSprop": {"RMSProp": "velocity", "RMSProp_1": "momentum"},
    "Adagrad": {"Adagrad": "accumulator"},
    "Adadelta": {"Adadelta": "accumulated_grad", "Adadelta_1": "accumulated_delta_var"},
    "Ftrl": {"Ftrl": "accumulator", "Ftrl_1": "linear"},
}
_ALL_SLOTS = frozenset(
    [
        "average",
        "average_gradient",
        "velocity_hat",
        *(slot for all_ in _SLOTS.values() for slot in all_),
    ]
)
_MOST_INNER = 4


class Unfit(Exception):  # noqa: N818
    """The state cannot be given to this optimizer. Says why."""


@dataclass(frozen=True)
class State:
    """An optimizer's state.

    Args:
        iterations: how many steps it has made.
        rate: its learning rate at the time.
        scale, good_steps: by what the loss is scaled, and for how many steps it went well.
        listed: the arrays in the file's order, but for those above where they are apart.
        slots: by the name of the variable's array in the file, its slots by their names.
        old: whether `listed` has the order of Keras 1 and 2 until 2.10.
    """

    iterations: Entry | None = None
    rate: Entry | None = None
    scale: Entry | None = None
    good_steps: Entry | None = None
    listed: tuple[Entry, ...] = ()
    slots: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    old: bool = False


def read_state(file: ModelFile, kind: str) -> State | None:
    """Return the state that a file holds, or None.

    Args:
        file: open.
        kind: the class of the optimizer.
    """
    if file.optimizer is not None:
        old = is_old(file.training, file.keras_version)
        old = old or any(entry.name.endswith("/iter:0") for entry in file.optimizer[:1])
        return State(listed=file.optimizer, old=old) if file.optimizer else None
    if isinstance(file.weights, ByPath):
        return _by_path(file.weights.entries)
    graph = file.objects if file.objects is not None else file.weights
    if isinstance(graph, ByObject):
        return _by_object(graph.nodes, kind)
    entries = getattr(file.weights, "entries", None)
    return _by_name(entries, kind) if isinstance(entries, Mapping) else None


def blocks(kind: str, optimizer: Any, *, old: bool) -> list[tuple[str, ...]]:
    """Return how an optimizer lists its slots: what is together is listed variable by variable.

    Args:
        kind: its class.
        optimizer: of Keras 3, whose arguments are the file's.
        old: whether the list is of Keras 1 or 2 until 2.10.
    """
    slots = _SLOTS[kind]
    together: list[tuple[str, ...]] = [(slot,) for slot in slots]
    if not old or kind == "Ftrl":
        together = [slots]
    if optimizer.use_ema:
        together.insert(0, ("average",))
    if getattr(optimizer, "amsgrad", False):
        together.append(("velocity_hat",))
    if kind == "RMSprop" and optimizer.momentum > 0:
        together.append(("momentum",))
    if kind == "RMSprop" and optimizer.centered:
        together.append(("average_gradient",))
    return together


def is_known(kind: str) -> bool:
    """Return whether a class's slots are known."""
    return kind in _SLOTS


def places(
    together: Sequence[tuple[str, ...]], shapes: Sequence[tuple[int, ...]]
) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    """Yield the slots in their order: name, number of the variable, and shape."""
    for block in together:
        for number, shape in enumerate(shapes):
            for slot in block:
                yield slot, number, slot_shape(slot, shape)


def kept(
    together: Sequence[tuple[str, ...]], shapes: Sequence[tuple[int, ...]]
) -> list[tuple[str, int, tuple[int, ...]]]:
    """Return the slots in their order, but for those that Keras 2 did not keep for vectors."""
    return [
        place
        for place in places(together, shapes)
        if not (place[0] in ("rows", "columns") and len(shapes[place[1]]) < 2)
    ]


def slot_shape(slot: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a variable's slot; of what is not kept for vectors, `()`."""
    if slot == "rows":
        return shape[:-1] if len(shape) > 1 else ()
    if slot == "columns":
        return (*shape[:-2], shape[-1]) if len(shape) > 1 else ()
    return shape


def owner(name: str, *, old: bool) -> tuple[str, str]:
    """Return the layer and the variable that the name of a slot is made of, or empty names.

    These are `Adam/dense/kernel/m:0` and, since 2.11, `Adam/m/dense/kernel:0`.
    """
    parts = name.partition(":")[0].split("/")
    of_variable = parts[:-1] if old else parts
    return (of_variable[-2], of_variable[-1]) if len(of_variable) > 2 else ("", "")


def of_names(
    entries: Sequence[Entry], kind: str, *, old: bool
) -> dict[tuple[str, str], dict[str, Entry]] | None:
    """Return slots by their variable, as `owner` has it, or None where the names do not tell."""
    found: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        layer, variable = owner(entry.name, old=old)
        parts = entry.name.partition(":")[0].split("/")
        slot = next(
            (
                _known(kind, part)
                for part in (parts[-1:] if old else parts[:2])
                if _known(kind, part) in _ALL_SLOTS
            ),
            None,
        )
        slots = found.setdefault((layer, last_name(variable)), {})
        if slot is None or not variable or slot in slots:
            return None
        slots[slot] = entry
    return found


def _known(kind: str, name: str) -> str:
    return _SLOT_NAMES.get((kind, name), _COMMON_NAMES.get(name, name))


def _by_path(entries: Mapping[str, Entry]) -> State | None:
    for group in ("optimizer/vars/", "optimizer/inner_optimizer/vars/"):
        numbered = {
            int(path.removeprefix(group)): entry
            for path, entry in entries.items()
            if path.startswith(group) and path.removeprefix(group).isdecimal()
        }
        if numbered:
            return State(listed=tuple(numbered[place] for place in sorted(numbered)))
    return None


def _by_object(nodes: Sequence[ObjectNode], kind: str) -> State | None:
    root = nodes[0]
    number = root.children.get("optimizer")
    if number is None:
        return None
    found: dict[str, Entry] = {}
    listed: tuple[Entry, ...] = ()
    slots: dict[str, dict[str, Entry]] = {}
    for node in _inner(nodes, number):
        for name, child in node.children.items():
            value = nodes[child].value
            if value is not None:
                found.setdefault(name, value)
        if "_variables" in node.children and not listed:
            listed = tuple(_numbered(nodes, node.children["_variables"]))
        for variable, name, slot in node.slots:
            entry, owned = nodes[slot].value, nodes[variable].value
            if entry is not None and owned is not None:
                slots.setdefault(owned.name, {})[_known(kind, name)] = entry
        if "loss_scale" in node.children:
            scale = nodes[node.children["loss_scale"]].children
            for name in ("current_loss_scale", "good_steps"):
                if name in scale and (value := nodes[scale[name]].value) is not None:
                    found.setdefault(name, value)
    iterations = found.get("iter", found.get("_iterations"))
    if iterations is None:
        return None
    return State(
        iterations=iterations,
        rate=found.get("learning_rate", found.get("_learning_rate")),
        scale=found.get("current_loss_scale"),
        good_steps=found.get("good_steps"),
        # The list begins with the iterations, which some checkpoints have under one name only.
        listed=tuple(entry for entry in listed if entry.name != iterations.name),
        slots=slots,
    )


def _inner(nodes: Sequence[ObjectNode], number: int) -> Iterator[ObjectNode]:
    """Yield an optimizer's node and those of the optimizers in it."""
    for _ in range(_MOST_INNER):
        node = nodes[number]
        yield node
        inner = [name for name in ("base_optimizer", "_optimizer") if name in node.children]
        if not inner:
            return
        number = node.children[inner[0]]


def _numbered(nodes: Sequence[ObjectNode], number: int) -> Iterator[Entry]:
    children = nodes[number].children
    for name in sorted((name for name in children if name.isdecimal()), key=int):
        value = nodes[children[name]].value
        if value is not None:
            yield value


def _by_name(entries: Mapping[str, Entry], kind: str) -> State | None:
    """Return the state in a checkpoint of TensorFlow 1, by the names of its variables.

    Its own optimizers' slots end in their name, as in `dense/kernel/Adam_1`. Those of Keras are
    below one scope, as in `training/Adam/dense/kernel/v`, beside the number of its steps, `iter`.
    """
    slots: dict[str, dict[str, Entry]] = {}
    steps, rate = entries.get("global_step"), None
    for ending, slot in _TENSORFLOW_1.get(kind, {}).items():
        for name, entry in entries.items():
            of = name.removesuffix(f"/{ending}")
            if of != name and of in entries:
                slots.setdefault(of, {})[slot] = entry
    scopes = [name.removesuffix("iter") for name in entries if name.endswith("/iter")]
    if not slots and len(scopes) == 1:
        steps, rate = entries[f"{scopes[0]}iter"], entries.get(f"{scopes[0]}learning_rate")
        for name, entry in entries.items():
            of, _, slot = name.removeprefix(scopes[0]).rpartition("/")
            if name.startswith(scopes[0]) and of in entries:
                slots.setdefault(of, {})[_known(kind, slot)] = entry
    if steps is None or not slots:
        return None
    return State(iterations=steps, rate=rate, slots=slots)
