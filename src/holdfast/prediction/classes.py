"""Which class each row of an output is of, and how probable that is.

Owns the rule, for files and for what is served alike. Leaves what is written of it to
`prediction/answers` and `serving/answers`.

An output of as many numbers a row as classes have names is of these classes. One of a single number
a row, from 0 to 1, is of two named classes: the probability of the second. Without names an output
is of classes where each row is of probabilities: two numbers or more from 0 to 1 that sum to one. A
row with NaN is of no class, and does not say what the other rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# How far from one a sum of probabilities may be: quantized models round each of them.
_NEAR_ONE = 0.02


@dataclass(frozen=True, slots=True)
class Classes:
    """Which class each row of a batch is of.

    Args:
        best: the name of each row's class, or its place where there are no names; None where the
            row is of no class.
        numbers: floats that the model gave for it; NaN where the row has NaN.
        probable: whether the row is of probabilities.
        of_all: whether every row without NaN is of a class; true where names say so.
        probabilities: whether every row without NaN is of probabilities.
    """

    best: NDArray[Any]
    numbers: NDArray[Any]
    probable: NDArray[np.bool_]
    of_all: bool
    probabilities: bool


def classify(output: NDArray[Any], names: Sequence[str]) -> Classes | None:
    """Return which class each row is of, or None where an output of its shape and type has none.

    Args:
        output: of a batch.
        names: of the classes, or none.
    """
    if output.ndim != 2 or output.dtype.kind not in "fiuV":
        return None
    rows = output.astype(np.float32) if output.dtype.kind == "V" else output  # bfloat16
    alone = rows.shape[1] == 1
    if alone:
        rows = np.concatenate([1 - rows, rows], axis=1)
    if len(names) != rows.shape[1] and (names or alone):
        return None
    place = rows.argmax(axis=1)  # it finds NaN before any number
    largest = rows[np.arange(len(rows)), place]
    known = ~np.isnan(largest)
    probable = (rows.min(axis=1) >= 0) & (largest <= 1)
    with np.errstate(invalid="ignore"):
        probable &= np.abs(rows.sum(axis=1, dtype=np.float64) - 1) < _NEAR_ONE
    probabilities = bool(known.any() and probable[known].all())
    # Of one number that is no probability nobody can say where the second class begins.
    named = bool(names) and not alone
    best = np.array(names, dtype=object)[place] if names else place
    without = ~known if named else ~probable
    if without.any():
        best = best.astype(object)
        best[without] = None
    numbers = largest.astype(np.float64) if output.dtype.kind in "iu" else largest
    return Classes(best, numbers, probable, named or probabilities, probabilities)
