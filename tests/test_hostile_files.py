"""Files made to run code, to reach outside themselves or to fill the memory: each is refused.

HDF5, zips, safetensors and the configurations in them. Those of TensorFlow are tested beside their
readers.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import marshal
import re
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_formats_hdf5 import paths, read_paths, whole

from holdfast.errors import FormatError
from holdfast.formats import hdf5, keras_zip
from holdfast.formats.model_file import ByPath
from holdfast.formats.opening import open_file
from holdfast.formats.problems import find_problems

SPARE = 64 << 20


@contextlib.contextmanager
def little_memory(path: Path) -> Iterator[None]:
    """Check that the block takes no more memory than four times the file and 64 MB."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * path.stat().st_size + SPARE


def read_all(path: Path) -> None:
    with open_file(path) as file:
        assert isinstance(file.weights, ByPath)
        for entry in file.weights.entries.values():
            entry.read()
        for asset in file.weights.assets.values():
            asset()


def refused(path: Path, why: str) -> None:
    with pytest.raises(FormatError, match=why) as error, little_memory(path):
        read_all(path)
    assert str(path) in str(error.value)


# ---- code in configurations

CODE = marshal.dumps(compile("import os; os.abort()", "evil", "exec"))
BASE64 = base64.b64encode(CODE).decode()


def layer(kind: str, **config: object) -> dict[str, object]:
    return {"class_name": kind, "config": {"name": "mine", **config}}


@pytest.mark.parametrize(
    "config",
    [
        layer("Lambda", function=[BASE64, None, None], function_type="lambda"),
        layer("Lambda", function=[CODE.decode("latin-1"), None, None], function_type="lambda"),
        layer("Lambda", function=BASE64, function_type="python_lambda"),
        layer("Lambda", function={"class_name": "__lambda__", "config": {"code": BASE64}}),
        layer("Lambda", function="fine", output_shape=[BASE64], output_shape_type="lambda"),
        layer("Dense", activation={"class_name": "__lambda__", "config": {"code": BASE64}}),
        layer("Merge", mode=[BASE64, None, None], mode_type="lambda"),
        layer("TFSMLayer", filepath="/tmp/evil"),
        layer("TorchModuleWrapper", module=BASE64),
        layer("JaxLayer", call_fn={"module": "os", "class_name": "function", "config": "system"}),
        layer("FlaxLayer", module={}),
        layer("Dense", spec={"class_name": "__typespec__", "spec_name": "os", "module": "os"}),
        layer("StringLookup", vocabulary="/etc/passwd"),
        layer("TextVectorization", vocabulary="https://example.org/words"),
    ],
)
def test_what_would_run_or_reach_out_is_named_as_unsafe(config: dict[str, object]) -> None:
    model = {"class_name": "Sequential", "config": {"name": "outer", "layers": [config]}}
    unsafe = [found for found in find_problems(model) if found.kind == "unsafe"]
    assert [found.where for found in unsafe] == ["mine"]


@pytest.mark.parametrize(
    "config",
    [
        {"module": "os", "class_name": "system", "config": {"name": "mine"}},
        {"module": "shutil", "class_name": "function", "config": "rmtree"},
        {"module": None, "class_name": "A", "registered_name": "pkg>A", "config": {}},
        layer("Lambda", function="relu6", function_type="function"),
    ],
)
def test_what_only_custom_objects_can_give_is_named(config: dict[str, object]) -> None:
    model = {"class_name": "Sequential", "config": {"name": "outer", "layers": [config]}}
    assert [found.kind for found in find_problems(model)] == ["unsupported"]


def test_a_model_of_plain_layers_has_no_problems() -> None:
    path = Path(__file__).parent / "data" / "keras_files" / "keras-2.15.keras"
    with open_file(path) as file:
        assert file.problems == ()


def test_a_file_with_bytecode_opens_and_says_so(tmp_path: Path) -> None:
    config = layer("Lambda", function=[BASE64, None, None], function_type="lambda")
    model = {"class_name": "Sequential", "config": {"name": "s", "layers": [config]}}
    with hdf5.read(whole(tmp_path / "m.h5", model_config=json.dumps(model))) as file:
        assert [problem.kind for problem in file.problems] == ["unsafe"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 500 + "1" + "}" * 500, "[" * 250 + "]" * 250]
)
def test_deep_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match=r"deep|expected JSON"):
        hdf5.read(whole(tmp_path / "m.h5", model_config=text))


def test_json_of_very_many_items_is_refused(tmp_path: Path) -> None:
    path = whole(tmp_path / "m.h5", model_config="[" + '{"":{}},' * 1_000_000 + "1]")
    with pytest.raises(FormatError, match="fill the memory"), little_memory(path):
        hdf5.read(path)


# ---- HDF5 that reaches outside


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/x.h5", "/a"), h5py.SoftLink("/layers")])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_links_are_refused(tmp_path: Path, link: object, libver: str) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["layers/dense/vars/0"] = 1.0
        file["layers/evil"] = link
    refused(path, "'evil' as a link")


def test_bytes_in_another_file_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(400))
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/a/vars/0", (100,), "f4", external=[(str(secret), 0, 400)])
    refused(path, "in another file")


def test_virtual_datasets_are_refused(tmp_path: Path) -> None:
    other = paths(tmp_path / "other.h5", a=np.ones(100))
    path = tmp_path / "w.weights.h5"
    layout = h5py.VirtualLayout((100,), "f8")
    layout[:] = h5py.VirtualSource(str(other), "layers/a/vars/0", (100,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("layers/a/vars/0", layout)
    refused(path, "other files' parts")


# ---- HDF5 that would fill the memory, or never end


def test_chunks_that_were_never_written_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "layers/a/vars/0", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip"
        )
    refused(path, r"never written|memory|chunks")


def test_chunks_that_unpack_to_very_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "layers/a/vars/0",
            data=np.zeros(64 << 20, np.uint8),
            chunks=(1 << 22,),
            compression="gzip",
        )
    assert path.stat().st_size < 1 << 20
    refused(path, "fill the memory")


def test_many_arrays_that_unpack_to_much_are_refused_together(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        for number in range(60):
            data = np.zeros(1 << 20, np.uint8)
            file.create_dataset(f"layers/a{number}/vars/0", data=data, compression="gzip")
    refused(path, "fill the memory")


def test_huge_chunks_of_small_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        how = {"maxshape": (None,), "chunks": (1 << 30,), "compression": "gzip"}
        made = file.create_dataset("layers/a/vars/0", (1,), "u1", **how)
        made.id.write_direct_chunk((0,), zlib.compress(bytes(1000)))
    refused(path, "fill the memory")


def test_a_shape_without_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/a/vars/0", (1 << 20, 1 << 20), "f4")
    refused(path, "never written")


def test_a_shape_larger_than_its_bytes_is_refused(tmp_path: Path) -> None:
    path = paths(tmp_path / "w.weights.h5", a=np.ones((123, 45), np.float32))
    data = path.read_bytes()
    was = struct.pack("<QQ", 123, 45)
    assert was in data
    path.write_bytes(data.replace(was, struct.pack("<QQ", 124, 45)))
    refused(path, "takes 22320 bytes, and has 22140")
    path.write_bytes(data.replace(was, struct.pack("<QQ", 1 << 20, 1 << 10)))
    refused(path, "beyond the end")
    path.write_bytes(data.replace(was, struct.pack("<QQ", 1 << 40, 1 << 40)))
    refused(path, "no array can have")


@pytest.mark.parametrize("name", ["layers/again", "layers/dense/vars/again"])
def test_groups_in_a_circle_are_refused(tmp_path: Path, name: str) -> None:
    path = paths(tmp_path / "w.weights.h5", dense=1.0)
    with h5py.File(path, "a") as file:
        file[name] = file["layers"]
    refused(path, "under another name")


def test_an_array_under_many_names_is_refused(tmp_path: Path) -> None:
    path = paths(tmp_path / "w.weights.h5", dense=np.ones(1000))
    with h5py.File(path, "a") as file:
        for number in range(100):
            file[f"layers/a{number}/vars/0"] = file["layers/dense/vars/0"]
    refused(path, "under another name")


def test_very_deep_groups_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file["/".join(["a"] * 500) + "/vars/0"] = 1.0
    refused(path, "groups deep")


def test_names_that_are_one_text_many_times_are_refused(tmp_path: Path) -> None:
    """Each of a thousand names is said to be the same megabyte of text."""
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        names = ["x" * 1_234_567, *["y"] * 1000]
        file.attrs["layer_names"] = np.array(names, h5py.string_dtype())
    data = bytearray(path.read_bytes())
    heaps = [found.start() for found in re.finditer(b"GCOL", data)]
    names = [struct.pack("<IQ", 1_234_567, heap) for heap in heaps]  # a length, and where it is
    first = max(data.find(name) for name in names)
    for place in range(1001):
        data[first + 16 * place : first + 16 * (place + 1)] = data[first : first + 16]
    path.write_bytes(data)
    refused(path, "fill the memory")


@pytest.mark.parametrize("kind", ["references", "lists", "texts", "compounds"])
def test_types_that_are_no_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        name = "layers/a/vars/0"
        if kind == "references":
            file.create_dataset(name, data=file.ref, dtype=h5py.ref_dtype)
        elif kind == "lists":
            made = file.create_dataset(name, (1,), h5py.vlen_dtype(np.float32))
            made[0] = np.ones(4)
        elif kind == "texts":
            file[name] = ["a", "b"]
        else:
            file[name] = np.zeros(2, [("a", "f4"), ("b", "i4")])
    refused(path, "should hold numbers")


def test_unknown_filters_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        data = np.zeros(1000, np.int32)
        file.create_dataset("layers/a/vars/0", data=data, scaleoffset=True, chunks=(100,))
    refused(path, "filter 6")


# ---- zips


def keras_members() -> dict[str, bytes]:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file["layers/dense/vars/0"] = np.ones(10)
    return {"config.json": b'{"class_name": "Model"}', "model.weights.h5": data.getvalue()}


def zipped(path: Path, members: dict[str | zipfile.ZipInfo, bytes], how: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, data in members.items():
            file.writestr(name, data, compress_type=how)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "assets/../../evil",
        "/evil",
        "\\evil",
        "..\\evil",
        "C:/evil",
        "assets//evil",
        "./x",
    ],
)
def test_members_outside_the_directory_are_refused(tmp_path: Path, name: str) -> None:
    refused(zipped(tmp_path / "m.keras", {**keras_members(), name: b""}), "outside the directory")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_members_that_are_links_or_devices_are_refused(tmp_path: Path, kind: int) -> None:
    member = zipfile.ZipInfo("assets/evil")
    member.create_system = 3
    member.external_attr = (kind | 0o777) << 16
    path = zipped(tmp_path / "m.keras", {**keras_members(), member: b"/etc/passwd"})
    refused(path, "link or a device")


def test_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.keras", keras_members())
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("config.json", b"{}")
    refused(path, "there twice")
    path = zipped(tmp_path / "n.keras", {**keras_members(), "assets/a": b"", "assets\\a": b""})
    refused(path, "there twice")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "assets/layers/a/v.txt"])
def test_bombs_are_refused(tmp_path: Path, name: str) -> None:
    """200 MB of nothing in 200 kB."""
    members = {**keras_members(), name: bytes(200 << 20)}
    refused(zipped(tmp_path / "m.keras", members, zipfile.ZIP_DEFLATED), "fill the memory")


def test_a_bomb_that_claims_to_be_small_is_refused(tmp_path: Path) -> None:
    members = {**keras_members(), "config.json": bytes(200 << 20)}
    path = zipped(tmp_path / "m.keras", members, zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    assert data.count(struct.pack("<I", 200 << 20)) == 2
    path.write_bytes(data.replace(struct.pack("<I", 200 << 20), struct.pack("<I", 1000)))
    refused(path, "claims 1000 bytes")


def test_members_that_share_their_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Many names for the same packed megabytes."""
    path = zipped(
        tmp_path / "m.keras",
        {**keras_members(), **{f"assets/{n}": bytes(1 << 20) for n in range(100)}},
        zipfile.ZIP_DEFLATED,
    )
    refused(path, "fill the memory")


def test_a_stored_member_that_claims_another_size_is_refused(tmp_path: Path) -> None:
    members = keras_members()
    path = zipped(tmp_path / "m.keras", members)
    size = struct.pack("<II", *[len(members["model.weights.h5"])] * 2)
    data = path.read_bytes()
    at = data.rindex(size)
    path.write_bytes(data[: at + 4] + struct.pack("<I", 1 << 30) + data[at + 8 :])
    refused(path, "another size")


def test_a_member_beyond_the_end_is_refused(tmp_path: Path) -> None:
    members = keras_members()
    path = zipped(tmp_path / "m.keras", members)
    size = len(members["model.weights.h5"])
    data = path.read_bytes()
    at = data.rindex(struct.pack("<II", size, size))
    path.write_bytes(data[:at] + struct.pack("<II", 1 << 30, 1 << 30) + data[at + 8 :])
    refused(path, "it has only")


def test_a_packed_member_with_a_wrong_sum_is_refused(tmp_path: Path) -> None:
    members = keras_members()
    path = zipped(tmp_path / "m.keras", members, zipfile.ZIP_DEFLATED)
    total = struct.pack("<I", zlib.crc32(members["model.weights.h5"]))
    path.write_bytes(path.read_bytes().replace(total, b"\1\2\3\4"))
    refused(path, "CRC")


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.keras", keras_members())
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(data)
    refused(path, "encrypted")


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused_with_the_way_out(tmp_path: Path, how: int) -> None:
    refused(zipped(tmp_path / "m.keras", keras_members(), how), "deflate")


def test_a_very_long_index_is_refused(tmp_path: Path) -> None:
    """Each member of a zip takes more memory than its bytes in the index."""
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(50_000):
            file.writestr(f"assets/{number}", b"")
    refused(path, "an index of")


def test_a_bomb_in_a_zip_of_a_zip_is_refused(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "m.keras", keras_members() | {"assets/a": bytes(100 << 20)}, 8)
    outer = zipped(tmp_path / "m.zip", {"m.keras": inner.read_bytes()}, zipfile.ZIP_DEFLATED)
    refused(outer, "fill the memory")


def test_a_bomb_of_a_saved_model_is_refused_before_it_is_on_the_disk(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", {"saved_model.pb": bytes(200 << 20)}, zipfile.ZIP_DEFLATED)
    refused(path, "fill the memory")


def test_nothing_is_ever_written_beside_a_hostile_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", {"a/saved_model.pb": b"", "a/../../evil": b"evil"})
    refused(path, "outside the directory")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.zip"]


# ---- what may look hostile and is not


def test_weights_of_zeros_are_read(tmp_path: Path) -> None:
    """A new model's biases pack to nothing; that is no bomb."""
    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/a/vars/0", data=np.zeros(1 << 20, "f4"), compression="gzip")
    assert not read_paths(path)["layers/a/vars/0"].any()


def test_a_configuration_of_very_many_words_is_read(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(200_000)]
    config = layer("StringLookup", vocabulary=words)
    members = {**keras_members(), "config.json": json.dumps(config).encode()}
    with keras_zip.read(zipped(tmp_path / "m.keras", members)) as file:
        assert len(file.config["config"]["vocabulary"]) == 200_000
