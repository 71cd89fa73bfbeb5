"""The process that writes files of other runtimes: `python -m holdfast.exporting.child`.

A Keras model is the same on every backend, and each format has one from which it can be made. A
process has one backend, so this one is started with the right one (`exporting/children`).

Owns reading the questions and answering. Leaves the formats to the modules named after them. On
standard input comes one line of JSON, with a list of tasks; for each there is one line of the
answer. When the input ends, the asking process is gone, and so is this one.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from holdfast.exporting.tasks import Task


def main() -> None:
    """Answer what was asked."""
    asked = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_asking, daemon=True).start()
    # What libraries print is not the answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.extend(place for place in asked["path"] if place not in sys.path)
    _quieten()
    for task in asked["tasks"]:
        answer = _answer(Task(**task))
        answers.write(json.dumps({"error": answer}) + "\n")
        answers.flush()
    # Threads of the libraries would keep a process that has nothing more to do.
    os._exit(0)


def _end_with_the_asking() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def _quieten() -> None:
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


def _answer(task: Task) -> str | None:
    """Return None where the file was written, else why not."""
    from holdfast.errors import HoldfastError
    from holdfast.exporting import reasons

    try:
        _write(task)
    except HoldfastError as error:
        return str(error).removeprefix(f"{task.model}: ")
    except Exception as error:  # whatever a converter may raise is its reason
        return reasons.readable(error)
    return None


def _write(task: Task) -> None:
    model = _loaded(task)
    target = Path(task.target)
    if task.format == "stablehlo":
        from holdfast.exporting import stablehlo

        stablehlo.write(model, task, target)
    elif task.format == "saved_model":
        from holdfast.exporting import archive

        archive.write(model, task, target)
    elif task.format == "onnx":
        from holdfast.exporting import onnx

        onnx.write(model, task, target)
    else:
        from holdfast.exporting import tflite

        tflite.write(model, task, target)


def _loaded(task: Task) -> Any:
    from holdfast.api import load_model

    for name in task.modules:
        importlib.import_module(name)
    return load_model(
        task.model, {name: _found(*place) for name, place in task.custom.items()}, compile=False
    )


def _found(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


if __name__ == "__main__":
    main()
