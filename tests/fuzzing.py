"""Damaged and hostile bytes for every reader of files, and what a reader may do with them.

A reader may refuse bytes with a `FormatError` that says why, or read them. It may not raise
anything else, take more than a few seconds, or take more memory than four times the bytes and
64 MB. `READERS` has each. Run some by `test_fuzz.py`, and as many as there is time for by
`bench/fuzz.py`.
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import fuzzed_bundles
import fuzzed_files
import fuzzed_saved_models

from holdfast.errors import FormatError

MOST_SECONDS = 5.0
SPARE = 64 << 20

_INTERESTING = (
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xff" * 8,
    b"\xff" * 9 + b"\x01",
    b"\x80" * 9 + b"\x01",
    b"\x80\x80\x80\x80\x08",
    b"\x00" * 8,
    b"\x00\x00\x00\x80",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"../",
    b"/",
)


class FuzzError(AssertionError):
    """A reader did what it may not."""


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Args:
        read: reads bytes to the end: all tables, all elements. Raises `FormatError` alone.
        seeds: gives real files, to be damaged.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


def damaged(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Return bytes made of real ones: flipped, cut, spliced; now and then of nothing at all."""
    kind = chance.random()
    if kind < 0.03:
        return chance.randbytes(chance.choice((0, 1, 7, 48, 200, 3000)))
    data = bytearray(chance.choice(seeds))
    if kind < 0.06:
        return bytes(data[: chance.randrange(len(data) + 1)])
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        # Most of what matters is at an end.
        if chance.random() < 0.2:
            at = max(len(data) - chance.randrange(64), 0)
        how = chance.randrange(7)
        if how == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif how == 1 and at < len(data):
            data[at] = chance.randrange(256)
        elif how == 2:
            value = chance.choice(_INTERESTING)
            data[at : at + len(value)] = value
        elif how == 3:
            data[at:at] = chance.choice(_INTERESTING)
        elif how == 4:
            del data[at : at + chance.choice((1, 1, 4, 8, 100))]
        elif how == 5:
            start, size = chance.randrange(len(data) + 1), chance.choice((1, 4, 16, 64, 500))
            data[at:at] = data[start : start + size]
        else:
            other = chance.choice(seeds)
            start, size = chance.randrange(len(other) + 1), chance.choice((4, 16, 64, 500))
            data[at : at + size] = other[start : start + size]
    return bytes(data)


def fuzz_one(reader: Reader, data: bytes, measured: bool = False) -> bool:
    """Read bytes; return whether they were accepted.

    Args:
        reader: of such bytes.
        data: the bytes.
        measured: whether to count the memory it takes, which makes it some times slower.

    Raises:
        FuzzError: the reader did what it may not.
    """
    if measured:
        tracemalloc.start()
    begun = perf_counter()
    try:
        reader.read(data)
        accepted = True
    except FormatError as error:
        accepted = False
        if len(str(error)) < 10:
            raise FuzzError(f"refused without a reason: {error!r}") from error
    except Exception as error:
        raise FuzzError(f"{type(error).__name__}: {error}") from error
    finally:
        seconds = perf_counter() - begun
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        if measured:
            tracemalloc.stop()
    if seconds > MOST_SECONDS:
        raise FuzzError(f"took {seconds:.1f} s")
    if peak > 4 * len(data) + SPARE:
        raise FuzzError(f"took {peak:,} bytes of memory for {len(data):,}")
    return accepted


READERS = {
    name: Reader(read, seeds)
    for part in (fuzzed_bundles, fuzzed_files, fuzzed_saved_models)
    for name, (read, seeds) in part.READERS.items()
}
"""Every reader by name."""
