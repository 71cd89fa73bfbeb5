"""Manifests and run.json: read as written or damaged, whoever wrote them."""

import json
from dataclasses import asdict, replace

import pytest
from tiny_run import TinyRun, contents, loaded, make_run, sealed, state_at

from holdfast.errors import DamagedError, NewerFormatError, NotARunError
from holdfast.run import Run
from holdfast.store.checkpoints import load_newest
from holdfast.store.identity import Identity, load_identity
from holdfast.store.layout import Layout
from holdfast.store.manifest import decode
from holdfast.store.verify import verify
from holdfast.types import Position


@pytest.fixture
def root(tmp_path):
    return tmp_path / "run"


def test_the_digest_is_of_the_state_and_of_nothing_else(root):
    with TinyRun(root) as run:
        one = run.commit(1)
    one = replace(one, state={**one.state, "random": {"keras": False}})
    for other in (
        replace(one, time=0.0, plan="x", versions={}, journal=9, metrics={"loss": 1.0}),
        replace(one, epoch_end=True),
        replace(one, arrays=tuple(replace(item, label="l", pack="p") for item in one.arrays)),
        replace(one, state=dict(reversed(one.state.items()))),
        # From where the data is drawn again, and a library's random state that nobody seeds.
        replace(one, state={**one.state, "place": {"batches": 3}}),
        replace(one, state={**one.state, "random": {**one.state["random"], "torch": 1}}),
        replace(
            one,
            arrays=(
                *one.arrays,
                replace(one.arrays[0], name="place/feed/state"),
                replace(one.arrays[0], name="random/torch/0"),
            ),
        ),
    ):
        assert other.digest() == one.digest()
    torch = replace(one, versions={"torch": "2"})
    drawn = replace(torch, state={**one.state, "random": {**one.state["random"], "torch": 1}})
    assert drawn.digest() != torch.digest()
    first, *rest = one.arrays
    for other in (
        replace(one, position=Position(0, 1, 2)),
        replace(one, position=Position(1, 0, 1)),
        replace(one, final=True),
        replace(one, state={**one.state, "seed": 4}),
        replace(one, arrays=tuple(rest)),
        replace(one, arrays=(*rest, first)),
        *(
            replace(one, arrays=(replace(first, **changed), *rest))
            for changed in (
                {"name": "other"},
                {"dtype": "int32"},
                {"shape": (2, 3)},
                {"blake3": first.blake3[:-1] + "x"},
            )
        ),
    ):
        assert other.digest() != one.digest()


def test_the_digest_is_equal_across_runs_and_packs_and_differs_for_one_byte(tmp_path):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    make_run(one, 5)
    make_run(two, 1, 2, 5)
    assert Run(one).digest() == Run(two).digest()
    with TinyRun(three) as run:
        flipped = bytearray(state_at(5)[0].data)
        flipped[-1] ^= 1
        changed = replace(state_at(5)[0], data=memoryview(flipped))
        run.commit(5, [changed, *state_at(5)[1:]])
    assert Run(three).digest() != Run(one).digest()


def test_a_flipped_byte_at_every_position_of_a_manifest_is_found(root):
    (path,) = make_run(root, 1).manifests()
    # A time of few digits: of 17 the last may be another and the number the same.
    manifest = replace(decode(path.read_bytes(), path), time=1.5)
    whole = manifest.encode()
    for offset in range(len(whole)):
        for mask in (0x01, 0x04, 0x10, 0x80, 0xFF):
            harmed = bytearray(whole)
            harmed[offset] ^= mask
            with pytest.raises((DamagedError, NewerFormatError), match="0000000001"):
                decode(bytes(harmed), path)


def test_a_newer_format_is_refused_with_both_numbers(root):
    layout = make_run(root, 1, 2)
    for path, read in (
        (layout.manifests()[-1], lambda: load_newest(layout, final=True)),
        (layout.identity, lambda: load_identity(layout)),
    ):
        value = json.loads(path.read_bytes())
        del value["sum"]
        path.write_bytes(sealed(json.dumps({**value, "format": 7, "arrays": "of another kind"})))
        with pytest.raises(NewerFormatError, match=r"in format 7; .* formats up to 1") as raised:
            read()
        assert str(path) in str(raised.value)
        assert any("format 7" in finding.problem for finding in verify(layout).findings)


def altered(value, way, to):
    """A copy of a JSON value in which the part that `way` leads to is `to`, or is missing."""
    if not way:
        return to
    copy = value.copy()
    if to is MISSING and len(way) == 1:
        del copy[way[0]]
    else:
        copy[way[0]] = altered(copy[way[0]] if way[0] != "extra" else None, way[1:], to)
    return copy


MISSING = object()
NAN = float("nan")

ODD_MANIFESTS = {
    "a field missing": (["metrics"], MISSING),
    "a field too many": (["extra"], 1),
    "a position that is none": (["position"], None),
    "a position of three": (["position"], [0, 0, 1]),
    "half a position": (["position", "step"], MISSING),
    "a position with more": (["position", "extra"], 1),
    "a step that is NaN": (["position", "total"], NAN),
    "a step that is a float": (["position", "total"], 1.0),
    "a step that is true": (["position", "total"], True),
    "a negative step": (["position", "total"], -1),
    "a step beyond all counting": (["position", "total"], 2**63),
    "final as a number": (["final"], 0),
    "a time that is NaN": (["time"], NAN),
    "a time that is a text": (["time"], "now"),
    "a metric that is a text": (["metrics"], {"loss": "small"}),
    "metrics as a list": (["metrics"], [0.5]),
    "a plan that is none": (["plan"], None),
    "versions that are numbers": (["versions"], {"keras": 3}),
    "a journal that is a text": (["journal"], "0"),
    "a state that is none": (["state"], None),
    "arrays as an object": (["arrays"], {}),
    "an array that is none": (["arrays", 0], None),
    "an array of no name": (["arrays", 0, "name"], MISSING),
    "an array with more": (["arrays", 0, "extra"], 1),
    "an array named twice": (["arrays", 0, "name"], "frozen/2"),
    "a shape with a negative size": (["arrays", 0, "shape"], [-1]),
    "a shape that is a number": (["arrays", 0, "shape"], 3),
    "a size that is none": (["arrays", 0, "size"], None),
    "no sum of an array": (["arrays", 0, "blake3"], None),
    "a pack above": (["arrays", 0, "pack"], "../0000000001-01234567.safetensors"),
    "a pack elsewhere": (["arrays", 0, "pack"], "/etc/passwd"),
    "a pack below": (["arrays", 0, "pack"], "a/0000000001-01234567.safetensors"),
    "a pack that is a directory": (["arrays", 0, "pack"], ".."),
    "a pack of another name": (["arrays", 0, "pack"], "run.json"),
    "a pack with a zero in its name": (["arrays", 0, "pack"], "0000000001-01234567.safetensors\0"),
    "a pack with a newline": (["arrays", 0, "pack"], "0000000001-01234567.safetensors\n"),
    "a format that is true": (["format"], True),
    "a format that is a float": (["format"], 1.0),
    "a format before the first": (["format"], 0),
    "no format": (["format"], MISSING),
}


@pytest.mark.parametrize(("way", "to"), ODD_MANIFESTS.values(), ids=ODD_MANIFESTS)
def test_an_odd_manifest_with_a_sum_that_holds_is_damaged(root, way, to):
    layout = make_run(root, 1, 2)
    path = layout.manifests()[-1]
    value = json.loads(path.read_bytes())
    del value["sum"]
    path.write_bytes(sealed(json.dumps(value)))
    assert loaded(layout)[0] == 2
    path.write_bytes(sealed(json.dumps(altered(value, way, to))))
    step, found, (finding,) = loaded(layout)
    assert (step, found) == (1, contents(state_at(1)))
    assert finding.startswith(f"{path}: ")
    assert "\n" not in finding
    assert [item.file for item in verify(layout).findings] == ["checkpoints/0000000002.json"]
    assert [item.position.total for item in Run(root).checkpoints] == [1]


def test_a_manifest_that_lies_of_a_size_is_damaged(root):
    layout = make_run(root, 1, 2)
    path = layout.manifests()[-1]
    value = json.loads(path.read_bytes())
    del value["sum"]
    path.write_bytes(sealed(json.dumps(altered(value, ["arrays", 0, "size"], 10**15))))
    step, _, (finding,) = loaded(layout)
    assert (step, f"{10**15} bytes" in finding) == (1, True)


def deep(value, where):
    """Text of a JSON object in which `where` is nested deeper than Python can follow."""
    text = json.dumps({**value, where: "HERE"})
    return text.replace('"HERE"', "[" * 100_000 + "]" * 100_000)


def test_a_file_nested_too_deep_is_damaged(root):
    layout = make_run(root, 1, 2)
    path = layout.manifests()[-1]
    path.write_bytes(sealed(deep(json.loads(path.read_bytes()), "state")))
    step, _, (finding,) = loaded(layout)
    assert (step, finding) == (1, f"{path}: not readable (it is nested too deep)")
    layout.identity.write_bytes(sealed(deep(json.loads(layout.identity.read_bytes()), "model")))
    with pytest.raises(DamagedError, match="nested too deep"):
        load_identity(layout)


# run.json


def test_an_identity_is_read_as_written(root):
    layout = make_run(root)
    identity = load_identity(layout)
    assert identity == Identity("a" * 16, 1.5, {"holdfast": "0", "numpy": "2"}, {"epochs": 2}, None)
    assert Run(root).identity() == identity


@pytest.mark.parametrize(
    ("way", "to"),
    [
        (["id"], MISSING),
        (["extra"], 1),
        (["id"], 5),
        (["created"], NAN),
        (["created"], None),
        (["versions"], ["keras"]),
        (["versions"], {"keras": None}),
        (["plan"], []),
        (["plan"], "x"),
        (["format"], "1"),
        (["format"], MISSING),
    ],
)
def test_an_odd_identity_with_a_sum_that_holds_is_damaged(root, way, to):
    layout = make_run(root, 1)
    value = json.loads(layout.identity.read_bytes())
    del value["sum"]
    layout.identity.write_bytes(sealed(json.dumps(altered(value, way, to))))
    with pytest.raises(DamagedError) as raised:
        load_identity(layout)
    assert str(raised.value).startswith(f"{layout.identity}: ")
    assert "\n" not in str(raised.value)
    assert [item.file for item in verify(layout).findings] == ["run.json"]


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"7", b'"format"', b"{}", b"\xff\xff"])
def test_what_is_no_object_is_damaged(root, content):
    layout = make_run(root, 1, 2)
    layout.identity.write_bytes(content)
    layout.manifests()[-1].write_bytes(content)
    with pytest.raises(DamagedError):
        load_identity(layout)
    assert loaded(layout)[0] == 1


def test_a_directory_that_is_no_run(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file" / "run"):
        (tmp_path / "file").touch()
        with pytest.raises(NotARunError, match="is no run"):
            load_identity(Layout(path))
        with pytest.raises(NotARunError, match="is no run"):
            Run(path).prune()


def test_an_identity_has_all_that_is_documented(root):
    layout = make_run(root)
    value = json.loads(layout.identity.read_bytes())
    assert list(value) == ["id", "created", "versions", "plan", "model", "format", "sum"]
    assert value == {**asdict(load_identity(layout)), "sum": value["sum"]}
