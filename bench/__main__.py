"""Measures Holdfast beside its peers: `make bench`, or a part of it: `make bench ONLY=fit`.

    python bench [--only PART …] [--rounds N] [--mnist FILE] [--page]

Runs the parts one after the other, writes what each found to bench/results/PART.json, draws the
pictures, and writes docs/benchmarks.md from all results that are there. `--page` measures nothing
and writes the page anew. Leaves what is measured to the parts, and the page to `page`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import environments
import page
import racing
import results

MNIST = Path("../shared/data/mnist.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=page.PARTS, default=page.PARTS, metavar="PART")
    parser.add_argument("--rounds", type=int, help="of every part, in place of its own number")
    parser.add_argument("--mnist", type=Path, default=MNIST, help="mnist.npz")
    parser.add_argument("--page", action="store_true", help="write the page, measure nothing")
    options = parser.parse_args()
    mnist = options.mnist.resolve()
    parts = {} if options.page else measurable(options.only, mnist)
    environments.make(sorted({name for part in parts.values() for name in part.ENVIRONMENTS}))
    for name, part in parts.items():
        measure(name, part, options.rounds, mnist)
    if parts or options.page:
        page.write()


def measurable(names: Iterable[str], mnist: Path) -> dict[str, ModuleType]:
    """Return the parts of these names, but for those whose data is not there, which it says."""
    parts = {name: import_module(f"{name}.part") for name in names}
    for name in [name for name, part in parts.items() if part.NEEDS_MNIST and not mnist.is_file()]:
        print(f"{name}: skipped: there is no MNIST at {mnist}; give --mnist FILE", file=sys.stderr)
        del parts[name]
    return parts


def measure(name: str, part: ModuleType, rounds: int | None, mnist: Path) -> None:
    """Measure one part and write what it found."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        found = part.measure(rounds or part.ROUNDS, Path(folder), mnist)
    took = time.perf_counter() - began
    path = results.write(name, part.ENVIRONMENTS, took, found)
    racing.tell(name, f"done in {took:.0f} s: {path.relative_to(environments.ROOT)}")
    if sys.stderr.isatty():
        print(file=sys.stderr)


if __name__ == "__main__":
    main()
