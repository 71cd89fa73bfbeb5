"""`holdfast.judge` and the bare runtimes in one process, by turns: `runtimes.py FOLDER TURNS`.

Prints the median seconds of one row and of many, by model and contender. In one process, because
what is looked for are microseconds, and two processes differ by more than that. LiteRT's documents
have two ways; the faster is taken: an interpreter whose tensors are made once for a shape.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import ROWS, SHAPES, asked
from turns import in_turns


def bare_onnx(path: Path) -> Callable[[Any], Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given, answer = session.get_inputs()[0].name, [session.get_outputs()[0].name]
    return lambda x: session.run(answer, {given: x})[0]


def bare_litert(path: Path, rows: int) -> Callable[[Any], Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    shape = (rows, *(int(size) for size in given["shape"][1:]))
    place = given["index"]
    interpreter.resize_tensor_input(place, shape)
    interpreter.allocate_tensors()

    def call(x: Any) -> Any:
        interpreter.set_tensor(place, x)
        interpreter.invoke()
        return interpreter.get_tensor(answer)

    return call


def contenders(folder: Path, name: str, rows: int) -> dict[str, Callable[[Any], Any]]:
    from holdfast.judge import load

    return {
        "onnxruntime": bare_onnx(folder / f"{name}.onnx"),
        "judge-onnx": load(folder / f"{name}.onnx"),
        "litert": bare_litert(folder / f"{name}.tflite", rows),
        "judge-tflite": load(folder / f"{name}.tflite"),
    }


def main(folder: Path, turns: int) -> None:
    found: dict[str, Any] = {}
    for name in SHAPES:
        for figure, rows, seconds in (("row", 1, 0.02), ("rows", ROWS, 0.0)):
            calls = contenders(folder, name, rows)
            x = asked(name, rows)
            for call in calls.values():
                call(x), call(x)
            found.setdefault(name, {})[figure] = in_turns(calls, x, turns, seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
