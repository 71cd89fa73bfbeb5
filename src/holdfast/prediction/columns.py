"""Which columns of a table are which numbers of which input.

Owns the rule: by name where the table's names are the inputs' (`x`, or `x_0`, `x_1`, ... for an
input of several numbers), else all columns in order. Leaves the cells to `tables` and `parquet`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import InputError, did_you_mean
from holdfast.judge.signature import Signature, Tensor, shown

_SHOWN = 12

CHOOSE = "choose them with --columns"


@dataclass(frozen=True, slots=True)
class Placed:
    """An input and its columns.

    Args:
        tensor: the input.
        columns: their indexes in the table, in order.
        sample: the shape that a row's numbers have in the input.
    """

    tensor: Tensor
    columns: tuple[int, ...]
    sample: tuple[int, ...]


def picked(names: Sequence[str] | None, width: int, asked: Sequence[str], what: str) -> list[int]:
    """Return the indexes of the columns that were asked for, by name or by number from 1.

    Args:
        names: of the table's columns, or None.
        width: how many columns it has.
        asked: none for all.
        what: the table, for errors.

    Raises:
        InputError: there is no such column.
    """
    if not asked:
        return list(range(width))
    found = []
    for column in asked:
        if names and column in names:
            found.append(names.index(column))
        elif column.isdecimal() and 1 <= int(column) <= width:
            found.append(int(column) - 1)
        else:
            raise InputError(
                f"{what} has no column {column!r}{did_you_mean(column, names or [])}: it has "
                f"{_listed(names) if names else f'{width} columns without names'}"
            )
    return found


def placed(
    signature: Signature,
    names: Sequence[str] | None,
    chosen: Sequence[int],
    what: str,
    way_out: str = CHOOSE,
) -> list[Placed]:
    """Return the columns of each input.

    Args:
        signature: of the model.
        names: of all the table's columns, or None.
        chosen: the indexes of the columns that count.
        what: the table, for errors.
        way_out: where there are more or fewer columns than the inputs need.

    Raises:
        InputError: the columns are not those that the inputs need; says which were expected and
            which were found.
    """
    for tensor in signature.inputs:
        if tensor.sample.count(None) > 1:
            raise InputError(
                f"{tensor.name}: expected {tensor}, and a row of a table does not say which shape "
                "it has: give .npy, .npz or JSON lines"
            )
    if names:
        own: dict[str, int] = {}
        for index in chosen:
            own.setdefault(names[index], index)
        found = {tensor.name: _by_name(tensor, own) for tensor in signature.inputs}
        if all(found.values()):
            return [_placed(tensor, found[tensor.name], what) for tensor in signature.inputs]
        if any(found.values()):
            raise InputError(_missing(signature, found, own, what))
    return _by_order(signature, names, chosen, what, way_out)


def _by_name(tensor: Tensor, own: dict[str, int]) -> list[int]:
    """Return the columns that have an input's name, or none."""
    size = _size(tensor)
    if tensor.name in own and size in (None, 1):
        return [own[tensor.name]]
    columns: list[int] = []
    while f"{tensor.name}_{len(columns)}" in own:
        columns.append(own[f"{tensor.name}_{len(columns)}"])
    return columns


def _by_order(
    signature: Signature,
    names: Sequence[str] | None,
    chosen: Sequence[int],
    what: str,
    way_out: str,
) -> list[Placed]:
    sizes = [_size(tensor) for tensor in signature.inputs]
    known = sum(size or 0 for size in sizes)
    free = sizes.count(None)
    if free > 1 or (len(chosen) < known if free else len(chosen) != known):
        wanted = ", ".join(
            f"{tensor.name} {tensor}: {'any number of' if size is None else size}"
            for tensor, size in zip(signature.inputs, sizes, strict=True)
        )
        name_them = "name the columns after the inputs, or " if len(sizes) > 1 else ""
        raise InputError(
            f"{what}: expected columns for {wanted}; found {len(chosen)}"
            f"{f': {_listed([names[index] for index in chosen])}' if names else ''}"
            f"; {name_them}{way_out}"
        )
    parts = []
    begin = 0
    for tensor, size in zip(signature.inputs, sizes, strict=True):
        end = begin + (len(chosen) - known if size is None else size)
        parts.append(_placed(tensor, chosen[begin:end], what))
        begin = end
    return parts


def _placed(tensor: Tensor, columns: Sequence[int], what: str) -> Placed:
    """Return an input with its columns, whose number must fit its shape."""
    fixed = math.prod(size for size in tensor.sample if size is not None)
    free = len(columns) // max(fixed, 1)
    sample = tuple(free if size is None else size for size in tensor.sample)
    if math.prod(sample) != len(columns):
        raise InputError(
            f"{what}: {tensor.name}: expected {tensor}, found {len(columns)} columns for a sample "
            f"of {shown(tensor.sample)}"
        )
    return Placed(tensor, tuple(columns), sample)


def _size(tensor: Tensor) -> int | None:
    """Return how many numbers a sample has, or None where that is not fixed."""
    return None if None in tensor.sample else math.prod(size or 0 for size in tensor.sample)


def _missing(
    signature: Signature, found: dict[str, list[int]], own: dict[str, int], what: str
) -> str:
    wanted = []
    for tensor in signature.inputs:
        if not found[tensor.name]:
            size = _size(tensor)
            several = f"{tensor.name}_0 to {tensor.name}_{'…' if size is None else size - 1}"
            wanted.append(tensor.name if size == 1 else several)
    return f"{what} has no columns {', '.join(wanted)}: it has {_listed(list(own))}"


def _listed(names: Sequence[str]) -> str:
    rest = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
