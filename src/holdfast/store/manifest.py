"""Manifests: one checkpoint's table of contents, versioned.

Owns the JSON of a manifest, its own sum, and the digest of the state it describes. Leaves
writing and reading of files to `checkpoints`.

A sum tells an accident, not a hand that can compute it: what is in a manifest is checked as if
anyone had written it. A reader never leaves packs/ because a manifest says so.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from blake3 import blake3

from holdfast.errors import DamagedError, NewerFormatError
from holdfast.events import build
from holdfast.store.layout import FORMAT, is_pack, manifest_name
from holdfast.types import PLACE, Json, Position

# Those whose random state is kept where they are in use, besides the backend's.
_LIBRARIES = frozenset({"torch", "tensorflow"})
_MARK, _END = b',"sum":"', b'"}\n'
_TAIL = len(_MARK) + 64 + len(_END)


@dataclass(frozen=True)
class Entry:
    """One array of a checkpoint, its size in bytes, and the pack that holds it."""

    name: str
    label: str
    dtype: str
    shape: tuple[int, ...]
    blake3: str
    size: int
    pack: str


@dataclass(frozen=True)
class Manifest:
    """One checkpoint's table of contents. Fields as in `types.Snapshot`, and:

    Args:
        run: the run's id.
        time: when it was committed, in seconds since 1970.
        plan: the fingerprint of the plan.
        versions: of Holdfast, Keras, the backend and numpy.
        arrays: where each array is, in the snapshot's order.
    """

    run: str
    position: Position
    final: bool
    epoch_end: bool
    time: float
    metrics: Mapping[str, float]
    plan: str
    versions: Mapping[str, str]
    journal: int
    state: Mapping[str, Json]
    pins: tuple[int, ...]
    arrays: tuple[Entry, ...]
    format: int = field(default=FORMAT)

    def digest(self) -> str:
        """Return the BLAKE3 over everything that decides the next step, in a fixed order.

        Times, versions, labels, packs, the journal's length and the state of the data's source
        are left out: two runs that stand at the same point with the same bits have the same
        digest. So is the random state of libraries that are no backend of the run: nobody seeds
        those, and what draws from them shows in the rest.
        """
        others = _LIBRARIES - set(self.versions)
        left_out = (f"{PLACE}/", *(f"random/{name}/" for name in others))
        state = {key: value for key, value in self.state.items() if key != PLACE}
        if isinstance(state.get("random"), dict):
            state["random"] = {
                key: value for key, value in state["random"].items() if key not in others
            }
        contents = {
            "position": asdict(self.position),
            "final": self.final,
            "arrays": [
                [entry.name, entry.dtype, list(entry.shape), entry.blake3]
                for entry in self.arrays
                if not entry.name.startswith(left_out)
            ],
            "state": state,
        }
        return blake3(_canonical(contents)).hexdigest()

    def packs(self) -> set[str]:
        """Return the names of the packs this checkpoint needs."""
        return {entry.pack for entry in self.arrays}

    def encode(self) -> bytes:
        """Return the manifest's bytes."""
        return sealed(asdict(self))


def decode(data: bytes, path: Path) -> Manifest:
    """Return the manifest in `data`, which was read from `path` (named in errors).

    Raises:
        DamagedError: it is not what was written, or not of this name, or nothing that Holdfast
            writes.
        NewerFormatError: a newer Holdfast wrote it.
    """
    value = unsealed(data, path)
    try:
        manifest = build(Manifest, value)
        name = manifest_name(manifest.position.total, final=manifest.final)
        if name != path.name:
            raise ValueError(f"it is that of the checkpoint {name}")
        names = set()
        for entry in manifest.arrays:
            if not is_pack(entry.pack):
                raise ValueError(f"{entry.name!r} is in {entry.pack!r}, which names no pack")
            if entry.name in names:
                raise ValueError(f"there are two arrays {entry.name!r}")
            names.add(entry.name)
    except ValueError as error:
        raise DamagedError(f"{path}: not a readable manifest ({error})") from error
    return manifest


def sealed(value: dict[str, Json]) -> bytes:
    """Return the bytes of a JSON object, with their sum as its last member."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return body[:-1] + _MARK + blake3(body).hexdigest().encode() + _END


def unsealed(data: bytes, path: Path) -> dict[str, Json]:
    """Return the JSON object in `data`, read from `path`, without its sum, which is checked.

    Raises:
        DamagedError: it is not what was written.
        NewerFormatError: a newer Holdfast wrote it.
    """
    body, tail = data[:-_TAIL] + b"}", data[-_TAIL:]
    if not (tail.startswith(_MARK) and tail.endswith(_END)):
        raise DamagedError(f"{path}: not readable (it does not end in a sum)")
    found, expected = blake3(body).hexdigest(), tail[len(_MARK) : -len(_END)].decode("latin-1")
    if found != expected:
        raise DamagedError(f"{path}: its sum should be {reprlib.repr(expected)}, found {found}")
    try:
        value = json.loads(body)
        if not isinstance(value, dict):
            raise ValueError("expected an object")
    except RecursionError as error:
        raise DamagedError(f"{path}: not readable (it is nested too deep)") from error
    except ValueError as error:
        raise DamagedError(f"{path}: not readable ({error})") from error
    _check_format(value.get("format"), path)
    return value


def _check_format(found: Json, path: Path) -> None:
    """Refuse a format that this version does not know, with both numbers."""
    if type(found) is not int or found < 1:
        raise DamagedError(f"{path}: expected a format number, found {reprlib.repr(found)}")
    if found > FORMAT:
        raise NewerFormatError(
            f"{path} is in format {found}; this Holdfast reads formats up to {FORMAT}. "
            "Install a newer Holdfast to open it."
        )


def fingerprint(value: Json) -> str:
    """Return the BLAKE3 of a JSON value in its canonical form."""
    return blake3(_canonical(value)).hexdigest()


def _canonical(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
