"""What people get from `POST /predict`: a model's outputs as JSON, CSV or npy.

Owns the form of the answer. Leaves which class a row is of to `prediction/classes`, and reading
requests to `serving/people`.

An answer in JSON, each row of the inputs one of the predictions:

    {"model": "digits", "version": "1200",
     "predictions": [{"class": "seven", "probability": 0.98, "outputs": {"digit": [0.0, …]}}]}

`class` is there where all rows are of one: its name, or its place where there are no names; null
for a row with NaN. `probability` is there where all rows are of probabilities.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from holdfast.judge.about import About
from holdfast.judge.signature import Feed
from holdfast.prediction.classes import Classes, classify
from holdfast.serving import json_text, npy
from holdfast.serving.datatypes import to_json
from holdfast.serving.refusal import RequestError
from holdfast.types import Json

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"

_ROWS = 1024  # that are written to CSV at once
_WRITTEN = 4  # bytes of the smallest floats that have texts of their own


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
    if classes is not None and not classes.of_all:
        classes = None
    if kind == CSV:
        return f"{CSV}; charset=utf-8", _csv(outputs, classes, about.classes)
    answer = {
        "model": about.name,
        "version": version,
        "predictions": _predictions(outputs, classes),
    }
    return JSON, json_text.write(answer)


def _predictions(outputs: Feed, classes: Classes | None) -> list[Json]:
    listed = {name: to_json(array) for name, array in outputs.items()}
    best = classes.best.tolist() if classes is not None else []
    numbers = classes.numbers if classes is not None and classes.probabilities else None
    if numbers is not None and numbers.itemsize < _WRITTEN:
        numbers = numbers.astype(np.float32)
    predictions = []
    for row in range(len(next(iter(outputs.values())))):
        prediction: dict[str, Json] = {}
        if classes is not None:
            prediction["class"] = best[row]
            if numbers is not None:
                prediction["probability"] = numbers[row]
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
            columns.append([["" if of is None else str(of)] for of in classes.best[some].tolist()])
            if classes.probabilities:
                columns.append(classes.numbers[some].astype(str)[:, None].tolist())
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
        if classes.probabilities:
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
