"""The board: where a program says what it is doing, for whoever is about to kill it.

Owns the bytes, in a file that both have mapped: what was said outlives the one who said it. Leaves
the saying to `soaked` and the looking to `soaking`.
"""

import mmap
import struct
from pathlib import Path

# What the program itself is doing. `compiling` is also looking for what was compiled before.
PHASES = (
    "starting",
    "imports",
    "building",
    "opening",
    "resuming",
    "compiling",
    "training",
    "validation",
    "ending",
)
# What a thread is doing beside it.
WRITER = ("nothing", "writing", "pruning")
FILES = ("nothing", "saving a model")
LANES = (PHASES, WRITER, FILES)
_COUNTS = struct.Struct("<I")


class Board:
    """A file with a byte for each lane and a count for each thing that is done in it.

    Args:
        path: of the file.
        new: whether to make it, or make it as new.
    """

    def __init__(self, path: str | Path, *, new: bool = False) -> None:
        self._at = {}
        offset = len(LANES)
        for lane, names in enumerate(LANES):
            for name in names:
                self._at[lane, name] = offset
                offset += _COUNTS.size
        if new:
            Path(path).write_bytes(bytes(offset))
        with open(path, "r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), offset)

    def say(self, name: str, lane: int = 0) -> None:
        """Say what is done in a lane from now on."""
        number = LANES[lane].index(name)
        if self._bytes[lane] != number:
            at = self._at[lane, name]
            _COUNTS.pack_into(self._bytes, at, self.count(name, lane) + 1)
            self._bytes[lane] = number

    def now(self, lane: int = 0) -> str:
        """Return what is done in a lane."""
        return LANES[lane][self._bytes[lane]]

    def count(self, name: str, lane: int = 0) -> int:
        """Return how often a thing was begun."""
        return _COUNTS.unpack_from(self._bytes, self._at[lane, name])[0]

    def copy(self) -> bytes:
        """Return all that is on it: it changes whenever anything is done."""
        return bytes(self._bytes)

    def close(self) -> None:
        self._bytes.close()
