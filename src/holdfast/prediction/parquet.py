"""Parquet: columns to arrays, a few rows at a time.

Owns which column is which input: a list by the input's name, or the only list there is; else
columns of numbers as in a CSV. Leaves the file to pyarrow, and naming to `columns`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError, MissingExtraError
from holdfast.judge.signature import Feed, Signature, Tensor, shown
from holdfast.prediction.columns import Placed, picked, placed


class Parquet:
    """Rows of a Parquet file as batches of a model's inputs. Iterate over it once.

    Each comes with the part of the rows that is read then.

    Args:
        path: of the file.
        signature: of the model.
        batch: how many rows at most go together.
        columns: the names of those that count; none for all.

    Attributes:
        spare: the names of columns that are not used.

    Raises:
        InputError: it is not sound, or its columns are not the model's.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(
        self, path: Path, signature: Signature, batch: int, columns: Sequence[str] = ()
    ) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise MissingExtraError("pyarrow", "parquet", f"reading {path}") from None
        self._path = path
        self._batch = batch
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowException as error:
            raise InputError(f"{path}: expected a Parquet file, found: {error}") from None
        schema = self._file.schema_arrow
        chosen = picked(schema.names, len(schema.names), columns, str(path))
        lists = {schema.names[n]: n for n in chosen if _is_list(schema.types[n])}
        self._lists = _lists(signature, lists)
        rest = tuple(tensor for tensor in signature.inputs if tensor.name not in self._lists)
        self._parts: list[Placed] = []
        if rest:
            numbers = [n for n in chosen if schema.names[n] not in lists]
            self._parts = placed(Signature(rest, ()), schema.names, numbers, str(path))
        self._names = schema.names
        used = {schema.names[n] for part in self._parts for n in part.columns}
        used |= set(self._lists.values())
        self._used = [name for name in schema.names if name in used]
        self.spare = [name for name in schema.names if name not in used]
        self._tensors = {tensor.name: tensor for tensor in signature.inputs}
        self._rows: int = self._file.metadata.num_rows

    def __iter__(self) -> Iterator[tuple[Feed, float]]:
        import pyarrow as pa

        done = 0
        try:
            for rows in self._file.iter_batches(self._batch, columns=self._used):
                feed = {
                    name: self._list(rows.column(column), self._tensors[name], column, done)
                    for name, column in self._lists.items()
                }
                for part in self._parts:
                    feed[part.tensor.name] = self._numbers(rows, part, done)
                done += rows.num_rows
                yield feed, done / self._rows
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.filename:
                raise
            raise InputError(f"{self._path}: expected a sound file, found: {error}") from None
        finally:
            self._file.close()

    def _numbers(self, rows: Any, part: Placed, done: int) -> NDArray[Any]:
        """Return columns of numbers, or of texts, as an input takes them."""
        columns = [self._whole(rows.column(self._names[n]), n, done) for n in part.columns]
        return np.stack(columns, axis=1).reshape(rows.num_rows, *part.sample)

    def _whole(self, column: Any, number: int, done: int) -> NDArray[Any]:
        """Return a column without nulls."""
        if column.null_count:
            row = done + column.is_null().index(True).as_py() + 1
            raise InputError(
                f"{self._path}, row {row}, column {self._names[number]!r}: expected a value, "
                "found null"
            )
        if hasattr(column, "dictionary_decode"):
            column = column.dictionary_decode()
        array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return array

    def _list(self, column: Any, tensor: Tensor, name: str, done: int) -> NDArray[Any]:
        """Return a column of lists, which must all be of one length."""
        shape: list[int] = [len(column)]
        where = f"{self._path}, column {name!r}"
        while _is_list(column.type):
            if column.null_count:
                raise InputError(f"{where}: expected lists, found null after row {done}")
            lengths = np.unique(column.value_lengths().to_numpy(zero_copy_only=False))
            if len(lengths) > 1:
                raise InputError(
                    f"{where}: expected lists of one length, found {lengths[0]} and {lengths[-1]} "
                    f"after row {done}: give JSON lines for samples of different lengths"
                )
            shape.append(int(lengths[0]) if len(lengths) else 0)
            column = column.flatten()
        if column.null_count:
            raise InputError(f"{where}: expected numbers, found null after row {done}")
        array: NDArray[Any] = column.to_numpy(zero_copy_only=False).reshape(shape)
        sample = tensor.sample
        sizes = [size for size in sample if size is not None]
        if len(shape) == 2 and len(sizes) == len(sample) and shape[1] == math.prod(sizes):
            return array.reshape(shape[0], *sizes)
        if len(shape) != len(sample) + 1:
            raise InputError(
                f"{where}: expected {tensor.dtype}{shown(sample)} in each row, found "
                f"{array.dtype}{shown(shape[1:])}"
            )
        return array


def _lists(signature: Signature, lists: dict[str, int]) -> dict[str, str]:
    """Return the column of lists of each input that has one."""
    found = {tensor.name: tensor.name for tensor in signature.inputs if tensor.name in lists}
    if not found and len(signature.inputs) == 1 and len(lists) == 1:
        return {signature.inputs[0].name: next(iter(lists))}
    return found


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
