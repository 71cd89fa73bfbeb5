"""A model's weights as a TensorFlow checkpoint: on the disk, in an order that loses nothing.

Owns the order in which the files of a checkpoint are replaced. Leaves the objects to
`describe_objects`, and the bytes to `bundle_writing`.

A checkpoint is data and an index whose numbers fit that data alone, under names that its prefix
gives. Were the data replaced first, a kill before the index would leave neither the old nor the
new. So the new data lies beside the old: a bundle may be cut into several files of data, whose
names say how many there are. The first checkpoint has one, the one that replaces it two, of which
the second is empty, the next has one again. The order:

1. the new data, durable; the old index still says the old number of files;
2. the new index, renamed over the old one: this is the commit;
3. the note `checkpoint`, which says which prefix is the newest in its directory;
4. the old data goes.

Whenever it is cut, a reader finds the old checkpoint whole or the new one whole. One that has
opened the old index when the new one comes may find the old data gone, and opens it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.bundle import OBJECT_GRAPH, shard_name
from holdfast.formats.bundle_writing import state_text, string_array, write_bundle
from holdfast.formats.checkpoint_file import STATE
from holdfast.formats.live.describe_objects import objects
from holdfast.formats.object_graph import encode
from holdfast.formats.table import Table, write_table
from holdfast.formats.wire import Message, bytes_field, integer_field
from holdfast.store import files
from holdfast.store.disk import Buffer

_PRODUCER = 1


def write(model: Any, prefix: Path) -> None:
    """Write a checkpoint in the place of what is at `prefix`, or was not; durable then.

    Raises:
        FormatError: TensorFlow has no type for an array.
        OSError: the disk. What was there stands.
    """
    graph, tensors = objects(model)
    tensors[OBJECT_GRAPH] = string_array([encode(graph)], ())
    try:
        bundle = write_bundle(dict(sorted(tensors.items())))
    except TypeError as error:
        raise FormatError(f"{prefix}: {error}. Save the weights as .safetensors") from None
    before = shards_of(prefix)
    count = 2 if before == 1 else 1
    for number in range(count):
        data = bundle.data if number == 0 else ()
        _put(_shard(prefix, number, count), data)
    # The commit.
    _put(_index(prefix), [bundle.index if count == 1 else _cut_in(bundle.index, count)])
    _put(prefix.with_name(STATE), [state_text(prefix.name)])
    if before is not None and before != count:
        files.remove(_shard(prefix, number, before) for number in range(before))


def files_of(prefix: Path) -> list[Path]:
    """Return the files of a checkpoint, the index first; none where there is no checkpoint."""
    count = shards_of(prefix)
    if count is None:
        return []
    return [_index(prefix), *(_shard(prefix, number, count) for number in range(count))]


def shards_of(prefix: Path) -> int | None:
    """Return in how many files the data of a checkpoint is, or None where there is none."""
    index = _index(prefix)
    try:
        header = Table(index.read_bytes(), str(index)).get(b"")
        return None if header is None else Message(header, str(index)).integer(1)
    except (OSError, FormatError):
        return None


def _put(path: Path, buffers: Sequence[Buffer]) -> None:
    files.replace_by(path, lambda aside: files.write_new(aside, buffers))


def _cut_in(index: bytes, count: int) -> bytes:
    """Return an index that says that the data is in so many files; all of it is in the first."""
    header = integer_field(1, count) + bytes_field(3, integer_field(1, _PRODUCER))
    items = Table(index, "the index").items()
    return write_table((key, bytes(value) if key else header) for key, value in items)


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _shard(prefix: Path, number: int, count: int) -> Path:
    return prefix.with_name(shard_name(prefix.name, number, count))
