"""Answers to files, a batch at a time: JSON lines, CSV, numpy's and Parquet.

Owns the forms, each a class that `write`s answers and is `close`d. Leaves what the columns are to
`answers`, and that a file is whole before it gets its name to `store/files`.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError, MissingExtraError, did_you_mean
from holdfast.judge.signature import shown
from holdfast.prediction.answers import CLASS, Answers, columns, free

_ROWS_TOGETHER = 1 << 14
_PIECE = 1 << 20


class Writer(Protocol):
    """Writes answers in one form."""

    def write(self, answers: Answers) -> None:
        """Write those of one batch."""

    def close(self) -> None:
        """End the file."""


class JsonLines:
    """One JSON object a row: the image's file, class and probability, the outputs by name.

    Args:
        stream: to write to.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, answers: Answers) -> None:
        parts = {name: _json(column) for name, column in answers.facts.items()}
        parts |= {free(name, [*parts]): _json(part) for name, part in answers.outputs.items()}
        keys = [json.dumps(name) for name in parts]
        rows = (
            "{" + ", ".join(f"{key}: {value}" for key, value in zip(keys, row, strict=True)) + "}"
            for row in zip(*parts.values(), strict=True)
        )
        self._stream.write(("\n".join(rows) + "\n").encode())
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


class Csv:
    """One line a row, under a line of names.

    Args:
        stream: to write to.
        classes: the names of the classes.
    """

    def __init__(self, stream: IO[bytes], classes: Sequence[str]) -> None:
        self._stream = stream
        self._classes = classes
        self._names: list[str] = []

    def write(self, answers: Answers) -> None:
        facts = answers.facts
        table = facts | columns(answers.outputs, self._classes, list(facts))
        if not self._names:
            self._names = list(table)
            self._line([",".join(map(_quoted, self._names))])
        _same(self._names, list(table))
        texts = [[_quoted(text) for text in _texts(column).tolist()] for column in table.values()]
        self._line([",".join(row) for row in zip(*texts, strict=True)])

    def close(self) -> None:
        self._stream.close()

    def _line(self, lines: Iterable[str]) -> None:
        self._stream.write(("\n".join(lines) + "\n").encode())


class Npy:
    """The array that the model gives, and nothing else.

    Args:
        stream: to write to; it is read again for its head.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rows = 0
        self._sample: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float32)

    def write(self, answers: Answers) -> None:
        name, output = next(iter(answers.outputs.items()))
        self.append(name, output)

    def append(self, name: str, output: NDArray[Any]) -> None:
        """Write the rows of an output."""
        output = _storable(output)
        if not self._rows:
            self._sample, self._dtype = output.shape[1:], output.dtype
            self._head()
        if output.shape[1:] != self._sample:
            raise InputError(
                f"{name} was {shown(self._sample)} for the rows before, and is "
                f"{shown(output.shape[1:])}: an array has one shape; write .jsonl"
            )
        self._rows += len(output)
        self._stream.write(np.ascontiguousarray(output).data)

    def close(self) -> None:
        # The header has room for any number of rows: it stays as long as it is.
        self._stream.seek(0)
        self._head()
        self._stream.close()

    def _head(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._stream,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self._rows, *self._sample),
            },
        )


class Npz:
    """The arrays that the model gives, by the outputs' names.

    Args:
        path: of the file; its arrays are gathered in files beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrays: dict[str, tuple[Path, Npy]] = {}

    def write(self, answers: Answers) -> None:
        for number, (name, output) in enumerate(answers.outputs.items()):
            if name not in self._arrays:
                beside = self._path.with_name(f"{number}.npy")
                self._arrays[name] = beside, Npy(beside.open("wb+"))
            self._arrays[name][1].append(name, output)

    def close(self) -> None:
        with zipfile.ZipFile(self._path, "w", allowZip64=True) as archive:
            for name, (beside, array) in self._arrays.items():
                array.close()
                with (
                    beside.open("rb") as source,
                    archive.open(f"{name}.npy", "w", force_zip64=True) as member,
                ):
                    shutil.copyfileobj(source, member, _PIECE)
                beside.unlink()


class Parquet:
    """A table: the columns of a CSV, outputs of more dimensions as lists.

    Args:
        path: of the file.
        classes: the names of the classes.
    """

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self._path = path
        self._classes = classes
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, answers: Answers) -> None:
        import pyarrow as pa

        facts = answers.facts
        table = facts | columns(answers.outputs, self._classes, list(facts))
        rows = pa.table({name: self._array(name, column) for name, column in table.items()})
        if self._waiting:
            _same(self._waiting[0].column_names, rows.column_names)
        self._waiting.append(rows)
        self._rows += len(answers)
        if self._rows >= _ROWS_TOGETHER:
            self._put()

    def close(self) -> None:
        self._put()
        self._writer.close()

    def _array(self, name: str, column: NDArray[Any]) -> Any:
        """Return a column; its type is the same in all batches, also where a class is missing."""
        import pyarrow as pa

        if column.dtype != object:
            return pa.array(_storable(column))
        numbered = name == CLASS and not self._classes
        return pa.array(column, pa.int64() if numbered else pa.string())

    def _put(self) -> None:
        """Write what waits as one group of rows: many small groups are slow to read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._rows:
            return
        table = pa.concat_tables(self._waiting)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)
        self._waiting = [table.slice(0, 0)]
        self._rows = 0


ENDINGS = (".csv", ".npy", ".npz", ".parquet", ".jsonl")


def check(path: Path, outputs: Sequence[str]) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Args:
        path: of the file.
        outputs: the names of the model's outputs.

    Raises:
        InputError: its ending is none that is known, or its form holds not all outputs.
        MissingExtraError: Parquet, and pyarrow is not installed.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{path}: expected a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, "
            f"found {ending!r}{did_you_mean(ending, ENDINGS)}"
        )
    if ending == ".npy" and len(outputs) > 1:
        raise InputError(
            f"{path}: an .npy holds one array, and the model gives {len(outputs)} "
            f"({', '.join(outputs)}): write an .npz"
        )
    if ending == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise MissingExtraError("pyarrow", "parquet", f"writing {path}") from None


def writer(path: Path, classes: Sequence[str]) -> Writer:
    """Return what writes to a file, in the form that its ending says."""
    match path.suffix.lower():
        case ".csv":
            return Csv(path.open("wb"), classes)
        case ".npy":
            return Npy(path.open("wb+"))
        case ".npz":
            return Npz(path)
        case ".parquet":
            return Parquet(path, classes)
        case _:
            return JsonLines(path.open("wb"))


def _same(names: list[str], now: list[str]) -> None:
    if names != now:
        raise InputError(
            f"the rows before had {len(names)} columns, and now there are {len(now)}: a table has "
            "the same in all rows; write .jsonl"
        )


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of a type that files have: bfloat16 is numpy's to nobody else."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _texts(array: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as the shortest texts that say them."""
    return array if array.dtype == object else _storable(array).astype(np.str_)


def _json(array: NDArray[Any]) -> list[str]:
    """Return the JSON of each row of an array."""
    if array.dtype == object or array.dtype.kind in "US":
        return [json.dumps(row, default=str) for row in array.tolist()]
    texts = _storable(array).astype(np.str_).astype(object)
    if array.dtype.kind == "b":
        texts = np.where(array, "true", "false").astype(object)
    elif array.dtype.kind not in "iu":
        texts[~np.isfinite(_storable(array))] = "null"
    return [_nested(row) for row in texts.tolist()]


def _nested(row: Any) -> str:
    if isinstance(row, str):
        return row
    if row and isinstance(row[0], str):
        return f"[{', '.join(row)}]"
    return f"[{', '.join(map(_nested, row))}]"


def _quoted(text: Any) -> str:
    """Return a cell, in quotes where it needs them."""
    if text is None:
        return ""
    plain = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    if any(mark in plain for mark in ',"\n\r'):
        doubled = plain.replace('"', '""')
        return f'"{doubled}"'
    return plain
