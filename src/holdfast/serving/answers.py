"""What people get from `POST /predict`: a model's outputs as JSON, CSV or npy.

Owns the form of the answer and what a class is. Leaves reading requests to `serving/people`.

An answer in JSON, each row of the inputs one of the predictions:

    {"model": "digits", "version": "1200",
     "predictions": [{"class": "seven", "probability": 0.98, "outputs": {"digit": [0.0, …]}}]}

The first output is of classes where it has as many numbers a row as the model has names of classes,
or, of a model without names, where each row is two numbers or more from 0 to 1 that sum to one. One
number a row is of two named classes: the probability of the second. `class` is the name, or the
place where there are no names; `probability` is there where the numbers are probabilities.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.judge.about import About
from holdfast.judge.signature import Feed
from holdfast.serving import json_text, npy
from holdfast.serving.datatypes import to_json
from holdfast.serving.refusal import RequestError
from holdfast.types import Json

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"

_ROWS = 1024  # that are written to CSV at once
_ONE = 0.02  # how far from one a sum of probabilities may be: quantized models round each


@dataclass(frozen=True, slots=True)
class Classes:
    """Which class each row is of.

    Args:
        names: of each row's class; None where the row has NaN.
        probabilities: of it, or none where the numbers are not probabilities.
    """

    names: list[str | int | None]
    probabilities: NDArray[Any] | None


def write(outputs: Feed, about: About, version: str, accept: str) -> tuple[str, bytes]:
    """Return the answer's type and its body.

    Args:
        outputs: of the model, by name, in its order.
        about: what is known of the model.
        version: of it.
        accept: the request's header of this name: the first type in it that is known is
            given, and JSON where there is none.

    Raises:
        RequestError: npy is asked for, which has room for one output, and there are several.
    """
    kind = _kind(accept)
    if kind == NPY:
        if len(outputs) > 1:
            raise RequestError(
                f"npy has room for one output, and the model has {', '.join(outputs)}: "
                f"ask for {JSON} or {CSV}",
                406,
            )
        return NPY, npy.write(next(iter(outputs.values())))
    classes = classify(next(iter(outputs.values())), about.classes)
    if kind == CSV:
        return f"{CSV}; charset=utf-8", _csv(outputs, classes, about.classes)
    answer = {
        "model": about.name,
        "version": version,
        "predictions": _predictions(outputs, classes),
    }
    return JSON, json_text.write(answer)


def classify(output: NDArray[Any], names: Sequence[str]) -> Classes | None:
    """Return which class each row is of, or None where the output is not of classes."""
    if output.ndim != 2 or output.dtype.kind not in "fiuV":
        return None
    rows = output.astype(np.float64)
    fractions = bool(((rows >= 0) & (rows <= 1)).all())
    if rows.shape[1] == 1:
        if len(names) != 2 or not fractions:
            return None
        rows = np.concatenate([1 - rows, rows], axis=1)
    probable = fractions and bool((np.abs(rows.sum(axis=1) - 1) < _ONE).all())
    if len(names) != rows.shape[1] and (names or not probable or rows.shape[1] < 2):
        return None
    broken = np.isnan(rows.sum(axis=1))
    best = rows.argmax(axis=1)
    of: list[str | int | None] = [
        None if nan else (names[at] if names else at)
        for at, nan in zip(best.tolist(), broken.tolist(), strict=True)
    ]
    chosen = rows[np.arange(len(rows)), best].astype(_like(output))
    return Classes(of, chosen if probable else None)


def _like(output: NDArray[Any]) -> type[np.floating[Any]]:
    """Return the type in which a probability is written with no more digits than the output's."""
    return np.float64 if output.dtype == np.float64 else np.float32


def _predictions(outputs: Feed, classes: Classes | None) -> list[Json]:
    listed = {name: to_json(array) for name, array in outputs.items()}
    predictions = []
    for row in range(len(next(iter(outputs.values())))):
        prediction: dict[str, Json] = {}
        if classes is not None:
            prediction["class"] = classes.names[row]
            if classes.probabilities is not None:
                prediction["probability"] = classes.probabilities[row : row + 1][0]
        prediction["outputs"] = {name: array[row] for name, array in listed.items()}
        predictions.append(prediction)
    return predictions


def _csv(outputs: Feed, classes: Classes | None, names: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_head(outputs, classes, names))
    # Texts of numbers are many times their size.
    for start in range(0, len(next(iter(outputs.values()))), _ROWS):
        some = slice(start, start + _ROWS)
        columns: list[list[list[str]]] = []
        if classes is not None:
            columns.append([["" if name is None else str(name)] for name in classes.names[some]])
            if classes.probabilities is not None:
                columns.append(classes.probabilities[some].astype(str)[:, None].tolist())
        for array in outputs.values():
            columns.append(array[some].reshape(len(array[some]), -1).astype(str).tolist())
        writer.writerows(
            [cell for part in parts for cell in part] for parts in zip(*columns, strict=True)
        )
    return text.getvalue().encode()


def _head(outputs: Feed, classes: Classes | None, names: Sequence[str]) -> list[str]:
    """Return the names of a table's columns."""
    head = []
    if classes is not None:
        head.append("class")
        if classes.probabilities is not None:
            head.append("probability")
    for place, (name, array) in enumerate(outputs.items()):
        width = math.prod(array.shape[1:])
        if place == 0 and classes is not None and len(names) == width:
            head += [f"{name}_{of}" if len(outputs) > 1 else of for of in names]
        else:
            head += [f"{name}_{at}" for at in range(width)] if width > 1 else [name]
    return head


def _kind(accept: str) -> str:
    for part in accept.split(","):
        kind = part.split(";")[0].strip().lower()
        if kind in (JSON, CSV, NPY):
            return kind
    return JSON
