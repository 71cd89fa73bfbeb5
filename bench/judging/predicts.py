"""Keras judging on the backend of KERAS_BACKEND, on JAX beside `holdfast.judge` of the same file:
`predicts.py FOLDER TURNS`.

Prints the median seconds of one row and of many, by model and way of asking. Keras's documents say
that `predict` is for many rows, and that a few go faster by calling the model; both are measured,
and so is `predict_on_batch`, which compiles as `predict` does and makes no data set. Many rows go
to `predict` in batches of 32, as it comes, and in larger ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from models import ROWS, SHAPES, asked
from turns import in_turns


def main(folder: Path, turns: int) -> None:
    found: dict[str, Any] = {}
    for name in SHAPES:
        model = keras.saving.load_model(folder / f"{name}.keras")
        row = {
            "predict": lambda x, model=model: model.predict(x, verbose=0),
            "predict_on_batch": lambda x, model=model: model.predict_on_batch(x),
            "model(x)": lambda x, model=model: answer(model, x),
        }
        rows = {
            f"predict, {size}": lambda x, model=model, size=size: model.predict(
                x, batch_size=size, verbose=0
            )
            for size in (32, 1024, ROWS)
        }
        if keras.backend.backend() == "jax":
            row["judge-keras"] = rows["judge-keras"] = judge(folder / f"{name}.keras")
        found[name] = {}
        for figure, calls, number, some in (
            ("row", row, 1, turns),
            ("rows", rows, ROWS, max(1, turns // 4)),
        ):
            x = asked(name, number)
            for call in calls.values():
                call(x), call(x)
            found[name][figure] = in_turns(calls, x, some, 0.02 if number == 1 else 0.0)
    print(json.dumps(found))


def judge(path: Path) -> Callable[[Any], Any]:
    from holdfast.judge import load

    return load(path)


def answer(model: Any, x: Any) -> Any:
    """Return the answer of a model called as it is, as an array like the others'."""
    if keras.backend.backend() != "torch":
        return keras.ops.convert_to_numpy(model(x, training=False))
    import torch

    with torch.no_grad():
        return keras.ops.convert_to_numpy(model(x, training=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
