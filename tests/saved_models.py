"""SavedModels for tests: those of the corpus, and small ones of `data/saved_model`, unpacked."""

from __future__ import annotations

import atexit
import functools
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import corpus_models
import numpy as np

DATA = Path(__file__).parent / "data" / "saved_model"


@functools.cache
def unpacked(path: Path) -> Path:
    """A folder with what is in a zip; removed when the process ends."""
    place = tempfile.TemporaryDirectory(prefix="saved-model-")
    atexit.register(place.cleanup)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(place.name)
    return Path(place.name)


def small(name: str) -> Path:
    """A SavedModel that `data/saved_model/make.py` wrote."""
    return unpacked(DATA / f"{name}.zip")


def special(name: str) -> Path:
    """A SavedModel of the corpus without a configuration of Keras."""
    return corpus_models.unpacked() / name / "saved_model"


@functools.cache
def manifest() -> dict[str, tuple[dict[str, Any], Path]]:
    """Models of the corpus that were saved so, by name: what is known of each, and where it is."""
    return {
        prefix + case.name + kind.removeprefix("saved_model"): (case.facts, path)
        for folder, prefix in (("", ""), ("old", "old/"))
        for case in corpus_models.cases(folder)
        for kind, path in case.paths().items()
        if kind.startswith("saved_model")
    }


def computed(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The inputs and outputs that lie in or beside a SavedModel, by name."""
    path = folder / "io.npz" if (folder / "io.npz").exists() else folder.parent / "io.npz"
    with np.load(path, allow_pickle=False) as arrays:
        data = {name: arrays[name] for name in arrays.files if name.startswith(("inputs", "outp"))}
    ways = ("inputs/", "outputs/")
    inputs, outputs = (
        {name[len(way) :]: array for name, array in data.items() if name.startswith(way)}
        for way in ways
    )
    return inputs, outputs
