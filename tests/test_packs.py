"""Packs: the safetensors library reads ours, we read its, and a hostile one harms nobody."""

import json
import os
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from tiny_run import array, contents

from holdfast.errors import DamagedError, HoldfastError
from holdfast.store import packs
from holdfast.types import Array

# As the safetensors library calls them.
CODES = {
    np.dtype(bool): "BOOL",
    np.dtype("uint8"): "U8",
    np.dtype("int8"): "I8",
    np.dtype(ml_dtypes.float8_e4m3fn): "F8_E4M3",
    np.dtype(ml_dtypes.float8_e5m2): "F8_E5M2",
    np.dtype("uint16"): "U16",
    np.dtype("int16"): "I16",
    np.dtype("float16"): "F16",
    np.dtype(ml_dtypes.bfloat16): "BF16",
    np.dtype("uint32"): "U32",
    np.dtype("int32"): "I32",
    np.dtype("float32"): "F32",
    np.dtype("uint64"): "U64",
    np.dtype("int64"): "I64",
    np.dtype("float64"): "F64",
    np.dtype("complex64"): "C64",
}

anything = st.tuples(
    st.sampled_from(list(CODES)),
    st.just(()) | array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4),
    st.integers(0, 2**32 - 1),
).map(lambda drawn: noise(*drawn))


def check(path):
    """Check a pack by itself."""
    with packs.Pack(path) as pack:
        pack.check()


def noise(dtype, shape, seed):
    """Any bits: NaNs with their payloads, infinities and negative zeros among them."""
    count = int(np.prod(shape, dtype=int)) * dtype.itemsize
    data = np.random.default_rng(seed).bytes(count)
    if dtype.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, dtype).reshape(shape)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("packs")


def pack_of(folder, data):
    path = folder / "pack.safetensors"
    path.write_bytes(data)
    return path


def write(path, arrays, most=None):
    """Write a pack of some of the arrays that it has room for; returns the bytes it says it has."""
    with packs.writing(path, arrays if most is None else most) as pack:
        for item in arrays:
            pack.add(item, blake3(item.data).hexdigest())
    return pack.size


def read_all(path, names):
    with packs.Pack(path) as pack:
        return [pack.read(name) for name in names]


def hostile(header, data=b"\0" * 64):
    """The bytes of a pack with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(**changes):
    return {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}


def test_every_type_there_is_can_be_stored():
    assert all(packs.storable(dtype.name) for dtype in CODES)
    assert not packs.storable("object")
    assert not packs.storable("complex128")


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), anything, min_size=1, max_size=5))
def test_safetensors_reads_ours_and_we_read_its(folder, values):
    ours = folder / "ours.safetensors"
    ours.unlink(missing_ok=True)
    arrays = [array(name, value) for name, value in values.items()]
    assert write(ours, arrays) == ours.stat().st_size
    check(ours)
    theirs = dict(safetensors.deserialize(ours.read_bytes()))
    assert {
        name: (found["dtype"], tuple(found["shape"]), bytes(found["data"]))
        for name, found in theirs.items()
    } == {
        name: (CODES[value.dtype], value.shape, value.tobytes()) for name, value in values.items()
    }
    path = pack_of(folder, safetensors.numpy.save(values, metadata={"by": "another program"}))
    for written in (ours, path):
        assert contents(read_all(written, values)) == contents(arrays)


@pytest.mark.parametrize("dtype", CODES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (3, 2)], ids=str)
def test_each_type_in_each_shape(folder, dtype, shape):
    value = noise(dtype, shape, 1)
    path = pack_of(folder, safetensors.numpy.save({"x": value}))
    assert contents(read_all(path, ["x"])) == contents([array("x", value)])


def test_the_data_begin_at_a_multiple_of_8(folder):
    for name in ("x" * length for length in range(1, 10)):
        path = folder / f"{name}.safetensors"
        write(path, [array(name, np.zeros(3, "uint8"))])
        assert (8 + int.from_bytes(path.read_bytes()[:8], "little")) % 8 == 0


def test_a_pack_is_never_written_over(folder):
    path = folder / "there.safetensors"
    write(path, [array("x", np.ones(3))])
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write(path, [array("x", np.zeros(3))])
    assert path.read_bytes() == before


def test_a_pack_may_get_fewer_arrays_than_it_has_room_for(folder):
    all_of_them = [array(f"x/{number}", np.full(number, number)) for number in range(20)]
    for chosen in (all_of_them[3:4], all_of_them[::7], all_of_them[:1], all_of_them):
        path = folder / "some.safetensors"
        path.unlink(missing_ok=True)
        assert write(path, chosen, all_of_them) == path.stat().st_size
        check(path)
        assert packs.data_size(path) == sum(item.data.nbytes for item in chosen)
        names = [item.name for item in chosen]
        assert contents(read_all(path, names)) == contents(chosen)
        theirs = safetensors.numpy.load_file(path)
        assert {name: value.tolist() for name, value in theirs.items()} == {
            item.name: [int(item.name[2:])] * int(item.name[2:]) for item in chosen
        }


def test_where_nothing_is_added_or_the_block_fails_there_is_no_file(folder):
    path, items = folder / "none.safetensors", [array("x", np.ones(3))]
    with packs.writing(path, items):
        pass
    assert not path.exists()

    def fail():
        with packs.writing(path, items) as pack:
            pack.add(items[0], blake3(items[0].data).hexdigest())
            assert path.exists()
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        fail()
    assert not path.exists()


def test_names_that_the_format_has_taken_are_refused(folder):
    path = folder / "taken.safetensors"
    for name in ("__metadata__", "__header__"):
        with pytest.raises(ValueError, match=name):
            write(path, [array(name, np.ones(3))])
    assert not path.exists()


def test_each_byte_changed_and_each_cut_is_found_in_the_pack_alone(folder):
    items = [
        array("trainable/0", np.arange(6, dtype="float32").reshape(2, 3)),
        array("empty", np.zeros((0, 5), "int64")),
        array("y", np.array([True, False])),
    ]
    path = folder / "checked.safetensors"
    # With room for one more there are spaces after the header.
    write(path, items, [*items, array("not/there", np.ones(9))])
    check(path)
    whole = path.read_bytes()
    assert b"}     " in whole
    for offset in range(len(whole)):
        # With 0x0F, the type of a float is that of an integer of its size.
        for mask in (0x0F, (0x01, 0x29, 0x80)[offset % 3]):
            harmed = bytearray(whole)
            harmed[offset] ^= mask
            must_be_damaged(pack_of(folder, harmed))
    for length in range(len(whole)):
        must_be_damaged(pack_of(folder, whole[:length]))
    for more in (b"\0", b" " * 8):
        must_be_damaged(pack_of(folder, whole + more))
    # Eight spaces more, and a length that knows of them.
    length = int.from_bytes(whole[:8], "little")
    for count, damaged in ((8, False), (4, True)):
        longer = (length + count).to_bytes(8, "little") + whole[8 : 8 + length]
        found = pack_of(folder, longer + b" " * count + whole[8 + length :])
        if damaged:
            must_be_damaged(found)
        else:
            check(found)


def must_be_damaged(path):
    with pytest.raises(DamagedError) as raised:
        check(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_pack_of_another_program_cannot_be_checked_by_itself(folder):
    data = safetensors.numpy.save({"x": np.ones(3)})
    must_be_damaged(pack_of(folder, data))
    data = safetensors.numpy.save({"x": np.ones(3)}, metadata={"x": "0" * 64})
    must_be_damaged(pack_of(folder, data))


def test_checking_takes_little_memory(folder):
    path = folder / "large.safetensors"
    path.unlink(missing_ok=True)
    items = [array("x", np.arange(2_000_001)), array("y", np.ones(3))]
    write(path, items)
    tracemalloc.start()
    try:
        check(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2_000_000
    data = bytearray(path.read_bytes())
    data[9_999_999] ^= 1
    with pytest.raises(DamagedError, match="the BLAKE3 of x should be "):
        check(pack_of(folder, data))


def test_overlapping_arrays_are_read(folder):
    header = {
        "x": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "y": {"dtype": "U8", "shape": [3], "data_offsets": [1, 4]},
    }
    path = pack_of(folder, hostile(header, b"abcdefgh"))
    assert [bytes(found.data) for found in read_all(path, "xy")] == [b"abc", b"bcd"]


HOSTILE = {
    "no bytes": b"",
    "half a length": b"\x01\x00",
    "a header longer than the file": (10**6).to_bytes(8, "little") + b"{}",
    "a header longer than any": b"\xff" * 8 + b"{}",
    "no JSON": hostile(b"{"),
    "no text": hostile(b"\xff\xfe\xfd\xfc"),
    "no object": hostile([1]),
    "no arrays but numbers": hostile({"x": 1}),
    "deep": hostile(b"[" * 100_000 + b"]" * 100_000),
    "a name twice": hostile(b'{"x":%b,"x":%b}' % ((json.dumps(entry()["x"]).encode(),) * 2)),
    "a field missing": hostile({"x": {"dtype": "F32", "shape": [4]}}),
    "a field twice": hostile(
        b'{"x":{"dtype":"F32","shape":[4],"shape":[4],"data_offsets":[0,16]}}'
    ),
    "an unknown type": hostile(entry(dtype="F128")),
    "a type that is no text": hostile(entry(dtype=["F32"])),
    "beyond the file": hostile(entry(shape=[100], data_offsets=[0, 400])),
    "far beyond the file": hostile(entry(shape=[2**58], data_offsets=[0, 2**60])),
    "begins beyond the file": hostile(entry(shape=[0], data_offsets=[65, 65])),
    "a negative offset": hostile(entry(data_offsets=[-8, 8])),
    "backwards": hostile(entry(data_offsets=[16, 0])),
    "offsets that are floats": hostile(entry(data_offsets=[0.0, 16.0])),
    "an offset that is NaN": hostile(entry(data_offsets=[0, float("nan")])),
    "offsets that are texts": hostile(entry(data_offsets=["0", "16"])),
    "one offset": hostile(entry(data_offsets=[16])),
    "three offsets": hostile(entry(data_offsets=[0, 8, 16])),
    "a shape that is a float": hostile(entry(shape=[4.0])),
    "a shape that is true": hostile(entry(shape=[4, True])),
    "a shape that is a number": hostile(entry(shape=4)),
    "negative sizes": hostile(entry(shape=[-2, -2])),
    "another size than its shape": hostile(entry(shape=[5])),
    "a shape that no computer can make": hostile(entry(shape=[0, 2**62, 4], data_offsets=[0, 0])),
    "sizes of 4000 digits": hostile(entry(shape=[0, 10**4000], data_offsets=[0, 0])),
    "more dimensions than numpy has": hostile(entry(shape=[1] * 65, data_offsets=[0, 4])),
    "few bytes as many": hostile(
        {name: {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]} for name in "xyz"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pack_is_damaged_and_takes_no_memory(folder, data):
    path = pack_of(folder, data)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError) as raised:
            read_all(path, ["x"])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(raised.value).startswith(f"{path}: ")
    assert "found none of that name" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert most < 4 * len(data) + 100_000


def test_a_pipe_is_no_pack(folder):
    path = folder / "pipe.safetensors"
    os.mkfifo(path)
    with pytest.raises(DamagedError, match="expected a file"):
        packs.Pack(path)


def test_a_file_that_is_cut_while_it_is_open(folder):
    path = folder / "cut.safetensors"
    write(path, [array("x", np.zeros(100))])
    with packs.Pack(path) as pack:
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(DamagedError, match="ends within x"):
            pack.read("x")
        with pytest.raises(DamagedError, match="expected an array 'y'"):
            pack.read("y")


headers = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["F32", "BF16", "x", "dtype", "shape", "data_offsets"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "dtype", "shape", "data_offsets"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(headers | st.builds(lambda value: {"x": value}, headers), st.data())
def test_any_header_is_read_or_damaged(folder, header, data):
    if data.draw(st.booleans()):
        header = entry(**{data.draw(st.sampled_from(["dtype", "shape", "data_offsets"])): header})
    path = pack_of(folder, hostile(header))
    try:
        (found,) = read_all(path, ["x"])
    except HoldfastError:
        return
    assert isinstance(found, Array)
    assert np.frombuffer(found.data, np.dtype(found.dtype)).reshape(found.shape).nbytes <= 64
