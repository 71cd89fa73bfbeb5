"""Arrays named as variables are: TensorFlow 1's checkpoints, and safetensors.

Owns comparing names. Leaves the optimizer's arrays, which lie among them, to `optimizer`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from holdfast.formats.live.matching import Match, last_name
from holdfast.formats.model_file import ByName, Entry

# Optimizers of TensorFlow 1, whose slots are named after the variable: `dense/kernel/Adam_1`.
_SLOT = re.compile(
    r"/(Adam|Adagrad|Adadelta|AdaMax|Nadam|Momentum|RMSProp|Ftrl|Ftrl_1|[a-z]+)(_\d+)?$"
)
_BESIDE = re.compile(
    r"(^|/)(global_step|beta[12]_power|save_counter)(_\d+)?$|^training/|^optimizer/"
)


def match(model: Any, weights: ByName) -> Match:
    """Match by the order where it is known; else by the variables' paths, or by how names end.

    Args:
        model: built.
        weights: of a file.
    """
    entries = own(weights.entries)
    paths = paths_of(model)
    if weights.ordered and list(map(_kind, entries.items())) == [
        (last_name(v.path), *v.shape) for v in paths.values()
    ]:
        return Match(list(zip(paths.values(), entries.values(), strict=True)))
    if all(path in entries for path in paths):
        pairs = [(variable, entries[path]) for path, variable in paths.items()]
        return Match(pairs, [entry for name, entry in entries.items() if name not in paths])
    return _by_ends(model, entries)


def _kind(item: tuple[str, Entry]) -> tuple[Any, ...]:
    name, entry = item
    # Of equal paths the later ones are numbered, see `paths_of`.
    return (re.sub(r"_\d+$", "", last_name(name)), *entry.shape)


def paths_of(model: Any) -> dict[str, Any]:
    """Return a model's variables by their paths; of equal paths, the later ones are numbered."""
    found: dict[str, Any] = {}
    for variable in model.weights:
        path, count = variable.path, 0
        while path in found:
            count += 1
            path = f"{variable.path}_{count}"
        found[path] = variable
    return found


def own(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries that are a model's own: not of an optimizer, no counter."""
    return {
        name: entry
        for name, entry in entries.items()
        if not _BESIDE.search(name)
        and not ((slot := _SLOT.search(name)) and name[: slot.start()] in entries)
    }


def _by_ends(model: Any, entries: Mapping[str, Entry]) -> Match:
    """Match each variable with an array whose name ends alike and whose shape is its.

    Where the model's layers are named as the file's, by these names. Else by the names without
    their counters, and of several, the one that was made first: the arrays' owners come in the
    order in which the model's layers do, as far as the counters tell. Where names tell nothing, and
    there are several of a shape, none is taken.
    """
    ordered = dict(sorted(entries.items(), key=lambda item: _counters(item[0])))
    found = _named(model, ordered)
    if found is not None:
        return found
    pairs = []
    for path, variable in paths_of(model).items():
        wanted = (last_name(path), tuple(variable.shape))
        alike = [name for name, e in ordered.items() if (last_name(name), e.shape) == wanted]
        owners = _bases(path)
        nearest = max(alike, key=lambda name: len(owners & _bases(name)), default=None)
        # Several owners by names of which none is the layer's: which it is would be a guess.
        known = nearest is not None and owners & _bases(nearest)
        if nearest is not None and (known or len({_bases(name) for name in alike}) == 1):
            pairs.append((variable, ordered.pop(nearest)))
    return Match(pairs, list(ordered.values()))


def _named(model: Any, entries: Mapping[str, Entry]) -> Match | None:
    """Match by the names of layers, or return None where they are not the file's."""
    rest = dict(entries)
    pairs = []
    for path, variable in paths_of(model).items():
        owners = set(path.split("/")[:-1])
        alike = [
            name
            for name in rest
            if last_name(name) == last_name(path) and owners.issuperset(name.split("/")[:-1])
        ]
        if not alike:
            return None
        # The more of the owners are named, the surer it is.
        pairs.append((variable, rest.pop(max(alike, key=lambda name: name.count("/")))))
    return Match(pairs, list(rest.values()))


def _bases(name: str) -> frozenset[str]:
    """Return the names of a variable's owners without their counters."""
    return frozenset(base for base, _ in _counters(name)[:-1])


def _counters(name: str) -> list[tuple[str, int]]:
    """Order `dense`, `dense_1`, `dense_10` as they were made."""
    parts = []
    for part in name.split("/"):
        base, _, count = part.rpartition("_")
        parts.append((base, int(count)) if base and count.isdecimal() else (part, 0))
    return parts
