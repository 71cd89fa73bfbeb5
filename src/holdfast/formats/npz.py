"""Arrays in numpy's zip, `model.weights.npz`.

Owns the members' headers. Leaves the zip to `zip_members`.

Keras itself puts pickled Python objects into these zips, which nothing here ever unpickles: such a
file is refused. What others wrote, one plain array a member, is read.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdfast.errors import FormatError
from holdfast.formats.guard import DEEPEST_TREE, OBJECT, Budget
from holdfast.formats.model_file import ByPath, Entry
from holdfast.formats.region import Region
from holdfast.formats.zip_members import ZipMembers

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_HEADER = re.compile(
    r"\{\s*'descr':\s*'([<>|=][a-zO]\d*)',\s*'fortran_order':\s*(True|False),"
    r"\s*'shape':\s*\(([\d, ]*)\),?\s*\}\s*"
)
_TYPES = {
    "b1": "bool", "u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32",
    "i4": "int32", "u8": "uint64", "i8": "int64", "f2": "float16", "f4": "float32",
    "f8": "float64", "c8": "complex64", "c16": "complex128", "V2": "bfloat16",
}  # fmt: skip


def by_path(region: Region, budget: Budget) -> ByPath:
    """Return the arrays of a zip of numpy's.

    Args:
        region: the zip.
        budget: of the file it is in.

    Raises:
        FormatError: it is damaged, or needs unpickling.
    """
    members = ZipMembers(region, budget)
    entries = {}
    for member in members.names:
        name = member.removesuffix(".npy")
        if name.count("/") > DEEPEST_TREE:
            raise FormatError(
                f"{region.name}: {name[:80]}… is more than {DEEPEST_TREE} groups deep"
            )
        entries[name] = _entry(members.open(member), name, budget)
    return ByPath(entries)


def _entry(region: Region, name: str, budget: Budget) -> Entry:
    where = region.name
    head = region.read(0, min(region.size, 12))
    if head[:6] != _MAGIC or len(head) < 12 or head[6] not in (1, 2, 3):
        raise FormatError(f"{where} is no array of numpy's")
    begin = 10 if head[6] == 1 else 12
    length = struct.unpack_from("<H" if head[6] == 1 else "<I", head, 8)[0]
    if length > _LONGEST_HEADER:
        raise FormatError(f"{where} has a header of {length} bytes")
    text = region.read(begin, length).decode("latin-1")
    found = _HEADER.fullmatch(text)
    code = found[1] if found else ""
    if code[1:2] == "O":
        raise FormatError(
            f"{where} holds pickled Python objects, which are never unpickled: save the model "
            "again with weights_format='h5'"
        )
    if found is None or code[1:] not in _TYPES:
        raise FormatError(f"{where} has a header that is not known: {text[:80]!r}")
    shape = tuple(int(size) for size in found[3].split(",") if size.strip())
    dtype, begin = _TYPES[code[1:]], begin + length
    size = math.prod(shape) * int(code[2:])
    if begin + size != region.size:
        raise FormatError(
            f"{where} has the shape {shape}, which takes {size} bytes, and has "
            f"{region.size - begin}"
        )
    budget.spend(size + OBJECT)
    return Entry(name, shape, dtype, _reading(region, begin, dtype, shape, code, found[2]))


def _reading(
    region: Region, at: int, dtype: str, shape: tuple[int, ...], code: str, columns: str
) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        order = shape[::-1] if columns == "True" else shape
        array = region.array(at, dtype, order)
        if code[0] == ">":
            array = array.byteswap(inplace=True)
        return array.T if columns == "True" else array

    return read
