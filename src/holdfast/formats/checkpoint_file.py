"""TensorFlow's checkpoints as files: finding them, and what they hold as a `ModelFile`.

Owns which files belong to a path, and the text file `checkpoint`. Leaves the bytes to `bundle` and
`bundle_v1`, the objects to `object_graph`, and whose an array is to those who load it.

What people call a checkpoint: its prefix, `ck`; one of its files, `ck.index` or
`ck.data-00000-of-00001`; the directory it is in, whose file `checkpoint` says the newest one; and
before TensorBundle, one file.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from holdfast.errors import FormatError
from holdfast.formats.bundle import OBJECT_GRAPH, Bundle
from holdfast.formats.bundle_v1 import OldBundle
from holdfast.formats.model_file import ByName, ByObject, Entry, ModelFile, ObjectNode
from holdfast.formats.object_graph import VALUE, Node, ObjectGraph, decode
from holdfast.formats.table import MAGIC

STATE = "checkpoint"
"""The file that says which checkpoint of a directory is the newest."""

_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
_STATE_PATH = re.compile(
    rb'^[ \t]*model_checkpoint_path[ \t]*:[ \t]*"((?:[^"\\\n]|\\.)*)"[ \t\r]*$', re.MULTILINE
)
_LARGEST_STATE = 1 << 20
_PARTS = ("", "-keys", "-values")


def find_checkpoint(path: Path | str) -> Path | None:
    """Return the prefix of the checkpoint that `path` means, or an old one's file.

    Args:
        path: a prefix, one of a checkpoint's files, or a directory.

    Returns:
        None where nothing there is a checkpoint. An old checkpoint's one file is its prefix:
        it has no `.index`.

    Raises:
        FormatError: the file `checkpoint` names one outside its directory or one that is not
            there; or a directory has several and does not say which.
    """
    path = Path(path)
    if path.is_dir():
        return _in_directory(path)
    if path.name == STATE and path.is_file() and _is_state(path):
        return _in_directory(path.parent)
    if path.suffix == ".index" and path.is_file():
        return path.with_suffix("")
    if _DATA.search(path.name):
        prefix = path.with_name(_DATA.sub("", path.name))
        return prefix if index_of(prefix).is_file() else None
    if index_of(path).is_file():
        return path
    return path if path.is_file() and _is_table(path) else None


def index_of(prefix: Path) -> Path:
    """Return the path of a checkpoint's index."""
    return prefix.with_name(prefix.name + ".index")


def open_checkpoint(path: Path | str) -> ModelFile:
    """Open a checkpoint of any age.

    Args:
        path: as for `find_checkpoint`.

    Raises:
        FileNotFoundError: there is none.
        FormatError: it is not sound.
    """
    prefix = find_checkpoint(path)
    if prefix is None:
        raise FileNotFoundError(f"There is no checkpoint at {path}: neither it nor {path}.index.")
    bundle = Bundle.open(prefix) if index_of(prefix).is_file() else OldBundle.open(prefix)
    return ModelFile(path=Path(path), format="checkpoint", weights=weights_of(bundle))


def weights_of(bundle: Bundle | OldBundle) -> ByObject | ByName:
    """Return a checkpoint's tensors: by their objects where it has them, else by name.

    Raises:
        FormatError: the object graph is not sound, or names a tensor that is not there.
    """
    graph = object_graph_of(bundle)
    if graph is None:
        return ByName({key: bundle.tensor(key) for key in bundle.entries})
    return ByObject(tuple(_object(node, bundle) for node in graph.nodes))


def object_graph_of(bundle: Bundle | OldBundle) -> ObjectGraph | None:
    """Return the graph of objects that a checkpoint holds, or None.

    Raises:
        FormatError: it is not sound.
    """
    if OBJECT_GRAPH not in bundle.entries:
        return None
    stored = bundle.tensor(OBJECT_GRAPH)
    if stored.dtype != "string" or stored.shape != ():
        raise FormatError(
            f"{bundle.name} is not sound: its object graph should be one string, and is "
            f"{stored.dtype} of shape {stored.shape}."
        )
    return decode(bytes(stored.read()[()]), bundle.name)


def _object(node: Node, bundle: Bundle | OldBundle) -> ObjectNode:
    variable = node.attributes.get(VALUE)
    others = {}
    for name, attribute in node.attributes.items():
        if name == VALUE:
            continue
        # What is no variable may have saved several tensors, and says what their keys begin with.
        for part in _PARTS:
            if attribute.key + part in bundle.entries:
                others[name + part] = bundle.tensor(attribute.key + part)
    return ObjectNode(
        children=node.children,
        value=_tensor(variable.key, bundle) if variable else None,
        full_name=variable.full_name if variable else "",
        slots=tuple((slot.original, slot.name, slot.node) for slot in node.slots),
        others=others,
    )


def _tensor(key: str, bundle: Bundle | OldBundle) -> Entry:
    if key not in bundle.entries:
        raise FormatError(
            f"{bundle.name} is not sound: its object graph says {key!r}, which is not there."
        )
    return bundle.tensor(key)


def _in_directory(folder: Path) -> Path | None:
    state = folder / STATE
    if state.is_file() and _is_state(state):
        return _named(state)
    found = sorted(folder.glob("*.index"))
    if len(found) > 1:
        names = ", ".join(path.stem for path in found[:10])
        raise FormatError(
            f"{folder} has {len(found)} checkpoints and no file {STATE!r} that says which: give "
            f"the path of one ({names})."
        )
    return found[0].with_suffix("") if found else None


def _named(state: Path) -> Path:
    """Return the prefix that a file `checkpoint` names, which is in its directory."""
    said = _state_path(state)
    path = PurePosixPath(said.replace("\\", "/"))
    if path.is_absolute() or re.match("[A-Za-z]:", said):
        # Where it lay when it was written, which says nothing of where it lies now.
        path = PurePosixPath(path.name)
    if ".." in path.parts or not path.parts or "\0" in said:
        raise FormatError(
            f"{state} is refused: it names {said!r}, outside its directory. If that checkpoint is "
            "the right one, give its path."
        )
    prefix = state.parent / path
    try:
        there = index_of(prefix).is_file() or (prefix.is_file() and _is_table(prefix))
    except OSError:  # a name that no system takes
        there = False
    if not there:
        raise FormatError(
            f"{state} names {said!r}, and {prefix}.index is not there. Copy all files of the "
            "checkpoint to one directory, or give the path of another."
        )
    return prefix


def _is_state(path: Path) -> bool:
    with path.open("rb") as file:
        return _STATE_PATH.search(file.read(_LARGEST_STATE)) is not None


def _state_path(state: Path) -> str:
    with state.open("rb") as file:
        found = _STATE_PATH.search(file.read(_LARGEST_STATE))
    assert found is not None
    try:
        return _unescaped(found[1]).decode()
    except UnicodeDecodeError:
        raise FormatError(f"{state} is not sound: the path it names is no text.") from None


def _unescaped(quoted: bytes) -> bytes:
    """Return what a string of a text proto stands for."""

    def character(found: re.Match[bytes]) -> bytes:
        escape = found[1]
        if escape[:1] in b"01234567":
            return bytes([int(escape, 8) & 0xFF])
        if escape[:1] in b"xX" and len(escape) > 1:
            return bytes([int(escape[1:], 16)])
        return _ESCAPES.get(escape, escape)

    return re.sub(rb"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", character, quoted)


_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f"}


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - len(MAGIC), 0))
        return file.read() == MAGIC
