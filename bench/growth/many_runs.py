"""`holdfast ls`, the whole command, in a directory of many small runs.

many_runs.py FOLDER N
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from footprint import show, unsynced

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))


def main() -> None:
    folder, count = Path(sys.argv[1]) / f"runs-{sys.argv[2]}", int(sys.argv[2])
    if not folder.is_dir():
        make(folder, count)
    command = [sys.executable, "-c", "from holdfast.cli.main import main; main()", "ls"]
    began = time.perf_counter()
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    took = time.perf_counter() - began
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    show({"seconds": took, "memory": most})


def make(folder: Path, count: int) -> None:
    # In a process of its own: one begins with the peak of memory of the one it is forked from.
    code = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path[:1]]!r}\n"
        "import many_runs, pathlib\n"
        f"many_runs.fill(pathlib.Path({str(folder)!r}), {count})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def fill(folder: Path, count: int) -> None:
    from tiny_run import make_run

    folder.mkdir()
    with unsynced():
        for number in range(count):
            make_run(folder / f"run-{number:05}", 10, 20)


if __name__ == "__main__":
    main()
