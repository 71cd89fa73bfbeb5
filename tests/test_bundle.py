"""TensorFlow's checkpoints: what TensorFlow wrote is read, and what is written is as it writes.

The files of data/bundle were written by TensorFlow 2.15 (make.py, there), and what it reads from
them lies beside each.
"""

import shutil
import sys
from pathlib import Path

import cramjam
import ml_dtypes
import numpy as np
import pytest

from holdfast.errors import FormatError, MissingExtraError
from holdfast.formats import bundle_writing, object_graph
from holdfast.formats.bundle import OBJECT_GRAPH, Bundle
from holdfast.formats.bundle_v1 import OldBundle
from holdfast.formats.checkpoint_file import find_checkpoint, open_checkpoint
from holdfast.formats.crc import crc32c, mask
from holdfast.formats.model_file import ByName, ByObject
from holdfast.formats.object_graph import VALUE, GraphBuilder
from holdfast.formats.table import MAGIC, Table, write_table
from holdfast.formats.tensor_slices import slice_key
from holdfast.formats.wire import varint

DATA = Path(__file__).parent / "data" / "bundle"
NAMES = {
    "dtypes": "dtypes",
    "strings": "strings",
    "shards": "shards",
    "named": "named",
    "partitioned": "partitioned",
    "axes": "axes",
    "axes2": "axes2",
    "model": "model/ck",
    "manager": "manager/ckpt-3",
}
OLD = ("old.ckpt", "oldparts.ckpt")


def expected(name):
    """What TensorFlow read: arrays by key, strings as arrays of objects."""
    found = {}
    with np.load(DATA / f"{name}.npz") as kept:
        for stored in kept.files:
            kind, key = stored[:1], stored[2:].replace("|", "/")
            if kind == "a":
                found[key] = kept[stored]
            elif kind == "b":
                found[key] = kept[stored].view(ml_dtypes.bfloat16)
            elif kind == "l":
                text = kept["s" + stored[1:]].tobytes()
                ends = np.cumsum(kept[stored])
                strings = [text[e - n : e] for e, n in zip(ends, kept[stored], strict=True)]
                shape = tuple(kept["h" + stored[1:]])
                found[key] = bundle_writing.string_array(strings, shape)
    return found


def assert_equal(found, wanted):
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if wanted.dtype == object:
        assert found.tolist() == wanted.tolist()
    else:
        assert found.tobytes() == wanted.tobytes()


def save(prefix, tensors):
    """Write a checkpoint as whoever saves does."""
    written = bundle_writing.write_bundle(tensors)
    data, index = written.names(str(prefix))
    Path(data).write_bytes(b"".join(written.data))
    Path(index).write_bytes(written.index)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_are_read_to_the_bit(name):
    bundle = Bundle.open(DATA / NAMES[name])
    wanted = expected(name)
    assert list(bundle.entries) == sorted(wanted)
    for key, array in wanted.items():
        assert bundle.entries[key].shape == array.shape
        assert_equal(bundle.read(key), array)
        assert_equal(bundle.tensor(key).read(), array)


def test_an_array_is_no_window_onto_the_file(tmp_path):
    """Someone may write over a checkpoint while a model has its arrays."""
    # The first tensor begins where a backend would take it over as it is.
    array = np.arange(1 << 19, dtype="f")
    save(tmp_path / "ck", {"kernel": array})
    found = Bundle.open(tmp_path / "ck").read("kernel")
    path = tmp_path / "ck.data-00000-of-00001"
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert np.array_equal(found, array)
    assert found.flags.writeable


@pytest.mark.parametrize("name", OLD)
def test_tensors_of_old_checkpoints_are_read_to_the_bit(name):
    bundle = OldBundle.open(DATA / name)
    wanted = expected(name)
    assert list(bundle.entries) == sorted(wanted)
    for key, array in wanted.items():
        assert_equal(bundle.tensor(key).read(), array)


def test_every_type_of_tensorflow_has_its_own():
    types = {str(entry.dtype) for entry in Bundle.open(DATA / "dtypes").entries.values()}
    assert types == {
        *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    }


def test_a_bundle_that_was_written_with_high_bytes_first():
    """TensorFlow on such a machine; its own wrote none that is to be had."""
    index = dict(Table((DATA / "dtypes.index").read_bytes(), "index").items())
    index = {key: bytes(value) for key, value in index.items()}
    index[b""] = b"\x08\x01\x10\x01\x1a\x02\x08\x01"
    wanted = expected("dtypes")
    entries = Bundle.open(DATA / "dtypes").entries
    data = b""
    for key in sorted(wanted, key=lambda key: entries[key].offset):
        part = wanted[key].byteswap().tobytes()
        crc = mask(crc32c(part)).to_bytes(4, "little")
        was = index[key.encode()]
        assert was[-5:-4] == b"\x35"
        index[key.encode()] = was[:-4] + crc
        data += part
    bundle = Bundle("turned", write_table(sorted(index.items())), lambda *_: data)
    for key, array in wanted.items():
        assert_equal(bundle.read(key), array)


def test_keys_that_share_much_of_each_other():
    bundle = Bundle.open(DATA / "many")
    assert len(bundle.entries) == 300
    for k in range(300):
        key = f"layer_with_weights-{k}/kernel/.ATTRIBUTES/VARIABLE_VALUE"
        assert bundle.read(key).tolist() == [k, k]


def test_a_tensor_of_no_such_name():
    for bundle in (Bundle.open(DATA / "named"), OldBundle.open(DATA / "old.ckpt")):
        with pytest.raises(FormatError, match="has no tensor 'nothing'"):
            bundle.read("nothing")


def test_a_damaged_byte_is_found_when_its_tensor_is_read(tmp_path):
    for name in ("dtypes.index", "dtypes.data-00000-of-00001"):
        shutil.copy(DATA / name, tmp_path)
    path = tmp_path / "dtypes.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    entry = Bundle.open(tmp_path / "dtypes").entries["int32/matrix"]
    data[entry.offset + 3] ^= 4
    path.write_bytes(data)
    bundle = Bundle.open(tmp_path / "dtypes")
    assert bundle.read("int8/matrix").shape == (3, 2)
    with pytest.raises(FormatError, match="int32/matrix is damaged: its checksum should be"):
        bundle.read("int32/matrix")


def test_numbers_within_keys_are_as_tensorflow_sorts_them():
    """Known keys, from files; and over all sizes they sort as the numbers do."""
    assert slice_key("w", ((100, 100), (0, -1))) == b"\0w\0\1\1\2\xc0d\xc0d\x80\x7f"
    assert slice_key("a\0b\xff"[:3], ()) == b"\0a\0\xffb\0\1\0"
    numbers = sorted({s * (1 << k) + d for k in range(62) for s in (1, -1) for d in (-1, 0, 1)})
    keys = [slice_key("w", ((n, 0),)) for n in numbers]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(numbers)


def test_tables_are_written_as_tensorflow_writes_them():
    paths = [*DATA.rglob("*.index"), *(DATA / name for name in OLD)]
    assert len(paths) > 10
    for path in paths:
        whole = path.read_bytes()
        items = [(key, bytes(value)) for key, value in Table(whole, path.name).items()]
        assert write_table(items) == whole


def test_a_table_of_many_blocks():
    items = [(b"key %06d" % k + b"x" * (k % 50), b"v" * (k % 90)) for k in range(20_000)]
    table = Table(write_table(items), "table")
    assert [(key, bytes(value)) for key, value in table.items()] == items
    for key, value in items[::997]:
        assert bytes(table.get(key)) == value
        assert table.get(key + b"\0") is None
    assert table.get(b"zzz") is None


def test_a_table_that_is_compressed(monkeypatch):
    """As a V1 checkpoint may be: each block is compressed by itself."""
    whole = (DATA / "old.ckpt").read_bytes()
    items = [(key, bytes(value)) for key, value in Table(whole, "old").items()]
    packed = compressed(items)
    assert len(packed) < len(whole)
    bundle = OldBundle("old", packed)
    for key, array in expected("old.ckpt").items():
        assert_equal(bundle.read(key), array)
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(MissingExtraError, match=r'pip install "holdfast\[snappy\]"'):
        OldBundle("old", packed)


def compressed(items):
    """A table of one compressed block."""
    raw = write_table(items)
    # In one block of data: it begins the file, and the metaindex, of 8 bytes, is after it.
    size = raw.index(bytes(4) + b"\1\0\0\0\0\xc0\xf2\xa1\xb0") - 5
    out = b""
    handles = []
    for block in (raw[:size], bytes(4) + b"\1\0\0\0"):
        data = bytes(cramjam.snappy.compress_raw(block)) + b"\1"
        handles.append(varint(len(out)) + varint(len(data) - 1))
        out += data + mask(crc32c(data)).to_bytes(4, "little")
    last = max(key for key, _ in items)
    index = b"\0" + varint(len(last)) + varint(len(handles[0])) + last + handles[0]
    index += bytes(4) + b"\1\0\0\0"
    handles.append(varint(len(out)) + varint(len(index)))
    index += b"\0"
    out += index + mask(crc32c(index)).to_bytes(4, "little")
    return out + (handles[1] + handles[2]).ljust(40, b"\0") + MAGIC


@pytest.mark.parametrize("name", ["dtypes", "strings", "many", "named", "model/ck"])
def test_a_checkpoint_is_written_as_tensorflow_writes_it(name):
    bundle = Bundle.open(DATA / name)
    keys = sorted(bundle.entries, key=lambda key: bundle.entries[key].offset)
    written = bundle_writing.write_bundle({key: bundle.read(key) for key in keys})
    data, index = written.names(str(DATA / name))
    assert b"".join(written.data) == Path(data).read_bytes()
    assert written.index == Path(index).read_bytes()


def test_what_is_written_is_read_again(tmp_path):
    tensors = {
        "float8": np.arange(6).reshape(2, 3).astype(ml_dtypes.float8_e4m3fn),
        "high first": np.arange(6, dtype=">f8"),
        "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "every other": np.arange(20)[::2],
        "none": np.zeros((0, 3)),
        "ü": np.float32(3).reshape(()),
        "words": bundle_writing.string_array([b"a" * 70_000, b"", b"z", b"\xff"], (2, 2)),
        "no words": bundle_writing.string_array([], (0, 2)),
    }
    save(tmp_path / "ck", tensors)
    bundle = Bundle.open(tmp_path / "ck")
    for key, array in tensors.items():
        assert_equal(bundle.read(key), array.astype(array.dtype.newbyteorder("=")))


def test_arrays_are_not_copied_to_be_written():
    array = np.arange(1000, dtype=np.float32)
    (data,) = bundle_writing.write_bundle({"w": array}).data
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("key", ["", "\0w"])
def test_keys_that_bundles_keep_for_themselves(key):
    with pytest.raises(ValueError, match="cannot be saved"):
        bundle_writing.write_bundle({key: np.zeros(1)})


def test_a_type_that_tensorflow_has_not():
    with pytest.raises(TypeError, match="w: TensorFlow has no type for datetime64"):
        bundle_writing.write_bundle({"w": np.zeros(1, "datetime64[s]")})


def test_the_graph_of_a_model():
    weights = open_checkpoint(DATA / "model").weights
    assert isinstance(weights, ByObject)
    root = weights.nodes[0]
    lstm = weights.nodes[root.children["layer_with_weights-0"]]
    assert root.children["layer-0"] == root.children["layer_with_weights-0"]
    assert root.children["root"] == 0  # it is its own child
    kernel = weights.nodes[weights.nodes[lstm.children["cell"]].children["recurrent_kernel"]]
    assert kernel.full_name == "lstm/lstm_cell/recurrent_kernel"
    key = "layer_with_weights-0/cell/recurrent_kernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert_equal(kernel.value.read(), expected("model")[key])


def test_the_slots_of_an_optimizer():
    weights = open_checkpoint(DATA / "manager").weights
    optimizer = weights.nodes[weights.nodes[0].children["optimizer"]]
    wanted = expected("manager")
    found = set()
    for original, slot, number in optimizer.slots:
        entry = weights.nodes[number].value
        assert_equal(entry.read(), wanted[entry.name])
        found.add((weights.nodes[original].full_name, slot))
    assert found == {(f"dense_1/{name}", s) for name in ("kernel", "bias") for s in "mv"}


def test_a_table_is_several_tensors():
    weights = open_checkpoint(DATA / "table").weights
    others = weights.nodes[weights.nodes[0].children["words"]].others
    assert list(others) == ["table-keys", "table-values"]
    keys, values = (others[name].read().tolist() for name in others)
    assert dict(zip(keys, values, strict=True)) == {b"one": 1, b"two": 2}


def test_graphs_are_written_and_read_again():
    for name in ("model/ck", "manager/ckpt-3"):
        stored = Bundle.open(DATA / name).read(OBJECT_GRAPH)[()]
        graph = object_graph.decode(stored, name)
        assert object_graph.decode(object_graph.encode(graph), name) == graph
        reached = dict(graph.walk())
        assert len(set(reached.values())) == len(reached)
        for path, number in reached.items():
            assert graph.find(path) == number
    assert graph.find(("model", "nothing", "more")) is None


def test_the_keys_of_a_graph_that_is_built():
    """Those of the same model and optimizer, as TensorFlow named them."""
    builder = GraphBuilder()
    layer = ("model", "layer_with_weights-0")
    keys = [builder.variable((*layer, name), f"dense/{name}") for name in ("kernel", "bias")]
    for name in ("beta_1", "beta_2", "decay", "iter", "learning_rate"):
        keys.append(builder.variable(("optimizer", name)))
    for name in ("kernel", "bias"):
        keys += [builder.slot((*layer, name), ("optimizer",), slot) for slot in "mv"]
    keys.append(builder.variable(("save_counter",)))
    builder.alias(("model", "layer-0"), layer)
    assert sorted(keys) == sorted(set(expected("manager")) - {OBJECT_GRAPH})
    graph = builder.graph()
    assert graph.find(("model", "layer-0", "bias")) == graph.find((*layer, "bias"))
    assert graph.nodes[graph.find((*layer, "bias"))].attributes[VALUE].full_name == "dense/bias"
    slots = graph.nodes[graph.find(("optimizer",))].slots
    assert [(slot.original, slot.name) for slot in slots] == [
        (graph.find((*layer, name)), slot) for name in ("kernel", "bias") for slot in "mv"
    ]
    assert object_graph.checkpoint_key(("a.b/c",)) == "a..b.Sc/.ATTRIBUTES/VARIABLE_VALUE"


def test_a_checkpoint_without_objects_is_read_by_name():
    for name in ("named", "old.ckpt"):
        weights = open_checkpoint(DATA / name).weights
        assert isinstance(weights, ByName)
        assert_equal(weights.entries["global_step"].read(), np.array(7))
        assert weights.entries["word"].dtype == "string"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("model", "model/ck"),
        ("model/checkpoint", "model/ck"),
        ("model/ck", "model/ck"),
        ("model/ck.index", "model/ck"),
        ("model/ck.data-00000-of-00001", "model/ck"),
        ("shards.data-00002-of-00003", "shards"),
        ("manager", "manager/ckpt-3"),
        ("manager/ckpt-2", "manager/ckpt-2"),
        ("old.ckpt", "old.ckpt"),
        ("make.py", None),
        ("nothing", None),
        ("nothing.data-00000-of-00001", None),
    ],
)
def test_what_people_call_a_checkpoint(path, found):
    assert find_checkpoint(DATA / path) == (found and DATA / found)


def test_no_checkpoint_at_all(tmp_path):
    assert find_checkpoint(tmp_path) is None
    with pytest.raises(FileNotFoundError, match=r"nothing\.index"):
        open_checkpoint(tmp_path / "nothing")


def test_a_directory_with_one_checkpoint_needs_not_say_which(tmp_path):
    save(tmp_path / "variables", {"w": np.zeros(2)})
    assert find_checkpoint(tmp_path) == tmp_path / "variables"
    save(tmp_path / "other", {"w": np.zeros(2)})
    with pytest.raises(FormatError, match=r"2 checkpoints.*give the path of one \(other, var"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "said",
    [
        b'"ck"',
        b'"./ck"',
        b'"/gone/since/ck"',
        b'"C:\\\\gone\\\\ck"',
        b'"c\\153"',
        b'"\\x63k"',
        b'"ck"\nall_model_checkpoint_paths: "older"',
    ],
)
def test_the_checkpoint_that_a_directory_names(tmp_path, said):
    save(tmp_path / "ck", {"w": np.zeros(2)})
    save(tmp_path / "older", {"w": np.zeros(2)})
    (tmp_path / "checkpoint").write_bytes(b"model_checkpoint_path: " + said + b"\n")
    assert find_checkpoint(tmp_path) == tmp_path / "ck"


def test_the_name_of_the_newest_is_written_and_read_again(tmp_path):
    name = 'a "quoted" ü'
    save(tmp_path / name, {"w": np.zeros(2)})
    save(tmp_path / "older", {"w": np.zeros(2)})
    (tmp_path / "checkpoint").write_bytes(bundle_writing.state_text(name))
    assert find_checkpoint(tmp_path) == tmp_path / name
    assert bundle_writing.state_text("ck") == (DATA / "model" / "checkpoint").read_bytes()


def test_checksums_are_those_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(memoryview(bytearray(b"6789")), crc32c(b"12345")) == 0xE3069283
    assert crc32c(b"") == 0
