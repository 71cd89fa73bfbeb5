"""How soon a resumed run is back at its first step, on the demo's model.

    python bench/resume.py [--rounds N]

Seconds from the end of the imports (holdfast, keras, scikit-learn's data) to the end of the
first training step: making the run and the model, opening and checking the checkpoint, tracing,
and compiling or finding what was compiled. `new` is a first attempt with nothing compiled yet,
`resumed` an attempt after a SIGKILL.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return
    new, resumed = [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            new.append(attempt(Path(folder)))
            resumed.append(attempt(Path(folder)))
    for name, values in (("new", new), ("resumed", resumed)):
        print(
            f"{name:8} {statistics.median(values):.2f} s "
            f"(least {min(values):.2f}, most {max(values):.2f}; {len(values)} rounds)"
        )


def attempt(folder: Path) -> float:
    environment = {**os.environ, "HOLDFAST_CACHE": str(folder / "cache")}
    child = subprocess.Popen(
        [sys.executable, __file__, "--one", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert child.stdout is not None
    seconds = json.loads(child.stdout.readline())
    child.stdout.readline()  # some steps and a checkpoint later
    child.send_signal(signal.SIGKILL)
    child.wait()
    return seconds


def one(folder: Path) -> None:
    sys.path.insert(0, str(DEMO.parent))
    import time

    import demo
    import keras
    import sklearn.datasets  # noqa: F401

    imported = time.perf_counter()
    count = 0

    class FirstStep(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            (folder / "told").write_bytes(bytes(8))

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            nonlocal count
            count += 1
            if count == 1:
                print(json.dumps(time.perf_counter() - imported), flush=True)
            if count == 1000:
                print("go", flush=True)

    demo.train(folder, epochs=1000, callbacks=[FirstStep()])


if __name__ == "__main__":
    main()
