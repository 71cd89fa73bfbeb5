"""What one library makes of files that old libraries wrote: `opens.py WHO JOBS.json RESULTS`.

WHO is `holdfast`, `keras` (that of the environment) or `tf.keras` (TensorFlow 2.15's own). Appends
one line to RESULTS for each job, as soon as it is done: whoever started this process sees where it
hangs or dies. Owns opening and comparing; leaves which files, and going on, to `corpus`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np

WHOLE = ("h5", "keras", "keras_windows", "saved_model", "saved_model_1")


class Holdfast:
    """Opens by content alone; Keras 1 on Theano or TensorFlow is what it must be told."""

    def __init__(self) -> None:
        import keras

        self.keras = keras

    def whole(self, path: str, job: dict[str, Any]) -> Any:
        import holdfast

        return holdfast.load_model(path, compile=False, kernels=job["kernels"])

    def model_for(self, job: dict[str, Any]) -> Any:
        path = next(job["paths"][form] for form in (*WHOLE, "json") if form in job["paths"])
        return self.whole(path, job)

    def weights(self, model: Any, path: str, job: dict[str, Any]) -> None:
        import holdfast

        holdfast.load_weights(model, path, kernels=job["kernels"])

    def answers(self, model: Any, inputs: Any) -> Any:
        return numbers(model(inputs, training=False))


class Keras:
    """Keras 3, on the backend of KERAS_BACKEND."""

    def __init__(self) -> None:
        import keras

        self.keras = keras
        self.on_tensorflow = keras.backend.backend() == "tensorflow"

    def whole(self, path: str, job: dict[str, Any]) -> Any:
        if job["form"].startswith("saved_model") and self.on_tensorflow:
            # Its documented way to such files: a layer that answers, without the model's layers.
            return self.keras.layers.TFSMLayer(path, call_endpoint="serving_default")
        return self.keras.saving.load_model(path, compile=False)

    def model_for(self, job: dict[str, Any]) -> Any:
        """Return the model that a program's code would build: by Keras, else by Holdfast."""
        for form in ("keras", "h5"):
            try:
                return self.keras.saving.load_model(job["paths"][form], compile=False)
            except Exception:
                continue
        return Holdfast().model_for(job)

    def weights(self, model: Any, path: str, job: dict[str, Any]) -> None:
        model.load_weights(path)

    def answers(self, model: Any, inputs: Any) -> Any:
        if self.on_tensorflow:
            inputs = tensors(inputs)
        if isinstance(model, self.keras.layers.TFSMLayer):
            return numbers(model(inputs))
        return numbers(model(inputs, training=False))


class TFKeras:
    """Keras 2.15, a part of TensorFlow 2.15."""

    def __init__(self) -> None:
        import tensorflow as tf

        self.keras = tf.keras

    def whole(self, path: str, job: dict[str, Any]) -> Any:
        self.keras.backend.clear_session()
        return self.keras.models.load_model(path, compile=False)

    def model_for(self, job: dict[str, Any]) -> Any:
        for form in WHOLE:
            try:
                return self.whole(job["paths"][form], job)
            except Exception:
                continue
        if "json" not in job["paths"]:
            raise NoModelError
        return self.keras.models.model_from_json(Path(job["paths"]["json"]).read_text())

    def weights(self, model: Any, path: str, job: dict[str, Any]) -> None:
        model.load_weights(path)

    def answers(self, model: Any, inputs: Any) -> Any:
        return numbers(model(tensors(inputs), training=False))


class NoModelError(Exception):
    """There is no model to load weights into."""


def tensors(inputs: Any) -> Any:
    import tensorflow as tf

    return tf.nest.map_structure(tf.constant, inputs)


def numbers(found: Any) -> Any:
    """Return what a model answered as arrays, in lists or dictionaries as it was."""
    if isinstance(found, dict):
        return {name: numbers(value) for name, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [numbers(value) for value in found]
    return np.asarray(found)


def verdict(library: Any, job: dict[str, Any]) -> str:
    """Return `equal`, `differs`, or `fails: why`."""
    try:
        path = job["paths"][job["form"]]
        if job["form"] in WHOLE:
            model = library.whole(path, job)
        else:
            try:
                model = library.model_for(job)
            except Exception as error:
                return f"no model: {said(error)}"
            for weight in model.weights:
                # What is not read stays to be seen.
                weight.assign(np.zeros(weight.shape, np.dtype("int32")))
            library.weights(model, path, job)
        inputs, outputs = asked(job)
        found = library.answers(model, inputs)
    except Exception as error:
        return f"fails: {said(error)}"
    return "equal" if same(found, outputs, job["tolerance"]) else "differs"


def said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


def asked(job: dict[str, Any]) -> tuple[Any, Any]:
    """Return a model's inputs, and the outputs that the old library computed."""
    with np.load(job["io"]) as arrays:
        data = {name: arrays[name] for name in arrays.files}
    return below(data, "inputs", job["inputs"]), below(data, "outputs", job["outputs"])


def below(data: dict[str, np.ndarray], prefix: str, kind: str) -> Any:
    found = {n.partition("/")[2]: a for n, a in data.items() if n.startswith(f"{prefix}/")}
    if kind == "dict":
        return found
    listed = [found[str(place)] for place in range(len(found))]
    return listed[0] if kind == "single" else listed


def same(found: Any, expected: Any, tolerance: float) -> bool:
    """Say whether the answers are those expected; answers by name alone may come in any order."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return all(near(found[name], expected[name], tolerance) for name in expected)
    theirs, ours = flat(expected), flat(found)
    if len(theirs) != len(ours):
        return False
    if not isinstance(found, dict):
        return all(near(a, b, tolerance) for a, b in zip(ours, theirs, strict=True))
    for one in theirs:
        place = next((n for n, other in enumerate(ours) if near(other, one, tolerance)), None)
        if place is None:
            return False
        del ours[place]
    return True


def flat(structure: Any) -> list[np.ndarray]:
    if isinstance(structure, dict):
        return [one for value in structure.values() for one in flat(value)]
    if isinstance(structure, list):
        return [one for value in structure for one in flat(value)]
    return [structure]


def near(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> bool:
    """Say whether two arrays are equal: within the tolerance, relative to numbers above 1."""
    if ours.shape != theirs.shape:
        return False
    if theirs.dtype.kind in "OSU":
        texts = [t.decode() if isinstance(t, bytes) else str(t) for t in ours.ravel()]
        return texts == [str(text) for text in theirs.ravel()]
    ours, theirs = ours.astype("float64"), theirs.astype("float64")
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return False
    gap = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
    return float(np.nanmax(gap, initial=0.0)) <= tolerance


def main(who: str, jobs: str, results: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    library = {"holdfast": Holdfast, "keras": Keras, "tf.keras": TFKeras}[who]()
    with Path(results).open("a") as file:
        for job in json.loads(Path(jobs).read_text()):
            print(json.dumps(verdict(library, job)), file=file, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
