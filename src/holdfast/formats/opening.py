"""Opening any file that Keras ever wrote.

Owns the way from a path to its codec, through a zip or directories around it. Leaves telling files
apart to `detect`.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from holdfast.errors import FormatError
from holdfast.formats import architecture, hdf5, keras_zip, safetensors, shards
from holdfast.formats.detect import KNOWN, family_of, family_of_bytes, what_zip
from holdfast.formats.guard import Budget
from holdfast.formats.members import Below, Folder, Members
from holdfast.formats.model_file import ModelFile
from holdfast.formats.region import Region, open_region
from holdfast.formats.zip_members import ZipMembers

_DEEPEST = 2
_PIECE = 1 << 24
_ENDINGS = (".keras", ".h5", ".hdf5", ".hdf", ".safetensors", ".weights.json")
_SHARD = re.compile(r"_\d{5}\.weights\.h5$")
_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")


def open_file(path: str | os.PathLike[str]) -> ModelFile:
    """Open a file or directory, whatever it is, reading no arrays yet.

    Args:
        path: of a file, of a directory, or a checkpoint's prefix.

    Raises:
        FormatError: there is nothing, or nothing that is known; or it is damaged or not safe.
    """
    path = Path(path)
    family = family_of(path)
    if family == "run":
        raise FormatError(
            f"{path} is a Holdfast run: see `holdfast show`, and open it with holdfast.Run"
        )
    try:
        if family == "folder":
            return _open_folder(path)
        if family == "zip":
            return _open_zip(path)
        return _open(path, family)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error})") from error


def _open(path: Path, family: str) -> ModelFile:
    """Open what a codec can read by itself."""
    if family == "hdf5":
        return hdf5.read(path)
    if family == "keras":
        return keras_zip.read(path)
    if family == "safetensors":
        return safetensors.read(path)
    if family == "shards":
        return shards.read(path)
    if family == "json":
        return architecture.read(path)
    if family == "saved_model":
        from holdfast.formats import saved_model

        return saved_model.read(path)
    from holdfast.formats import checkpoint_file

    return checkpoint_file.open_checkpoint(path)


def _open_folder(path: Path) -> ModelFile:
    with contextlib.ExitStack() as closing:
        found = list(_candidates(Folder(path, closing)))
    name = _only(found, str(path), "")
    return open_file(path / name)


def _open_zip(path: Path) -> ModelFile:
    with contextlib.ExitStack() as closing:
        members = ZipMembers(open_region(path, closing))
        name = _only(list(_candidates(members)), str(path), what_zip(members.names))
        if name in members.names:
            file = _open_member(members.open(name), path, closing, members.budget)
        elif keras_zip.is_keras(Below(members, f"{name}/").names):
            file = keras_zip.read_members(Below(members, f"{name}/"), path, closing)
        else:
            file = _unpacked(members, name, path)
        return file


def _open_member(
    region: Region, path: Path, closing: contextlib.ExitStack, budget: Budget
) -> ModelFile:
    family = family_of_bytes(region)
    if family == "hdf5":
        return hdf5.read_region(region, path, closing, budget)
    if family == "keras":
        return keras_zip.read_members(ZipMembers(region, budget), path, closing)
    if family == "safetensors":
        return safetensors.read_region(region, path, closing, budget)
    raise FormatError(f"{region.name}: cannot be read from within a zip: unpack the zip")


def _unpacked(members: ZipMembers, name: str, path: Path) -> ModelFile:
    """Open a directory or a checkpoint in a zip, from where it is unpacked to meanwhile."""
    from dataclasses import replace

    prefix = "" if name == "." else f"{name}/"
    with contextlib.ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-")))
        wanted = [
            member
            for member in members.names
            if member.startswith(prefix) or _DATA.sub(".index", member) == f"{name}.index"
        ]
        for member in wanted:
            _write(members.open(member), folder / member)
        inner = open_file(folder if name == "." else folder / name)
        closing.push(inner.closing.pop_all())
        return replace(inner, path=path, closing=closing.pop_all())


def _write(region: Region, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        for at in range(0, region.size, _PIECE):
            file.write(region.read(at, min(_PIECE, region.size - at)))


def _only(found: list[str], title: str, otherwise: str) -> str:
    """Return the one name.

    Raises:
        FormatError: there is none, or there are several.
    """
    if not found:
        raise FormatError(f"{title}: {otherwise or 'no model is in it'}\nKnown are: {KNOWN}.")
    if len(found) > 1:
        raise FormatError(
            f"{title}: expected one model in it, found {len(found)}: {', '.join(found[:10])}. "
            "Give the path of the one that is meant."
        )
    return found[0]


def _candidates(members: Members) -> Iterator[str]:
    """Yield the names of what may be models in a directory or zip, not those within another."""
    names = [name for name in members.names if not _is_rubbish(name)]
    folders: set[str] = set()
    for name in names:
        folder, _, last = name.rpartition("/")
        if last in ("saved_model.pb", keras_zip.CONFIG):
            below = {
                other[len(folder) + 1 if folder else 0 :]
                for other in names
                if not folder or other.startswith(f"{folder}/")
            }
            if last == "saved_model.pb" or keras_zip.is_keras(below):
                folders.add(folder or ".")
    for folder in sorted(folders):
        if not any(_is_within(folder, other) for other in folders) and folder.count("/") < _DEEPEST:
            yield folder
    for name in names:
        if name.count("/") > _DEEPEST or any(_is_within(name, folder) for folder in folders):
            continue
        if _SHARD.sub(".weights.json", name) in names and _SHARD.search(name):
            continue
        if name.lower().endswith(_ENDINGS):
            yield name
        elif name.endswith(".index") and any(
            _DATA.sub(".index", other) == name for other in names if _DATA.search(other)
        ):
            yield name.removesuffix(".index")


def _is_within(name: str, folder: str) -> bool:
    return name != folder and (folder == "." or name.startswith(f"{folder}/"))


def _is_rubbish(name: str) -> bool:
    """Return whether macOS put a file there that is no one's."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith("._")
