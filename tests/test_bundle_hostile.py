"""Checkpoints that lie: each is refused with the reason, before room is made for its claims."""

import struct
import tracemalloc
from pathlib import Path
from time import process_time

import cramjam
import numpy as np
import pytest
from fuzzed_bundles import summed

from holdfast.errors import FormatError
from holdfast.formats import bundle_writing, object_graph
from holdfast.formats.bundle import Bundle
from holdfast.formats.bundle_v1 import OldBundle
from holdfast.formats.checkpoint_file import find_checkpoint, open_checkpoint
from holdfast.formats.crc import crc32c, mask
from holdfast.formats.object_graph import VALUE
from holdfast.formats.table import MAGIC, Table, write_table
from holdfast.formats.tensor_slices import slice_key
from holdfast.formats.wire import (
    Message,
    bytes_field,
    fixed32_field,
    integer_field,
    join,
    text_field,
    varint,
)

DATA = Path(__file__).parent / "data" / "bundle"
HEADER = integer_field(1, 1)
FLOAT, STRING, BOOL = 1, 7, 10


def entry(data=b"", *, kind=FLOAT, shape=(), shard=0, offset=0, size=None, crc=None, more=b""):
    """What an index says of a tensor."""
    return join(
        [
            integer_field(1, kind),
            bytes_field(2, dimensions(shape)),
            integer_field(3, shard),
            integer_field(4, offset),
            integer_field(5, len(data) if size is None else size),
            fixed32_field(6, mask(crc32c(data)) if crc is None else crc),
            more,
        ]
    )


def dimensions(shape):
    return join(bytes_field(2, integer_field(1, n)) for n in shape)


def extents(*pairs):
    """A slice as an entry lists it; None for all of a dimension."""
    return join(
        bytes_field(1, b"" if p is None else integer_field(1, p[0]) + integer_field(2, p[1]))
        for p in pairs
    )


def write(folder, entries, data, header=HEADER):
    """Write a real checkpoint of what is said."""
    items = {
        b"": header,
        **{k if isinstance(k, bytes) else k.encode(): v for k, v in entries.items()},
    }
    (folder / "ck.index").write_bytes(write_table(sorted(items.items())))
    (folder / "ck.data-00000-of-00001").write_bytes(data)
    return folder / "ck"


def refused(path, reason, key=None):
    def read():
        bundle = Bundle.open(path)
        return bundle.read(key or next(iter(bundle.entries)))

    with pytest.raises(FormatError, match=reason) as caught:
        read()
    assert "ck" in str(caught.value)  # it names the file


def test_what_is_crafted_here_is_else_sound(tmp_path):
    data = b"\0" * 24
    path = write(tmp_path, {"w": entry(data, shape=(2, 3))}, data)
    assert Bundle.open(path).read("w").tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"shape": (-1,)}, r"its shape is \(-1,\)"),
        ({"shape": (2**62, 0, 2**62)}, "more than any file holds"),
        ({"shape": (2**62, 8)}, "more than any file holds"),
        ({"shape": (7,)}, r"float32 of shape \(7,\) is 28 bytes, and it has 24"),
        ({"shape": (2**40,)}, "and it has 24"),
        ({"shape": (1,) * 65}, "65 dimensions"),
        ({"shape": (6,), "offset": -4}, "24 bytes at -4 do not lie within the 24 bytes"),
        ({"shape": (6,), "offset": 1}, "24 bytes at 1 do not lie within the 24 bytes"),
        ({"shape": (6,), "offset": 2**63 - 1}, "do not lie within"),
        ({"shape": (6,), "size": -24}, "-24 bytes"),
        ({"shape": (6,), "size": 2**63 - 1}, "do not lie within"),
        ({"shape": (2**38,), "size": 2**40}, "do not lie within"),
        ({"shape": (6,), "shard": 1}, "in shard 1, and there are 1"),
        ({"shape": (6,), "shard": -1}, "in shard -1"),
        ({"shape": (6,), "kind": 20}, "elements of type 20, which Holdfast does not read"),
        ({"shape": (6,), "kind": 0}, "elements of type 0"),
        ({"shape": (6,), "kind": -1}, "elements of type -1"),
        ({"shape": (24,), "kind": STRING}, "24 strings cannot lie in 24 bytes"),
        ({"shape": (2**40,), "kind": STRING}, "strings cannot lie in 24 bytes"),
        ({"shape": (6,), "crc": 1}, "its checksum should be 00000001 and is"),
        ({"shape": (24,), "kind": BOOL}, "an element should be 0 or 1"),
    ],
)
def test_an_entry_that_lies(tmp_path, said, reason):
    data = b"\2" * 24
    refused(write(tmp_path, {"w": entry(data, **said)}, data), reason)


def test_a_shape_that_is_unknown(tmp_path):
    wrong = integer_field(1, FLOAT) + bytes_field(2, integer_field(3, 1))
    refused(write(tmp_path, {"w": wrong}, b""), "its shape is unknown")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "there are 0 shards"),
        (integer_field(1, -1), "there are -1 shards"),
        (integer_field(1, 2**31 - 1), "there are 2,147,483,647 shards"),
        (integer_field(1, 2), r"there are 2 files of data, and ck\.data-00000-of-00002"),
        (HEADER + integer_field(2, 7), "order of bytes is 7"),
        (bytes_field(1, b"1"), "field 1 should be a number and is bytes"),
    ],
)
def test_a_header_that_lies(tmp_path, header, reason):
    refused(write(tmp_path, {"w": entry(b"\0" * 4)}, b"\0" * 4, header), reason)


def test_an_index_without_a_header(tmp_path):
    path = write(tmp_path, {}, b"")
    for items in ([], [(b"w", entry(b"\0" * 4))]):
        (tmp_path / "ck.index").write_bytes(write_table(items))
        refused(path, "of no TensorBundle: it has no header")


def test_tensors_on_the_same_bytes(tmp_path):
    """Each would be read for itself: a thousand of them are a thousand times the file."""
    data = b"\0" * 24
    whole = entry(data, shape=(6,))
    refused(write(tmp_path, {"a": whole, "b": whole}, data), "two tensors lie on the same bytes")
    last = entry(data[:4], offset=20)
    refused(write(tmp_path, {"a": whole, "b": last}, data), "two tensors lie on the same bytes")


def test_a_key_that_is_no_text(tmp_path):
    refused(write(tmp_path, {b"\xff": entry(b"\0" * 4)}, b"\0" * 4), "is no text")


def strings(lengths, text, count=None, crc=None):
    """A string tensor's bytes and its entry, the checksums right unless told."""
    check = mask(crc32c(b"".join(struct.pack("<I", n % 2**32) for n in lengths)))
    check = check.to_bytes(4, "little")
    data = b"".join(map(varint, lengths)) + check + text
    fixed = b"".join(struct.pack("<I", n % 2**32) for n in lengths)
    shape = (len(lengths) if count is None else count,)
    return data, entry(data, kind=STRING, shape=shape, crc=mask(crc32c(fixed + check + text)))


@pytest.mark.parametrize(
    ("lengths", "count", "reason"),
    [
        ([2, 4], None, "the lengths of its strings do not add up"),
        ([2, 2], None, "the lengths of its strings do not add up"),
        ([2**63, 2**63], None, "the lengths of its strings do not add up"),
        ([2**64 - 1, 4], None, "the lengths of its strings do not add up"),
        ([2**32 + 3], None, "the lengths of its strings do not add up"),
    ],
)
def test_lengths_of_strings_that_lie(tmp_path, lengths, count, reason):
    data, said = strings(lengths, b"abcde", count)
    refused(write(tmp_path, {"w": said}, data), reason)


def test_strings_with_the_wrong_checksums(tmp_path):
    data, said = strings([2, 3], b"abcde")
    assert Bundle.open(write(tmp_path, {"w": said}, data)).read("w").tolist() == [b"ab", b"cde"]
    refused(write(tmp_path, {"w": said}, data[:-1] + b"f"), "w is damaged")
    swapped = data[1::-1] + data[2:]
    refused(write(tmp_path, {"w": said}, swapped), "the lengths of its strings is damaged")


def test_strings_that_end_within_their_lengths(tmp_path):
    data = b"\x80" * 40
    refused(
        write(tmp_path, {"w": entry(data, kind=STRING, shape=(3,))}, data),
        "it ends after 0 of 3 numbers",
    )
    data = b"\x80" * 30 + b"\1" * 10
    refused(
        write(tmp_path, {"w": entry(data, kind=STRING, shape=(3,))}, data), "longer than 64 bits"
    )


def sliced(tmp_path, shape, slices, parts=None):
    """A partitioned variable of these slices: [((start, length), …), shape of its entry]."""
    more = join(bytes_field(7, extents(*pairs)) for pairs, _ in slices)
    entries = {"w": entry(shape=shape, crc=0, more=more)}
    offset, data = 0, b"\0" * 400
    for pairs, size in slices if parts is None else parts:
        part = data[: 4 * size]
        key = slice_key("w", tuple((0, -1) if p is None else p for p in pairs))
        lengths = tuple(n if p is None else p[1] for p, n in zip(pairs, shape, strict=True))
        entries[key] = entry(part, shape=lengths, offset=offset)
        offset += len(part)
    return write(tmp_path, entries, data)


@pytest.mark.parametrize(
    ("shape", "slices", "reason"),
    [
        ((6,), [([(0, 3)], 3), ([(2, 3)], 3)], "its slices overlap"),
        ((6,), [([(0, 3)], 3)], r"its slices have 3 elements, and its shape \(6,\) has 6"),
        ((6,), [([(0, 3)], 3), ([(4, 3)], 3)], "a slice from 4 to 7 does not lie within its 6"),
        ((6,), [([(-1, 3)], 3), ([(3, 3)], 3)], "a slice begins at -1"),
        ((6,), [([(0, 3), (0, 1)], 3)], "a slice of it has 2 dimensions, not 1"),
        ((2**40,), [([(0, 3)], 3), ([(3, 2**40 - 3)], 3)], "bytes, and it has 12"),
    ],
)
def test_slices_that_lie(tmp_path, shape, slices, reason):
    parts = [(pairs, size) for pairs, size in slices if len(pairs) == len(shape)]
    refused(sliced(tmp_path, shape, slices, parts), reason, "w")


def test_slices_that_cover_the_whole(tmp_path):
    path = sliced(
        tmp_path, (6, 2), [([(0, 4), None], 8), ([(4, 2), (0, 1)], 2), ([(4, 2), (1, 1)], 2)]
    )
    assert Bundle.open(path).read("w").shape == (6, 2)


def test_a_slice_that_is_not_there(tmp_path):
    path = sliced(tmp_path, (6,), [([(0, 3)], 3), ([(3, 3)], 3)], [([(0, 3)], 3)])
    refused(path, r"its slice \(\(3, 3\),\) is not there", "w")


def test_a_slice_that_is_sliced_or_of_another_type(tmp_path):
    """A slice that has slices could have itself."""
    more = bytes_field(7, extents(None))
    whole = entry(shape=(1,), crc=0, more=more)
    for part in (whole, entry(b"\0" * 4, kind=3, shape=(1,))):
        path = write(tmp_path, {"w": whole, slice_key("w", ((0, -1),)): part}, b"\0" * 4)
        refused(path, "does not fit into float32", "w")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"\x08" + b"\xff" * 10 + b"\x01", "longer than 64 bits"),
        (b"\x08" + b"\x80" * 11, "longer than 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "longer than 64 bits"),
        (b"\x08\xff", "ends within a number"),
        (b"\x12\x05\x01", "field 2 says that it has 5 bytes, where 1 are left"),
        (b"\x12" + b"\xff" * 9 + b"\x01", "where 0 are left"),
        (b"\x35\x01\x02", "field 6 says that it has 4 bytes, where 2 are left"),
        (b"\x0b\x0c", "field 1 is of kind 3"),
        (b"\x02\x01", "there is no field 0"),
        (varint((1 << 29) << 3) + b"\x01", "there is no field 536870912"),
        (bytes_field(2, b"") * 2, "has field 2 more than once"),
    ],
)
def test_an_entry_that_is_no_message(tmp_path, wrong, reason):
    refused(write(tmp_path, {"w": wrong}, b""), reason)


def test_a_message_within_itself_without_end():
    deep = b""
    for _ in range(100):
        deep = bytes_field(1, deep)

    def read(message):
        read(message.message(1))

    with pytest.raises(FormatError, match="the message is refused: it is nested more than 64 deep"):
        read(Message(deep, "the message"))


def blocks(*entries, restarts=(0,)):
    """A block of (shared, key's rest, value) as they are said."""
    out = b"".join(
        varint(shared) + varint(len(rest)) + varint(len(value)) + rest + value
        for shared, rest, value in entries
    )
    return out + b"".join(struct.pack("<I", n) for n in (*restarts, len(restarts)))


def table(block):
    """A table of one block, whatever it says, its checksums right."""
    return summed(block, blocks((0, b"\xff", varint(0) + varint(len(block)))))


def test_a_table_that_is_crafted_here_is_else_sound():
    found = Table(table(blocks((0, b"one", b"1"), (2, b"x", b"2"))), "table").items()
    assert [(key, bytes(value)) for key, value in found] == [(b"one", b"1"), (b"onx", b"2")]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (blocks((0, b"b", b""), (0, b"a", b"")), "keys should increase, and b'a' comes after b'b'"),
        (blocks((0, b"a", b""), (1, b"", b"")), "keys should increase"),
        (blocks((1, b"a", b"")), "has 1 bytes of the key before it, which has 0"),
        (b"\0\xff\xff\x03\0" + blocks(), "65,535 of its own"),
        (b"\0\1" + b"\xff" * 9 + b"\1a" + blocks(), "where 5 are left|of its own"),
        (b"\0\x80" + blocks(), "ends within a number"),
        (b"\xff\xff\xff\xff", "too short for its 4294967295 restarts"),
        (b"", "too short"),
        (blocks(restarts=(0, 0))[4:], "too short"),
    ],
)
def test_a_block_that_lies(block, reason):
    with pytest.raises(FormatError, match=reason):
        list(Table(table(block), "table").items())
    with pytest.raises(FormatError, match=reason):
        Table(table(block), "table").get(b"x")


def test_blocks_whose_keys_do_not_follow_each_other():
    """The same block twice, or a thousand times, in an index that is else sound."""
    block = blocks((0, b"k", b"v"))
    handle = varint(0) + varint(len(block))
    index = blocks((0, b"x", handle), (0, b"y", handle))
    with pytest.raises(FormatError, match="keys should increase, and b'k' comes after b'k'"):
        list(Table(summed(block, index), "table").items())


@pytest.mark.parametrize("size", [0, 1, 47, 48, 100])
def test_a_table_that_is_cut_off(size):
    whole = (DATA / "dtypes.index").read_bytes()
    with pytest.raises(FormatError, match=r"dtypes\.index is no table of TensorFlow's"):
        Table(whole[:size], "dtypes.index")


@pytest.mark.parametrize("handle", [(0, 2**62), (2**63, 1), (2**64 - 1, 2**64 - 1), (10**6, 4)])
def test_a_block_that_is_not_within_its_table(handle):
    footer = (b"\0\0" + varint(handle[0]) + varint(handle[1])).ljust(40, b"\0")
    with pytest.raises(FormatError, match="does not lie within the 100 bytes there are"):
        Table(bytes(100) + footer + MAGIC, "table")


def test_every_damaged_byte_of_an_index_is_found():
    whole = (DATA / "dtypes.index").read_bytes()
    for at in range(len(whole) - 48):  # the footer has no checksum, and padding
        wrong = bytearray(whole)
        wrong[at] ^= 1
        try:
            found = list(Table(wrong, "table").items())
        except FormatError:
            continue
        # In the metaindex, which nobody reads: it is empty.
        assert found == list(Table(whole, "table").items())


def compressed(block, kind=1):
    """A table of one block as it is stored, with its index."""
    raw = block + bytes([kind])
    out = raw + mask(crc32c(raw)).to_bytes(4, "little")
    index = blocks((0, b"\xff", varint(0) + varint(len(block))))
    raw = index + b"\0"
    place = varint(len(out)) + varint(len(index))
    out += raw + mask(crc32c(raw)).to_bytes(4, "little")
    return out + (b"\0\0" + place).ljust(40, b"\0") + MAGIC


@pytest.mark.parametrize(
    ("block", "kind", "reason"),
    [
        (varint(2**40) + b"\0", 1, "says that it holds 1,099,511,627,776, and 154 is the most"),
        (b"\xff" * 20, 1, "longer than 64 bits"),
        (varint(40) + b"\xff\xff\xff", 1, "a compressed block is damaged"),
        (bytes(cramjam.snappy.compress_raw(b"x" * 100))[:-3], 1, "a compressed block is damaged"),
        (b"", 1, "ends within a number"),
        (b"abc", 2, "compressed in an unknown way"),
    ],
)
def test_a_compressed_block_that_lies(block, kind, reason):
    with pytest.raises(FormatError, match=reason):
        list(Table(compressed(block, kind), "table").items())


def graph(*nodes):
    return join(bytes_field(1, node) for node in nodes)


def child(number, name):
    return bytes_field(1, integer_field(1, number) + text_field(2, name))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (graph(child(1, "a")), "it says object 1, and there are 1 objects"),
        (graph(child(-1, "a")), "it says object -1"),
        (graph(child(2**62, "a")), "it says object 4611686018427387904"),
        (graph(bytes_field(3, integer_field(1, 7))), "it says object 7"),
        (graph(bytes_field(3, integer_field(3, -7))), "it says object -7"),
        (graph(child(0, "a") + child(0, "a")), "an object has 'a' twice"),
        (graph(bytes_field(1, bytes_field(2, b"\xff"))), "is no UTF-8"),
        (b"", "it has no objects"),
        (b"\x0a\xff", "ends within a number"),
    ],
)
def test_a_graph_that_lies(data, reason):
    with pytest.raises(FormatError, match=f"ck: the object graph.*{reason}"):
        object_graph.decode(data, "ck")


def test_a_graph_with_cycles_is_walked_once():
    found = object_graph.decode(graph(child(0, "me") + child(1, "a"), child(0, "b")), "ck")
    assert list(found.walk()) == [((), 0), (("a",), 1)]
    assert found.find(["a", "b"] * 100) == 0


def test_a_graph_that_is_one_long_chain():
    """The paths of a chain of 50,000 objects would be 10 GB."""
    data = graph(*(child(k + 1, "x") for k in range(50_000)), b"")
    found = object_graph.decode(data, "ck")
    with pytest.raises(FormatError, match="nested more than 64 deep, at 'x/x/x"):
        list(found.walk())


def checkpoint_of(folder, nodes, kind=STRING, shape=()):
    tensors = {
        "_CHECKPOINTABLE_OBJECT_GRAPH": bundle_writing.string_array(
            [nodes] * (2 if shape else 1), shape
        )
    }
    if kind == FLOAT:
        tensors = {"_CHECKPOINTABLE_OBJECT_GRAPH": np.zeros(shape)}
    written = bundle_writing.write_bundle(tensors)
    (folder / "ck.index").write_bytes(written.index)
    (folder / "ck.data-00000-of-00001").write_bytes(b"".join(written.data))
    return folder / "ck"


def test_a_graph_that_names_a_tensor_that_is_not_there(tmp_path):
    saved = bytes_field(2, text_field(1, VALUE) + text_field(3, "w"))
    with pytest.raises(FormatError, match="its object graph says 'w', which is not there"):
        open_checkpoint(checkpoint_of(tmp_path, graph(saved)))


@pytest.mark.parametrize(("kind", "shape"), [(FLOAT, ()), (STRING, (2,))])
def test_a_graph_that_is_not_one_string(tmp_path, kind, shape):
    with pytest.raises(FormatError, match="its object graph should be one string"):
        open_checkpoint(checkpoint_of(tmp_path, b"", kind, shape))


@pytest.mark.parametrize(
    "said",
    [
        *("../outside", "a/../../outside", "..", "/..", "..\\outside", "/", "", ".", "ck\\000"),
        "x" * 5000,
    ],
)
def test_a_directory_that_names_a_checkpoint_outside(tmp_path, said):
    (tmp_path / "outside.index").touch()
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{said}"'.replace("..\\", "..\\\\"))
    with pytest.raises(FormatError, match=r"checkpoint.* names .*(outside its|is not there)"):
        find_checkpoint(folder)


def test_a_directory_that_names_a_checkpoint_by_where_it_was(tmp_path):
    """An absolute path is that of another machine or day: what it names is looked for here."""
    (tmp_path / "outside.index").touch()
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{tmp_path}/outside"')
    with pytest.raises(FormatError, match=r"in/outside\.index is not there"):
        find_checkpoint(folder)


@pytest.mark.parametrize(
    "piece", [b"\n", b" ", b"model_checkpoint_path", b'model_checkpoint_path: "', b"\\", b'\n"']
)
def test_a_file_that_names_nothing_at_length(tmp_path, piece):
    """What looks for the name must not begin anew at each of a million places."""
    (tmp_path / "checkpoint").write_bytes(piece * (1_000_000 // len(piece)))
    begun = process_time()
    assert find_checkpoint(tmp_path) is None
    assert process_time() - begun < 5


def old(tensors, values):
    """An old checkpoint: what its contents say, and what it has."""
    meta = join(bytes_field(1, tensor) for tensor in tensors)
    items = {b"": bytes_field(1, meta)}
    for key, said, proto in values:
        saved = text_field(1, said) + bytes_field(2, b"") + bytes_field(3, proto)
        items[key] = bytes_field(2, saved)
    return write_table(sorted(items.items()))


def contents(name, shape, kind=FLOAT, slices=()):
    more = join(bytes_field(4, s) for s in slices)
    return text_field(1, name) + bytes_field(2, dimensions(shape)) + integer_field(3, kind) + more


FULL = slice_key("w", ((0, -1),))


@pytest.mark.parametrize(
    ("tensor", "values", "reason"),
    [
        (contents("w", (3,)), [], r"its slice \(\(0, -1\),\) is not there"),
        (contents("w", (3,)), [(FULL, "w", bytes_field(5, bytes(8)))], "should have 3 .* has 2"),
        (contents("w", (2**40,)), [(FULL, "w", bytes_field(5, bytes(8)))], "and has 2"),
        (contents("w", (-3,)), [], r"its shape is \(-3,\)"),
        (contents("w", (3,)), [(FULL, "v", bytes_field(5, bytes(12)))], "are those of 'v'"),
        (contents("w", (3,), 3), [(FULL, "w", bytes_field(7, b"\1\2"))], "cannot lie in 2 bytes"),
        (contents("w", (2**40,), 3), [(FULL, "w", bytes_field(7, b"\1\2"))], "cannot lie in 2"),
        (contents("w", (2,), 3), [(FULL, "w", bytes_field(7, b"\1\2\3"))], "more than its 2"),
        (contents("w", (2,), 3), [(FULL, "w", bytes_field(7, b"\1\x80\1"))][:1], None),
        (contents("w", (2,), 3), [(FULL, "w", bytes_field(7, b"\1\x80"))], "is cut off|and has 1"),
        (contents("w", (1,), 6), [(FULL, "w", bytes_field(7, varint(200)))], "is no int8"),
        (contents("w", (1,), 4), [(FULL, "w", bytes_field(7, varint(-1)))], "is no uint8"),
        (contents("w", (1,), 10), [(FULL, "w", bytes_field(11, b"\2"))], "is no bool"),
        (contents("w", (1,), 3), [(FULL, "w", bytes_field(7, b"\x80" * 12 + b"\1"))], "64 bits"),
        (contents("w", (2,), 7), [(FULL, "w", bytes_field(8, b"a"))], "should have 2 .* has 1"),
        (contents("w", (2**40,), 7), [(FULL, "w", bytes_field(8, b"a"))], "and has 1"),
        (contents("w", (1,), 24), [(FULL, "w", b"")], "float8_e5m2 is not read from so old"),
        (contents("w", (1,), 20), [], "elements of type 20"),
        (contents("w", (3,), slices=[extents((0, 2))]), [], "slices have 2 elements"),
    ],
)
def test_an_old_checkpoint_that_lies(tensor, values, reason):
    data = old([tensor], values)
    if reason is None:
        assert OldBundle("old", data).read("w").tolist() == [1, 128]
        return
    with pytest.raises(FormatError, match=f"old: w.*{reason}"):
        OldBundle("old", data).read("w")


def test_an_old_checkpoint_without_contents():
    for items in ([], [(b"", b"")], [(b"w", b"")]):
        with pytest.raises(FormatError, match="of no checkpoint: it has no contents"):
            OldBundle("old", write_table(items))
    with pytest.raises(FormatError, match="it has 'w' twice"):
        OldBundle("old", old([contents("w", (1,))] * 2, []))


def peak(read, data):
    """The most memory that reading takes; what is refused is refused."""
    tracemalloc.start()
    try:
        read(data)
    except FormatError:
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most


def long_keys():
    """A key of 200 kB, and 20,000 that share it: 4 GB of keys in 300 kB."""
    first = b"a" * 200_000
    rest = [(200_000, b"%05d" % k, b"") for k in range(20_000)]
    return table(blocks((0, b"", HEADER), (0, first, b""), *rest))


def small_entries(count):
    """The smallest entries that are sound: of no elements."""
    said = integer_field(1, FLOAT) + bytes_field(2, dimensions((0,)))
    rest = ((0, b"%06d" % k, said) for k in range(count))
    return table(blocks((0, b"", HEADER), *rest))


def zeros_packed():
    """21 bytes of every 1 in a block of 20 MB."""
    return compressed(bytes(cramjam.snappy.compress_raw(bytes(300_000_000))))


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (long_keys, lambda data: Bundle("ck", data, lambda *_: b"")),
        (long_keys, lambda data: Table(data, "ck").get(b"b")),
        (zeros_packed, lambda data: list(Table(data, "ck").items())),
    ],
)
def test_no_file_takes_much_more_memory_than_it_has_bytes(make, read):
    data = make()
    assert peak(read, data) <= 4 * len(data) + (64 << 20)


def test_more_entries_than_an_index_has_bytes_for():
    with pytest.raises(FormatError, match="too many entries for its size"):
        Bundle("ck", small_entries(300_000), lambda *_: b"")
    with pytest.raises(FormatError, match="keys are too long for it"):
        Table(small_entries(100_000), "ck").get(b"1")


@pytest.mark.parametrize(
    "data",
    [
        graph(*[b""] * 300_000),
        graph(child(0, "") + bytes_field(3, b"") * 300_000),
        graph(*[child(0, "a") + bytes_field(2, text_field(1, "a"))] * 100_000),
    ],
)
def test_more_objects_than_a_graph_has_bytes_for(data):
    """An object of two bytes would cost a hundred."""
    with pytest.raises(FormatError, match="too many objects for its size"):
        object_graph.decode(data, "ck")


def test_more_fields_than_a_message_has_bytes_for():
    with pytest.raises(FormatError, match="too many fields for its size"):
        Message(b"\x08\x01" * 1_200_000, "message")
