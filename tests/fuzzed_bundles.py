"""Readers of TensorFlow's checkpoints for `fuzzing`, at several depths.

A table's checksums keep damage from what is behind them, so that its blocks, and its entries, are
also damaged before the checksums are made.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from holdfast.errors import FormatError
from holdfast.formats.bundle import OBJECT_GRAPH, Bundle
from holdfast.formats.bundle_v1 import OldBundle
from holdfast.formats.checkpoint_file import find_checkpoint, weights_of
from holdfast.formats.crc import crc32c, mask
from holdfast.formats.model_file import ByObject
from holdfast.formats.object_graph import decode
from holdfast.formats.table import MAGIC, Table, write_table
from holdfast.formats.wire import read_varint, varint

DATA = Path(__file__).parent / "data" / "bundle"


def read_all(bundle: Bundle | OldBundle) -> None:
    """Read all there is in a checkpoint; what is refused does not keep from the rest."""
    refused: list[FormatError] = []
    for key in bundle.entries:
        try:
            assert bundle.entries[key].shape == bundle.read(key).shape
        except FormatError as error:
            refused.append(error)
    weights = weights_of(bundle)
    if isinstance(weights, ByObject):
        for node in weights.nodes:
            for entry in (node.value, *node.others.values()):
                if entry is not None:
                    entry.read()
    if refused:
        raise refused[0]


def join(*parts: bytes) -> bytes:
    """Return some files as one, so that damage can be to any, and to where one ends."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def split(data: bytes, count: int) -> list[bytes]:
    """Return the files that `join` joined, and as many where it did not."""
    parts = []
    for _ in range(count):
        size = int.from_bytes(data[:4], "little")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts


def items(table: bytes) -> list[bytes]:
    return [part for pair in Table(table, "seed").items() for part in map(bytes, pair)]


def summed(*blocks: bytes) -> bytes:
    """Return a table of blocks with right checksums; the last is the index."""
    out, handle = b"", b""
    for block in blocks:
        handle = varint(len(out)) + varint(len(block))
        raw = block + b"\0"
        out += raw + mask(crc32c(raw)).to_bytes(4, "little")
    return out + (b"\0\0" + handle).ljust(40, b"\0")[:40] + MAGIC


def blocks(table: bytes) -> bytes:
    """Return the first block of a table and its index, joined."""
    view = memoryview(table)
    at, numbers = len(table) - 48, []
    for _ in range(4):
        number, at = read_varint(view, at, len(table), "seed")
        numbers.append(number)
    index = table[numbers[2] : numbers[2] + numbers[3]]
    (_, handle), *_ = Table(table, "seed")._entries(memoryview(index))
    _, at = read_varint(handle, 0, len(handle), "seed")
    size, _ = read_varint(handle, at, len(handle), "seed")
    return join(table[:size], index)


def _two(parts: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return keys and values as a table can hold them."""
    pairs: dict[bytes, bytes] = {}
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        pairs.setdefault(key, value)
    return sorted(pairs.items())


def _read_bundle(data: bytes) -> None:
    index, shard = split(data, 2)
    read_all(Bundle("fuzzed", index, lambda *_: shard))


def _read_blocks(data: bytes) -> None:
    block, index, shard = split(data, 3)
    read_all(Bundle("fuzzed", summed(block, index), lambda *_: shard))


def _read_entries(data: bytes) -> None:
    shard, *parts = split(data, 41)
    read_all(Bundle("fuzzed", write_table(_two(parts)), lambda *_: shard))


def _read_old(data: bytes) -> None:
    read_all(OldBundle("fuzzed", data))


def _read_old_blocks(data: bytes) -> None:
    read_all(OldBundle("fuzzed", summed(*split(data, 2))))


def _read_old_entries(data: bytes) -> None:
    read_all(OldBundle("fuzzed", write_table(_two(split(data, 40)))))


def _read_graph(data: bytes) -> None:
    graph = decode(data, "fuzzed")
    for path, number in graph.walk():
        assert graph.find(path) == number


def _read_state(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="holdfast-fuzz-") as name:
        folder = Path(name, "in")
        folder.mkdir()
        (folder / "checkpoint").write_bytes(data)
        for prefix in (folder / "ck", folder / "ckpt-3", Path(name, "outside")):
            prefix.with_name(prefix.name + ".index").touch()
        found = find_checkpoint(folder)
        # Without the file it would be one of several: it must be the file that said it.
        assert found is not None
        assert found.resolve().is_relative_to(folder)


def _bundles() -> list[tuple[bytes, bytes]]:
    names = ("dtypes", "strings", "named", "partitioned", "axes", "model/ck", "manager/ckpt-3")
    found = []
    for name in names:
        index = (DATA / f"{name}.index").read_bytes()
        found.append((index, (DATA / f"{name}.data-00000-of-00001").read_bytes()[:8000]))
    return [(index, data) for index, data in found if len(data) < 8000]


def _old() -> list[bytes]:
    return [(DATA / name).read_bytes() for name in ("old.ckpt", "oldparts.ckpt")]


def _graphs() -> list[bytes]:
    return [
        Bundle.open(DATA / name).read(OBJECT_GRAPH)[()] for name in ("model/ck", "manager/ckpt-3")
    ]


READERS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]]]] = {
    "bundle": (_read_bundle, lambda: [join(*pair) for pair in _bundles()]),
    "bundle's blocks": (
        _read_blocks,
        lambda: [blocks(index) + join(shard) for index, shard in _bundles()],
    ),
    "bundle's entries": (
        _read_entries,
        lambda: [join(shard, *items(index)) for index, shard in _bundles()],
    ),
    "old checkpoint": (_read_old, _old),
    "old checkpoint's blocks": (_read_old_blocks, lambda: [blocks(table) for table in _old()]),
    "old checkpoint's entries": (
        _read_old_entries,
        lambda: [join(*items(table)) for table in _old()],
    ),
    "object graph": (_read_graph, _graphs),
    "checkpoint": (
        _read_state,
        lambda: [(DATA / name / "checkpoint").read_bytes() for name in ("model", "manager")],
    ),
}
"""What reads bytes, and what gives real ones, by name."""
