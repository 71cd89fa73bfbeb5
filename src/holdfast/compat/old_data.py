"""Data of models in a form that today's Keras refuses: lists of numbers.

Owns what becomes of them. Leaves which methods take data to `old_methods`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.compat.old import Old, met

LISTS = Old(
    "fit, evaluate and predict with lists of numbers",
    "Keras 3.0",
    "np.array(…) of the list",
    "makes an array of it",
)

_DATA = ("x", "y", "sample_weight")


def with_arrays(given: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with arrays for lists of numbers in what is data."""
    told = {name: arrays(value) if name in _DATA else value for name, value in given.items()}
    validation = told.get("validation_data")
    if isinstance(validation, (list, tuple)):
        told["validation_data"] = type(validation)(arrays(part) for part in validation)
    return told


def arrays(data: Any) -> Any:
    """Return data with an array in the place of each list of numbers in it.

    Lists and tuples of arrays stay what they are: a model's inputs, or data with its targets.
    """
    if isinstance(data, dict):
        return {name: arrays(part) for name, part in data.items()}
    if not isinstance(data, (list, tuple)) or not data:
        return data
    inner = data[0]
    while isinstance(inner, (list, tuple)) and inner:
        inner = inner[0]
    if isinstance(inner, (int, float, np.number)):
        met(LISTS)
        return np.array(data)
    return data


ROWS = (LISTS,)
