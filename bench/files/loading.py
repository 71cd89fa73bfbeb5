"""Reading one large model: `loading.py WHAT FORMAT FOLDER LAYERS`.

With `loading.py write FOLDER LAYERS` it writes the model in each format first.

WHAT is `read` (the bytes of the file that holds the arrays, and nothing else), `holdfast` or
`keras`. Prints the seconds, without imports and without building a model that weights go into. The
file is in the system's memory: it was just written, and each contender reads the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH = 4096
FILES = {
    "keras": "model.keras",
    "h5": "model.h5",
    "safetensors": "model.safetensors",
    "weights.h5": "model.weights.h5",
    "weights in h5": "weights.h5",
    "checkpoint": "model.ckpt",
}
WHOLE = ("keras", "h5", "safetensors")
BY_KERAS = ("keras", "h5", "weights.h5")


def model_of(layers: int, drawn: str = "zeros") -> Any:
    import keras

    parts = [
        keras.layers.Dense(WIDTH, kernel_initializer=drawn, name=f"dense_{number}")
        for number in range(layers)
    ]
    return keras.Sequential([keras.Input((WIDTH,)), *parts])


def write(folder: Path, layers: int) -> dict[str, Any]:
    """Write the model in each format, and return the bytes of each."""
    import holdfast

    model = model_of(layers, "glorot_uniform")
    for form, name in FILES.items():
        save = holdfast.save_model if form in WHOLE else holdfast.save_weights
        save(model, folder / name)
    return {"bytes": {form: data_of(form, folder).stat().st_size for form in FILES}}


def data_of(form: str, folder: Path) -> Path:
    """Return the file that holds a format's arrays."""
    path = folder / FILES[form]
    return path.with_name(f"{path.name}.data-00000-of-00001") if form == "checkpoint" else path


def work_of(what: str, form: str, folder: Path, layers: int) -> Callable[[], Any]:
    """Return what is timed; all imports are done."""
    path = folder / FILES[form]
    if what == "read":
        return data_of(form, folder).read_bytes
    import keras

    import holdfast
    from holdfast.formats.live import reading  # what is imported at the first call

    assert reading
    keras.ops.zeros(1)
    if form in WHOLE:
        load = holdfast.load_model if what == "holdfast" else keras.saving.load_model
        return lambda: load(path, compile=False)
    model = model_of(layers)
    if what == "holdfast":
        return lambda: holdfast.load_weights(model, path)
    return lambda: model.load_weights(path)


def main(what: str, *arguments: str) -> None:
    if what == "write":
        folder, layers = arguments
        print(json.dumps(write(Path(folder), int(layers))))
        return
    form, folder, layers = arguments
    work = work_of(what, form, Path(folder), int(layers))
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    del result
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
