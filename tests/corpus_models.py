"""The corpus as tests see it: models written by old libraries, with what they computed.

What is compared is what a user has: every array bit for bit, and the outputs on given inputs.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import holdfast
from holdfast import errors
from holdfast.formats.opening import open_file

HERE = Path(__file__).parent / "corpus"
WHOLE = ("h5", "keras", "keras_windows", "saved_model", "saved_model_1")
WEIGHTS = (
    "checkpoint",
    "h5_weights",
    "weights_h5",
    "weights_json",
    "name_checkpoint",
    "name_checkpoint_v1",
)
# Theano padded the borders of images as no other backend does.
_THEANO = ("keras-1.2.2-theano/conv_lstm_tf", "keras-1.2.2-theano/conv_lstm_th")


@dataclass(frozen=True)
class Case:
    """A model of the corpus: its entry in the manifest, and where its files are."""

    facts: dict[str, Any]
    files: Path

    @property
    def name(self) -> str:
        return self.facts["name"]

    @property
    def age(self) -> str:
        return self.facts.get("age", "keras-2.15.0")

    @property
    def refused(self) -> bool:
        """Whether Keras 3 cannot have this model without what is not in the file."""
        return bool(self.facts.get("refused")) or self.name in _THEANO

    @property
    def has_cudnn(self) -> bool:
        return any(kind.startswith("CuDNN") for kind in self.facts["layers"])

    @property
    def normalizes(self) -> bool:
        return "BatchNormalization" in self.facts["layers"]

    @property
    def has_float64(self) -> bool:
        return any(row[2] == "float64" for row in self.facts["weights"])

    def paths(self) -> dict[str, Path]:
        """The files that were written, by the format."""
        formats = self.facts["formats"].items()
        return {name: self.files / path for name, path in formats if isinstance(path, str)}

    def io(self) -> tuple[Any, Any]:
        """The inputs and outputs, as the model takes and gives them."""
        path = self.files / self.facts.get("io", f"{self.name}/io.npz")
        with np.load(path) as arrays:
            data = {name: arrays[name] for name in arrays.files}
        inputs = structure(data, "inputs", self.facts.get("inputs", "single"))
        return inputs, structure(data, "outputs", self.facts.get("outputs", "single"))


def structure(data: dict[str, np.ndarray], prefix: str, kind: str) -> Any:
    found = {n.partition("/")[2]: a for n, a in data.items() if n.startswith(f"{prefix}/")}
    if kind == "dict":
        return found
    listed = [found[str(i)] for i in range(len(found))]
    return listed[0] if kind == "single" else listed


def cases(folder: str = "") -> list[Case]:
    """The models of a manifest; `unpack` makes their files."""
    manifest = HERE / folder / "corpus.json"
    if not manifest.exists():
        return []
    into = unpacked(folder)
    return [Case(facts, into) for facts in json.loads(manifest.read_text())]


@functools.cache
def unpacked(folder: str = "") -> Path:
    """A folder with the files of a manifest, which lie in zips; removed when the process ends."""
    place = tempfile.TemporaryDirectory(prefix="corpus-")
    atexit.register(place.cleanup)
    for path in sorted((HERE / folder / "files").rglob("*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                packed.extractall(place.name)
        elif path.suffix == ".xz":
            with tarfile.open(path) as archive:
                archive.extractall(place.name, filter="data")
    return Path(place.name)


def digest(array: np.ndarray) -> str:
    array = np.ascontiguousarray(array)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(array.tobytes()).hexdigest()


def same_weights(case: Case, model: Any) -> str:
    """What differs between a model's arrays and those of the corpus, or nothing."""
    ours = Counter(digest(np.asarray(keras.ops.convert_to_numpy(v.value))) for v in model.weights)
    # What Discretization has learned its bins of is no variable in Keras 3.
    ours += Counter(
        digest(np.asarray(layer.summary, "float32"))
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Discretization)
    )
    # Normalization's count of what it has adapted to is of another type in Keras 3.
    rows = [row for row in case.facts["weights"] if not row[0].endswith("count:0")]
    gone = Counter(row[3] for row in rows) - ours
    if not gone:
        return ""
    names = [row[0] for row in rows if row[3] in gone]
    return f"not bit-equal: {', '.join(names)}"


def everything() -> list[tuple[Case, str]]:
    """All models with each of the formats that they were written in."""
    found = [*cases(), *cases("old")]
    whole = {case.name for case in found if set(case.paths()) & {*WHOLE, "json"}}
    return [
        (case, form)
        for case in found
        for form in case.paths()
        if form in WHOLE or (form in WEIGHTS and case.name in whole)
    ]


def verdict(case: Case, form: str) -> str:
    """What Holdfast makes of a file: `equal`, `refused`, or what is wrong."""
    try:
        model = opened(case, form)
        inputs, outputs = case.io()
        gap = distance(model(inputs, training=False), outputs)
    except errors.FormatError as error:
        said = str(error).replace(f"{case.files}/", "").splitlines()
        return "refused" if case.refused else f"fails: {' '.join(said)[:160]}"
    except Exception as error:
        return f"fails: {type(error).__name__}: {str(error)[:160]}"
    if not gap <= case.facts["tolerance"]:
        return f"differs: outputs by {gap:.2g}"
    lost = kept(case, form, model)
    return f"differs: {lost}" if lost else "equal"


def opened(case: Case, form: str) -> keras.Model:
    """A case's model with what one file of it holds."""
    path = case.paths()[form]
    kernels = case.facts.get("backend") if case.age.startswith(("keras-0", "keras-1")) else None
    with warnings.catch_warnings():
        # float64 is float32 on JAX, and losses added to a graph are not kept: both are said.
        warnings.simplefilter("ignore")
        if form in WHOLE:
            return holdfast.load_model(path, kernels=kernels)
        if form in ("weights_h5", "checkpoint") and case.facts.get("refused"):
            raise errors.FormatError(f"{path}: there is no model for its weights")
        whole = next(case.paths()[name] for name in (*WHOLE, "json") if name in case.paths())
        model = holdfast.load_model(whole, compile=False, kernels=kernels)
        for variable in model.weights:
            variable.assign(np.zeros(variable.shape))
        holdfast.load_weights(model, path, kernels=kernels)
    return model


def kept(case: Case, form: str, model: keras.Model) -> str:
    """What of the file's arrays is not in the model, or nothing."""
    if case.has_cudnn or case.has_float64:
        # Kernels are turned and biases added up; JAX has no float64 unless it is told to.
        return ""
    if case.age in ("keras-0.3.3-theano", "keras-1.0.5-theano") and case.normalizes:
        return ""  # its standard deviation is a variance now
    if case.age.startswith(("keras-0", "keras-1")):
        return same_numbers(case.paths()[form], model)
    return same_weights(case, model)


def same_numbers(path: Path, model: Any) -> str:
    """What of a file's numbers a model has not, where they are arranged otherwise, or nothing."""
    with open_file(path) as file:
        theirs = [entry.read().ravel() for entry in entries_of(file.weights)]
    ours = [np.asarray(keras.ops.convert_to_numpy(v.value)).ravel() for v in model.weights]
    none = np.zeros(0, "float32")
    same = np.array_equal(
        np.sort(np.concatenate([none, *ours])), np.sort(np.concatenate([none, *theirs]))
    )
    return "" if same else "not the same numbers"


def entries_of(weights: Any) -> list[Any]:
    """All arrays of a file that says whose they are by layers."""

    def of_layer(part: Any) -> list[Any]:
        return [*part.entries, *(e for inner in part.layers for e in of_layer(inner))]

    return [*weights.top, *(entry for part in weights.layers for entry in of_layer(part))]


def distance(found: Any, expected: Any) -> float:
    """The largest difference between outputs, relative where they are larger than 1."""
    pairs = list(zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True))
    if isinstance(expected, dict):
        pairs = [(found[name], expected[name]) for name in expected]
    most = 0.0
    for found_one, expected_one in pairs:
        ours = np.asarray(keras.ops.convert_to_numpy(found_one), dtype="float64")
        theirs = np.asarray(expected_one, dtype="float64")
        if ours.shape != theirs.shape:
            return float("inf")
        if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
            return float("inf")
        gap = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
        most = max(most, float(np.nanmax(gap, initial=0.0)))
    return most
