"""numpy's files, `.npy` and `.npz`, a few rows at a time.

Owns reading them without holding them: also the packed members of an `.npz`. An array in Fortran's
order has no rows together: such an `.npy` is mapped, such a member is read as a whole. Leaves the
format of the header to numpy. Nothing is ever unpickled.
"""

from __future__ import annotations

import math
import mmap
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError, did_you_mean
from holdfast.judge.signature import Feed, Signature, Tensor, checked

_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True, slots=True)
class Stored:
    """An array in an open file, whose header has been read.

    Args:
        stream: stands at the first row.
        what: its name, for errors.
        shape, dtype: as its header has them.
        fortran: whether its columns lie together, not its rows.
    """

    stream: IO[bytes]
    what: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    def batches(self, size: int) -> Iterator[NDArray[Any]]:
        """Give the rows, at most `size` at a time."""
        if self.fortran and len(self.shape) > 1:
            yield from self._from_columns(size)
            return
        row = math.prod(self.shape[1:])
        for begin in range(0, self.shape[0], size):
            count = min(size, self.shape[0] - begin)
            data = _exactly(self, count * row * self.dtype.itemsize)
            yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

    def _from_columns(self, size: int) -> Iterator[NDArray[Any]]:
        length = math.prod(self.shape) * self.dtype.itemsize
        if isinstance(self.stream, zipfile.ZipExtFile):
            whole = np.frombuffer(_exactly(self, length), self.dtype)
            yield from _slices(whole.reshape(self.shape, order="F"), size)
            return
        offset = self.stream.tell()
        mapped = mmap.mmap(self.stream.fileno(), 0, access=mmap.ACCESS_READ)
        if len(mapped) < offset + length:
            raise _short(self, offset + length, len(mapped))
        array: NDArray[Any] = np.ndarray(self.shape, self.dtype, mapped, offset, order="F")
        for part in _slices(array, size):
            yield part
            mapped.madvise(mmap.MADV_DONTNEED)  # what was read need not stay in memory


def npy(path: Path, signature: Signature, size: int) -> Iterator[tuple[Feed, float]]:
    """Give the rows of an `.npy` as unchecked batches, each with the part of them read then.

    Raises:
        InputError: it is not sound, or its shape is not the input's.
    """
    if len(signature.inputs) > 1:
        raise InputError(
            f"{path}: the model has {len(signature.inputs)} inputs "
            f"({', '.join(tensor.name for tensor in signature.inputs)}), and an .npy holds one "
            "array: give an .npz with an array of each name"
        )
    with path.open("rb") as stream:
        stored = _opened(stream, str(path))
        tensor = signature.inputs[0]
        _fitting(stored, tensor)
        done = 0
        for rows in stored.batches(size):
            done += len(rows)
            yield {tensor.name: rows}, done / stored.shape[0]


def npz(path: Path, signature: Signature, size: int) -> Iterator[tuple[Feed, float]]:
    """Give the rows of an `.npz` as unchecked batches, each with the part of them read then.

    Its arrays are found by the inputs' names. Of a model with one input it may also be the only
    one, or `x`; of others, as many as there are inputs, saved without names.

    Raises:
        InputError: it is not sound, or its arrays are not the inputs'.
    """
    try:
        with ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(path))
            members = _members(path, archive, signature)
            stored = {
                name: _opened(
                    opened.enter_context(archive.open(f"{member}.npy")), f"{path}: {member}"
                )
                for name, member in members.items()
            }
            for tensor in signature.inputs:
                _fitting(stored[tensor.name], tensor)
            lengths = {array.what: array.shape[0] for array in stored.values()}
            if len(set(lengths.values())) > 1:
                found = ", ".join(f"{what} {length}" for what, length in lengths.items())
                raise InputError(f"the arrays are of different lengths: {found}")
            readers = [array.batches(size) for array in stored.values()]
            done = 0
            for rows in zip(*readers, strict=True):
                done += len(rows[0])
                yield dict(zip(stored, rows, strict=True)), done / next(iter(lengths.values()))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise InputError(f"{path}: expected an .npz that is sound, found: {error}") from None


def _members(path: Path, archive: zipfile.ZipFile, signature: Signature) -> dict[str, str]:
    """Return the member of each input."""
    names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
    wanted = [tensor.name for tensor in signature.inputs]
    if set(wanted) <= set(names):
        return {name: name for name in wanted}
    if len(wanted) == 1 and len(names) == 1:
        return {wanted[0]: names[0]}
    if len(wanted) == 1 and "x" in names:
        return {wanted[0]: "x"}
    unnamed = [f"arr_{number}" for number in range(len(wanted))]
    if set(names) == set(unnamed):
        return dict(zip(wanted, unnamed, strict=True))
    missing = [name for name in wanted if name not in names]
    raise InputError(
        f"{path} has no array {missing[0]!r}{did_you_mean(missing[0], names)}: expected "
        f"{', '.join(f'{tensor.name} {tensor}' for tensor in signature.inputs)}; found "
        f"{', '.join(names) or 'no arrays'}"
    )


def _opened(stream: IO[bytes], what: str) -> Stored:
    """Return an array, its header read."""
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} of the format")
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(stream, max_header_size=_LONGEST_HEADER)
    except (ValueError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
        raise InputError(f"{what}: expected an array in numpy's format, found: {error}") from None
    if dtype.hasobject or dtype.names:
        raise InputError(f"{what}: expected an array of numbers, found {dtype}")
    if any(size < 0 for size in shape):
        raise InputError(f"{what}: expected an array, found the shape {shape}")
    return Stored(stream, what, shape, dtype, fortran)


def _fitting(stored: Stored, tensor: Tensor) -> None:
    """Refuse an array whose shape is not the input's, before anything of it is read."""
    sample = Tensor(tensor.name, (None, *tensor.sample), tensor.dtype)
    if len(stored.shape) != len(sample.shape) or any(
        size not in (None, found) for size, found in zip(sample.shape, stored.shape, strict=True)
    ):
        like = np.broadcast_to(np.zeros((), stored.dtype), stored.shape)
        try:
            checked(Signature((sample,), ()), like)
        except InputError as error:
            raise InputError(f"{stored.what}: {error}") from None


def _slices(array: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for begin in range(0, len(array), size):
        yield np.array(array[begin : begin + size], order="C")


def _exactly(stored: Stored, length: int) -> bytes:
    data = stored.stream.read(length)
    if len(data) < length:
        raise _short(stored, length, len(data))
    return data


def _short(stored: Stored, expected: int, found: int) -> InputError:
    return InputError(
        f"{stored.what} is cut off: its header says {stored.dtype}{list(stored.shape)}, and where "
        f"{expected:,} bytes should come there are {found:,}"
    )
