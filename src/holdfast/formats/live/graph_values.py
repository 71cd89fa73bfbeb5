"""What flows through a served graph, and computing early what does not depend on the data.

Owns the kinds of values and the bound on what a graph may make out of nothing. Leaves operations to
`graph_math`, `graph_arrays`, `graph_parts` and `graph_layers`, and their order to `graph_running`.

A value is an array of numpy's where it follows from constants and shapes alone: loop counters,
sizes, axes. It stays numpy's while JAX traces, so a loop over time steps ends by itself. All else
is a tensor of the backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from holdfast.errors import FormatError
from holdfast.formats.graph.definition import Attributes

Operation = Callable[[Sequence[Any], Attributes], Any]
"""Takes inputs and attributes, gives the output, or a list of all outputs."""

_MOST_ELEMENTS = 1 << 28
_MOST_KNOWN = 1 << 24
MOST_PARTS = 1 << 16
"""Into how many values one may be cut."""


def is_known(*values: Any) -> bool:
    """Return whether values follow from constants and shapes alone."""
    return all(isinstance(value, np.ndarray) for value in values)


def known(value: Any, what: str) -> np.ndarray[Any, Any]:
    """Return a value that must be known before the data is.

    Raises:
        FormatError: it depends on the data, and the data is not there yet.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        return np.asarray(keras.ops.convert_to_numpy(value))
    except Exception as error:
        raise DependsOnDataError(
            f"The model's {what} depends on its data, so it can only be computed eagerly: set "
            "model.run_eagerly = True."
        ) from error


class DependsOnDataError(FormatError):
    """What a graph does next depends on data that is not there while the backend compiles."""


def integers(value: Any, what: str) -> list[int]:
    """Return a known list of whole numbers, or one number as a list."""
    return [int(number) for number in known(value, what).reshape(-1)]


def integer(value: Any, what: str) -> int:
    """Return a known whole number."""
    numbers = integers(value, what)
    if len(numbers) != 1:
        raise FormatError(f"The graph is not sound: its {what} is {len(numbers)} numbers, not one.")
    return numbers[0]


def room_for(shape: Sequence[int], of_known: bool = False) -> tuple[int, ...]:
    """Return a shape that a graph asks for.

    Args:
        shape: of the array that is to be made.
        of_known: whether it is made of constants and shapes alone, which are small.

    Raises:
        FormatError: nothing has so many elements, or a dimension is negative.
    """
    shape = tuple(int(size) for size in shape)
    most = _MOST_KNOWN if of_known else _MOST_ELEMENTS
    if any(size < 0 for size in shape) or math.prod(shape) > most:
        raise FormatError(f"The graph is refused: it makes an array of shape {shape}.")
    return shape


def tensor(value: Any) -> Any:
    """Return a value as the backend's tensor."""
    return keras.ops.convert_to_tensor(value) if isinstance(value, np.ndarray) else value


def dtype_of(value: Any) -> str:
    """Return the name of the type of a value's elements."""
    return str(keras.backend.standardize_dtype(value.dtype))


def shape_of(value: Any) -> tuple[int, ...]:
    """Return a value's dimensions, which are known even while JAX traces."""
    return tuple(value.shape)
