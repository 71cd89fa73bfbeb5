"""Yesterday's programs under `holdfast run`: what they score, and how soon they are started again.

    python bench/programs.py [--mnist FILE] [--starts N]

The programs are those of `tests/programs`. `b_train` and `b_judge` get MNIST at its real size in
place of the download; each start is a program of its own, with seeds of its own. Then the first
start of `b_train` and `e_lesson` is compared with the second, when every call of fit has finished:
seconds that each call takes, and the whole process.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "tests" / "programs"
HOLDFAST = Path(sys.executable).with_name("holdfast")
LEAST, MOST = 0.925, 0.942


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, default=ROOT / "../shared/data/mnist.npz")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--timed", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.timed:
        timed(*options.timed)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.mnist.is_file():
            accuracies(Path(folder), options.mnist.resolve(), options.starts)
        else:
            print(f"no MNIST at {options.mnist}; give --mnist FILE (mnist.npz)")
        again(Path(folder), "e_lesson")


def accuracies(folder: Path, mnist: Path, starts: int) -> None:
    """Print what the second program of 2017 says of the first one's model."""
    found = []
    for number in range(starts):
        run(folder, mnist, "--fresh", PROGRAMS / "b_train.py")
        judged = run(folder, mnist, PROGRAMS / "b_judge.py")
        loss, accuracy = json.loads(re.findall(r"loss_and_metrics: (\[.*\])", judged)[-1])
        size = (folder / "mnist_mlp_model.h5").stat().st_size
        print(f"start {number + 1}: loss {loss:.4f}, accuracy {accuracy:.4f}, {size / 1024:.0f} KB")
        found.append(accuracy)
    verdict = "all" if all(LEAST <= accuracy <= MOST for accuracy in found) else "NOT all"
    print(f"{verdict} within {LEAST} to {MOST}")
    again(folder, "b_train", mnist)


def again(folder: Path, program: str, mnist: Path | None = None) -> None:
    """Print how long each call of fit takes in a program's first start, and in its second."""
    for start in ("first", "second"):
        times = folder / f"{program}-{start}.json"
        options = ["--fresh"] if start == "first" else []
        script = PROGRAMS / f"{program}.py"
        began = time.perf_counter()
        run(
            folder,
            mnist,
            *options,
            "--name",
            f"{program}-timed",
            __file__,
            "--timed",
            script,
            times,
        )
        seconds = time.perf_counter() - began
        calls = ", ".join(f"{call:.3f}" for call in json.loads(times.read_text()))
        print(f"{program}, {start} start: {seconds:.1f} s, of which calls of fit {calls}")


def run(folder: Path, mnist: Path | None, *words: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS / "given")}
    if mnist is not None:
        environment["GIVEN_MNIST"] = str(mnist)
    command = [str(HOLDFAST), "run", *map(str, words)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def timed(script: Path, times: Path) -> None:
    """Run a program, and write down how long each of its calls of fit takes."""
    import keras

    seconds = []
    fit = keras.Model.fit

    @functools.wraps(fit)
    def watched(*given: object, **named: object) -> object:
        began = time.perf_counter()
        try:
            return fit(*given, **named)
        finally:
            seconds.append(time.perf_counter() - began)

    keras.Model.fit = watched
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        times.write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
