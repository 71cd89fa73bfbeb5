"""How fast `holdfast.judge` answers, against Keras's `predict` and the bare runtimes.

    python bench/judge.py [--rounds N] [--json FILE]

The model is an MLP of 784-64-10, as for MNIST, exported by Holdfast to `.onnx` and `.tflite`. Needs
the extras onnx and litert. Each figure is the median over rounds, and each ratio the median of the
rounds' own; within a round every contender runs once, one after the other, so that all see the same
machine.

Figures:
    row         seconds for one row, the median of many calls
    rows        seconds for 10,000 rows, the median of a few calls
    first       seconds from before `import holdfast.judge` to the first answer, in a new process;
                and the same with numpy and the bare runtime

Contenders: keras (`Model.predict` on JAX), onnxruntime and litert bare, and `judge` on `.onnx`,
`.tflite` and `.keras`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

ROWS = 10_000
CONTENDERS = ("keras", "onnxruntime", "judge-onnx", "litert", "judge-tflite", "judge-keras")
RIVALS = {
    "judge-onnx": ("keras", "onnxruntime"),
    "judge-tflite": ("keras", "litert"),
    "judge-keras": ("keras",),
}
FIRST = {
    "judge-onnx": "import holdfast.judge, numpy as np; m = holdfast.judge.load('mlp.onnx'); "
    "m(row())",
    "onnxruntime": "import onnxruntime, numpy as np; m = onnxruntime.InferenceSession('mlp.onnx'); "
    "m.run(None, {m.get_inputs()[0].name: row()})",
    "judge-tflite": "import holdfast.judge, numpy as np; m = holdfast.judge.load('mlp.tflite'); "
    "m(row())",
    "litert": "from ai_edge_litert.interpreter import Interpreter; import numpy as np; "
    "m = Interpreter('mlp.tflite').get_signature_runner(); "
    "m(**{name: row() for name in m.get_input_details()})",
    "keras": "import keras, numpy as np; m = keras.saving.load_model('mlp.keras'); "
    "m.predict(row(), verbose=0)",
}
CLOCKED = """
import time
began = time.perf_counter()
row = lambda: np.zeros((1, 784), "float32")
{program}
print(time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        results = race(Path(folder), options.rounds)
    report(results, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def make(folder: Path) -> None:
    """Make the model and its exports."""
    import keras

    from holdfast.exporting.export import export

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(10, "softmax"),
        ]
    )
    for name in ("mlp.keras", "mlp.onnx", "mlp.tflite"):
        export(model, folder / name)


def race(folder: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    results: dict[str, dict[str, list[float]]] = {"row": {}, "rows": {}, "first": {}}
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr)
        found = json.loads(child([__file__, "--one", str(folder)], folder))
        found["first"] = {
            name: float(child(["-c", CLOCKED.format(program=program)], folder))
            for name, program in FIRST.items()
        }
        for figure, times in found.items():
            for name, seconds in times.items():
                results[figure].setdefault(name, []).append(seconds)
    print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    return results


def child(arguments: list[str], folder: Path) -> str:
    command = [sys.executable, *arguments]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return found.stdout.splitlines()[-1]


def measure(folder: Path) -> dict[str, dict[str, float]]:
    import keras
    import numpy as np
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    from holdfast.judge import load

    model = keras.saving.load_model(folder / "mlp.keras")
    session = onnxruntime.InferenceSession(folder / "mlp.onnx")
    given, asked = session.get_inputs()[0].name, [session.get_outputs()[0].name]
    runner = Interpreter(str(folder / "mlp.tflite")).get_signature_runner()
    (name,) = runner.get_input_details()
    calls: dict[str, Callable] = {
        "keras": lambda x: model.predict(x, verbose=0),
        "onnxruntime": lambda x: session.run(asked, {given: x}),
        "judge-onnx": load(folder / "mlp.onnx"),
        "litert": lambda x: runner(**{name: x}),
        "judge-tflite": load(folder / "mlp.tflite"),
        "judge-keras": load(folder / "mlp.keras"),
    }
    rows = np.random.default_rng(1).random((ROWS, 784), "float32")
    row = rows[:1].copy()
    for call in calls.values():
        call(row), call(rows)
    return {
        # Taken in turns, so that a busy moment of the machine falls on all of them.
        "row": in_turns(calls, row, turns=20, seconds=0.02),
        "rows": in_turns(calls, rows, turns=15, seconds=0.0),
    }


def in_turns(calls: dict[str, Callable], x: object, turns: int, seconds: float) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = random.Random(1)
    for _ in range(turns):
        # What ran before, and its threads, must not be the same for one each time.
        for name, call in order.sample(list(calls.items()), len(calls)):
            time.sleep(0.05)  # the threads of the one before spin for a while
            until = time.perf_counter() + seconds
            while True:
                began = time.perf_counter()
                call(x)
                ended = time.perf_counter()
                times[name].append(ended - began)
                if ended > until:
                    break
    return {name: statistics.median(taken) for name, taken in times.items()}


def report(results: dict[str, dict[str, list[float]]], rounds: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    names = ("holdfast", "keras", "jax", "onnxruntime", "ai-edge-litert", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names), f"; {rounds} rounds")
    titles = {
        "row": "one row: microseconds (median, least, most)",
        "rows": f"{ROWS} rows: microseconds (median, least, most)",
        "first": "import and first answer: microseconds (median, least, most)",
    }
    for figure, title in titles.items():
        print(f"\n{title}")
        times = results[figure]
        for name in CONTENDERS:
            if name not in times:
                continue
            taken = [seconds * 1e6 for seconds in times[name]]
            against = "".join(
                f"  {ratio(times[rival], times[name]):8.2f} times as fast as {rival}"
                for rival in RIVALS.get(name, ())
            )
            print(
                f"  {name:12} {statistics.median(taken):10.1f} {min(taken):10.1f} "
                f"{max(taken):10.1f}{against}"
            )


def ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


if __name__ == "__main__":
    main()
