"""What is left of a file that is overwritten again and again when the process is killed.

    python bench/kills.py [--kills N]

A training saves its best model to one name at the end of every epoch, and is killed with SIGKILL
at a random moment; then the file is opened. The same for Holdfast's ModelCheckpoint and Keras's.
The model is small (82 000 numbers, 0.5 MB with its optimizer), so that it saves often.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from overwrites import kill_many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    seed = time.time_ns() % 2**32
    print(f"{options.kills} kills each, seed {seed}; ModelCheckpoint of")
    for kind in ("holdfast", "keras"):
        with tempfile.TemporaryDirectory() as folder:
            found = kill_many(kind, options.kills, Path(folder), seed)
        print(
            f"  {kind:10} unreadable after {found.unreadable} of {found.kills}, "
            f"worse than reported after {found.worse}",
            flush=True,
        )


if __name__ == "__main__":
    main()
