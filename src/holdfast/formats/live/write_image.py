"""An HDF5 file as buffers, made without the arrays in it.

Owns what HDF5 needs to make the tables of a file in memory, a few kilobytes, while the arrays stay
where they are: the file is then written in pieces, as any other, and no array is copied. HDF5
itself never touches the disk, which it would not outlive if it failed. Leaves what is in the file
to `write_hdf5`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError

_PAGE = 1 << 12
_PIECE = 1 << 20
# HDF5 keeps an attribute within the header of its object, which holds no more.
_LARGEST_ATTRIBUTE = 64512


class Image:
    """A file of HDF5 that is being made.

    Example:
        `image = Image(); image.array(image.root, "a", values); files.write_new(path, image.end())`
    """

    def __init__(self) -> None:
        self._tables = _Tables()
        self.root = h5py.File(self._tables, "w")
        self._arrays: list[tuple[int, NDArray[Any]]] = []

    def array(self, group: Any, name: str, value: NDArray[Any]) -> None:
        """Add an array, which must not change until the file is written.

        Raises:
            FormatError: HDF5 has no type for its elements.
        """
        value = np.asarray(value)
        # The types of ml_dtypes would become bytes without a meaning.
        if value.dtype.kind not in "biufc":
            raise FormatError(
                f"{name}: HDF5 has no type for {value.dtype}. Save it as .keras or .safetensors"
            )
        if not value.size:
            group.create_dataset(name, data=value)
            return
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.CONTIGUOUS)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        way = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        way.set_create_intermediate_group(True)
        space = h5py.h5s.create_simple(value.shape) if value.shape else h5py.h5s.create(0)
        kind = h5py.h5t.py_create(value.dtype, logical=True)
        made = h5py.h5d.create(group.id, name.encode(), kind, space, plan, way)
        self._arrays.append((made.get_offset(), np.ascontiguousarray(value)))

    def end(self) -> Iterator[memoryview]:
        """Close the file and return its bytes, in pieces that follow each other."""
        self.root.close()
        return _gathered(self._pieces())

    def _pieces(self) -> Iterator[memoryview]:
        at = 0
        for offset, value in sorted(self._arrays, key=lambda pair: pair[0]):
            yield from self._tables.between(at, offset)
            yield value.reshape(-1).view(np.uint8).data
            at = offset + value.nbytes
        yield from self._tables.between(at, self._tables.size)


def names_attribute(group: Any, name: str, values: Sequence[str]) -> None:
    """Give a group a list of names as Keras does: in several parts where it is long.

    Raises:
        FormatError: a name is too long for HDF5.
    """
    encoded = [value.encode() for value in values]
    for value in encoded:
        if len(value) > _LARGEST_ATTRIBUTE:
            raise FormatError(f"{value[:60].decode(errors='replace')}…: too long a name for HDF5")
    whole = np.asarray(encoded)
    count = 1
    parts = [whole]
    while any(part.nbytes > _LARGEST_ATTRIBUTE for part in parts):
        count += 1
        parts = np.array_split(whole, count)
    if count == 1:
        group.attrs[name] = encoded
        return
    for number, part in enumerate(parts):
        group.attrs[f"{name}{number}"] = part


class _Tables(io.RawIOBase):
    """What HDF5 writes, but for the arrays: pages of a file that has them nowhere."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._at = 0
        self.size = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None, /) -> int:
        self.size = self._at if size is None else size
        return self.size

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        at = 0
        for piece in self.between(self._at, self._at + len(view)):
            view[at : at + len(piece)] = piece
            at += len(piece)
        self._at += len(view)
        return len(view)

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            number, within = divmod(self._at, _PAGE)
            piece = view[done : done + _PAGE - within]
            page = self._pages.setdefault(number, bytearray(_PAGE))
            page[within : within + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        self.size = max(self.size, self._at)
        return done

    def between(self, begin: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from `begin` to `end`; zeros where nothing was written."""
        while begin < end:
            number, within = divmod(begin, _PAGE)
            count = min(_PAGE - within, end - begin)
            page = self._pages.get(number, _NOTHING)
            yield memoryview(page)[within : within + count]
            begin += count

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


_NOTHING = bytearray(_PAGE)


def _gathered(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
    """Yield small pieces together, so that a model of many layers is not as many writes."""
    small = bytearray()
    for piece in pieces:
        if len(piece) < _PIECE:
            small += piece
        if small and (len(piece) >= _PIECE or len(small) >= _PIECE):
            yield memoryview(bytes(small))
            small.clear()
        if len(piece) >= _PIECE:
            yield piece
    if small:
        yield memoryview(bytes(small))
