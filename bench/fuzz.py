"""Damaged and hostile bytes for every reader of files: none may crash, hang or take much memory.

    python bench/fuzz.py [--inputs N] [--seed N] [--only READER …] [--measured]

Each reader is given its share of the inputs, made of real files by flips, cuts and splices, with a
seed that follows from the input's number, so that each can be made again: the same --seed and
--only give the same bytes. A reader may refuse with a `FormatError` or read; what else it does
ends the fuzzing with exit code 1, and the bytes are kept in a file, which is named. The memory of
the whole process is watched; --measured counts that of each input, and is some times slower.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import time
import zlib
from pathlib import Path
from types import FrameType

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzzing import MOST_SECONDS, READERS, SPARE, FuzzError, damaged, fuzz_one

INPUTS = 100_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=INPUTS, help=f"{INPUTS:,} in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=READERS, help="may be given again")
    parser.add_argument("--measured", action="store_true", help="count the memory of each input")
    options = parser.parse_args()
    names = options.only or list(READERS)
    signal.signal(signal.SIGALRM, _hangs)
    begun = time.perf_counter()
    total = 0
    for k, name in enumerate(names):
        share = options.inputs * (k + 1) // len(names) - options.inputs * k // len(names)
        if not fuzz(name, share, options.seed, options.measured):
            return 1
        total += share
    seconds = time.perf_counter() - begun
    print(f"{total:,} inputs in {seconds:.0f} s, seed {options.seed}: only FormatError")
    return 0


def fuzz(name: str, share: int, seed: int, measured: bool) -> bool:
    """Give a reader its share of the inputs; return whether it held."""
    reader = READERS[name]
    seeds = reader.seeds()
    # What is imported and cached once is no input's.
    for data in seeds:
        fuzz_one(reader, data)
    before = _peak()
    accepted, slowest, largest = 0, 0.0, 0
    for k in range(share):
        data = damaged(random.Random(zlib.crc32(f"{seed} {name} {k}".encode())), seeds)
        largest = max(largest, len(data))
        begun = time.perf_counter()
        try:
            signal.alarm(int(4 * MOST_SECONDS))
            accepted += fuzz_one(reader, data, measured)
            signal.alarm(0)
            if _peak() - before > SPARE + 4 * largest:
                raise FuzzError(f"the process has grown by {_peak() - before:,} bytes")
        except FuzzError as error:
            signal.alarm(0)
            return _failed(name, k, data, error)
        slowest = max(slowest, time.perf_counter() - begun)
        if k % 1000 == 999 and sys.stderr.isatty():
            print(f"\r{name}: {k + 1:,} of {share:,}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(
        f"{name}: {share:,} inputs, {accepted:,} read and {share - accepted:,} refused; slowest "
        f"{slowest * 1000:.0f} ms; largest {largest:,} bytes; memory grew by "
        f"{(_peak() - before) / 1e6:.1f} MB",
        flush=True,
    )
    return True


def _failed(name: str, number: int, data: bytes, error: FuzzError) -> bool:
    with tempfile.NamedTemporaryFile(prefix="holdfast-fuzz-", delete=False) as file:
        file.write(data)
    print(f"\n{name}: input {number} of {len(data):,} bytes, kept in {file.name}: {error}")
    return False


def _peak() -> int:
    """Return the most bytes that the process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _hangs(signum: int, frame: FrameType | None) -> None:
    raise FuzzError(f"still at it after {4 * MOST_SECONDS:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
