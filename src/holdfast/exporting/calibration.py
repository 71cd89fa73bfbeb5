"""Inputs to calibrate int8 on, and their labels where there are some.

Owns checking them for a model, and reading numpy's files. Leaves other files to whoever calls.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError, did_you_mean
from holdfast.judge.about import About
from holdfast.judge.signature import Feed, Signature, Tensor, checked

_LABELS = "y"
_INPUTS = "x"
# More do not make the ranges of numbers any better known, and each is run once.
_ENOUGH = 500


@dataclass(frozen=True)
class Calibration:
    """Inputs by name, and the numbers of their classes where they are known."""

    feed: Feed
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(next(iter(self.feed.values())))

    def save(self, path: Path) -> None:
        """Write an `.npz` of as many inputs as calibrating needs, from everywhere among them."""
        count = len(self)
        rows = np.linspace(0, count - 1, min(count, _ENOUGH)).astype(int)
        np.savez(path, **{name: part[rows] for name, part in self.feed.items()})


def read(given: Any, labels: Any, signature: Signature, about: About) -> Calibration:
    """Return what was given to calibrate on.

    Args:
        given: the path of an `.npy` or `.npz`, arrays as a judge takes them, or a function that
            returns such arrays for a signature and what is known of the model.
        labels: a path, an array, or None for what the file of inputs has.
        signature: of the model.
        about: what is known of it: the names that labels may have.

    Raises:
        InputError: it is not what the model takes, or the labels do not belong to it.
    """
    if isinstance(given, str | Path):
        inputs, found = _from_file(Path(given), signature)
    else:
        inputs, found = given(signature, about) if callable(given) else given, None
    feed = checked(signature, inputs)
    if labels is not None:
        found = _labels_from_file(Path(labels)) if isinstance(labels, str | Path) else labels
    made = Calibration(feed, None if found is None else _numbered(np.asarray(found), about.classes))
    if not len(made):
        raise InputError("there is no input to calibrate on")
    if made.labels is not None and len(made.labels) != len(made):
        raise InputError(
            f"there are {len(made)} inputs to calibrate on and {len(made.labels)} labels"
        )
    if made.labels is not None:
        _check_labels(made.labels, signature.outputs[0])
    return made


def _from_file(path: Path, signature: Signature) -> tuple[Any, NDArray[Any] | None]:
    if path.suffix not in (".npy", ".npz"):
        raise InputError(f"{path}: give an .npy or an .npz, or arrays")
    arrays = _loaded(path)
    if not isinstance(arrays, Mapping):
        return arrays, None
    names = [tensor.name for tensor in signature.inputs]
    labels = None if _LABELS in names else arrays.get(_LABELS)
    if len(names) == 1 and names[0] not in arrays:
        rest = [name for name in arrays if name != _LABELS]
        chosen = _INPUTS if _INPUTS in rest else rest[0] if len(rest) == 1 else None
        if chosen is None:
            raise InputError(
                f"{path}: which of {', '.join(arrays)} are the inputs? Name the array {names[0]!r} "
                f"or {_INPUTS!r}"
            )
        return arrays[chosen], labels
    return {name: part for name, part in arrays.items() if name in names}, labels


def _loaded(path: Path) -> Any:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return {name: found[name] for name in found.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: numpy cannot read it: {error}") from error


def _labels_from_file(path: Path) -> Any:
    if path.suffix == ".npy":
        return _loaded(path)
    return np.array(path.read_text(encoding="utf-8").split())


_ELSE = ". Without labels (--labels, or y in an .npz) the outputs are compared"


def _check_labels(labels: NDArray[np.int64], output: Tensor) -> None:
    """Refuse labels of which the model can get none right, however it was changed."""
    if len(output.sample) > 1:
        raise InputError(
            f"labels are one class for each row, and {output.name} is {output}: it has several "
            f"for each{_ELSE}"
        )
    # One number for each row is the probability of the second class.
    classes = max(2, output.sample[0] or 1) if output.sample else 2
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise InputError(
            f"{output.name} is {output}, which tells {classes} classes apart, 0 to {classes - 1}, "
            f"and the labels are from {low} to {high}{_ELSE}"
        )


def _numbered(labels: NDArray[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return labels as numbers of classes; they may be names, or have one column for each class."""
    if labels.dtype.kind in "US":
        return np.array([_number(str(label), classes) for label in labels], np.int64)
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.round(labels)):
        raise InputError(f"labels are numbers or names of classes, and these have fractions{_ELSE}")
    return labels.reshape(len(labels)).astype(np.int64)


def _number(label: str, classes: Sequence[str]) -> int:
    if label in classes:
        return list(classes).index(label)
    if label.isdecimal():
        return int(label)
    raise InputError(f"the label {label!r} is no class{did_you_mean(label, classes)}")
