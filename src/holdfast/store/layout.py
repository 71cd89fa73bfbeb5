"""The names of the files of a run: the only module that knows them.

    RUN/
      run.json                              who this is; written once
      about.json                            what people told of it
      journal.jsonl                         what happened
      lock                                  the one writer
      packs/<step>-<random>.safetensors     immutable arrays
      checkpoints/<step>.json               manifests, one a checkpoint
      checkpoints/<step>-final.json         what the training returned
      saved/<sum>-<number>/                 files that callbacks wrote for the program
      lost+found/                           what a repair has moved out of the way

Owns names and their parsing. Leaves the bytes within to the modules that write them.
"""

from __future__ import annotations

import glob
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

FORMAT = 1

_LONGEST = 55

_MANIFEST = re.compile(r"([0-9]{10,})(-final)?\.json")
_PACK = re.compile(r"[0-9]{10,}-[0-9a-f]{8}\.safetensors")
_SAVED = re.compile(r"([0-9a-f]{16})-([0-9]+)")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Layout:
    """The paths of one run."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "run.json"

    @property
    def description(self) -> Path:
        return self.root / "about.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def packs(self) -> Path:
        return self.root / "packs"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def saved(self) -> Path:
        return self.root / "saved"

    @property
    def lost(self) -> Path:
        return self.root / "lost+found"

    def manifest(self, total: int, *, final: bool) -> Path:
        """Return the path of the manifest of the checkpoint at step `total`."""
        return self.checkpoints / manifest_name(total, final=final)

    def new_pack(self, total: int) -> Path:
        """Return a path for a pack that no other pack has."""
        return self.packs / f"{total:010d}-{secrets.token_hex(4)}.safetensors"

    def manifests(self) -> list[Path]:
        """Return the paths of all manifests, oldest first."""
        found = []
        for path in _files(self.checkpoints):
            match = _MANIFEST.fullmatch(path.name)
            if match:
                found.append((int(match[1]), bool(match[2]), path))
        return [path for *_, path in sorted(found)]

    def step(self, manifest: Path) -> int:
        """Return the step at which the checkpoint of a manifest was taken, by its name."""
        return int(manifest.name.partition(".")[0].removesuffix("-final"))

    def key(self, manifest: Path) -> tuple[int, bool]:
        """Return the step of a manifest, and whether it is a final one, by its name."""
        return self.step(manifest), manifest.stem.endswith("-final")

    def all_packs(self) -> list[Path]:
        """Return the paths of all packs, in the order of their names."""
        return sorted(path for path in _files(self.packs) if is_pack(path.name))

    def saved_key(self, path: str) -> str:
        """Return what the names of the directories begin with that keep the files of a path."""
        return blake3(path.encode(errors="surrogateescape")).hexdigest()[:16]

    def saved_folder(self, key: str, number: int) -> Path:
        """Return the directory that keeps the files of a path for the `number`-th time."""
        return self.saved / f"{key}-{number}"

    def saved_folders(self) -> list[tuple[Path, str, int]]:
        """Return the directories that keep files, with key and number."""
        found = [(path, _SAVED.fullmatch(path.name)) for path in _entries(self.saved)]
        return sorted((path, match[1], int(match[2])) for path, match in found if match)

    @staticmethod
    def saved_note(folder: Path) -> Path:
        """Return the path of the note in a directory that keeps files."""
        return folder / "saved.json"

    def leftovers(self, *, folders: bool = False) -> list[Path]:
        """Return temporary files, or directories too, that a writer which died has left."""
        look = _entries if folders else _files
        return [
            path
            for folder in (self.root, self.checkpoints, self.packs, self.saved)
            for path in look(folder)
            if _TEMPORARY.fullmatch(path.name)
        ]

    def strangers(self) -> list[Path]:
        """Return what is in packs/ and checkpoints/ by a name that is not given there.

        What is in the run's own folder is not among them: a program may keep its files there.
        """
        known = {*self.manifests(), *self.all_packs(), *self.leftovers(folders=True)}
        found = [*_entries(self.checkpoints), *_entries(self.packs)]
        return sorted(path for path in found if path not in known)

    def found(self, path: Path) -> Path:
        """Return the first free name in lost+found/ for what is at `path`, within the run."""
        place = self.lost / path.relative_to(self.root)
        number = 0
        while os.path.lexists(target := _numbered(place, number)):
            number += 1
        return target

    def aside(self) -> Path:
        """Return the first free name beside the run to move it to."""
        number = 1
        while (path := self.root.with_name(f"{self.root.name}.old-{number}")).exists():
            number += 1
        return path


def temporary(path: Path) -> Path:
    """Return a name beside `path` for a file that is not whole yet."""
    return path.with_name(f".{_shown(path)}.{secrets.token_hex(4)}.tmp")


def temporary_names(path: Path) -> str:
    """Return a pattern of the names that `temporary` gives for `path`."""
    return f".{glob.escape(_shown(path))}.{'[0-9a-f]' * 8}.tmp"


def _shown(path: Path) -> str:
    # A name may be as long as the file system takes, and the one beside it must not be longer.
    if len(path.name) <= _LONGEST:
        return path.name
    return f"{path.name[: _LONGEST - 9]}~{zlib.crc32(path.name.encode()):08x}"


def manifest_name(total: int, *, final: bool) -> str:
    """Return the name of the manifest of the checkpoint at step `total`."""
    return f"{total:010d}{'-final' if final else ''}.json"


def is_pack(name: str) -> bool:
    """Return whether `name` is that of a pack: a file in packs/ and nowhere else."""
    return _PACK.fullmatch(name) is not None


def is_run(path: Path) -> bool:
    """Return whether `path` is the directory of a run; what can be no path is none."""
    try:
        return Layout(path).identity.is_file()
    except (OSError, ValueError):
        return False


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: Path) -> Iterator[Path]:
    # In one look: asked afterwards what it is, a file may have been pruned, while one that was
    # committed before that is not in the list yet.
    try:
        with os.scandir(folder) as entries:
            yield from [Path(entry.path) for entry in entries if _is_file(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # such as a link that leads to itself
        return False
