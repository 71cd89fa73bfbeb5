"""Outputs as rows that people and tables can read: named columns, the likeliest class.

Owns what the columns are called and which there are. Leaves which class a row is of to `classes`,
and files to `writing`.

A file has the same columns in all rows: the first batch says whether there is a class, and whether
`probability` or `score` stands beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError
from holdfast.judge.signature import Feed, shown
from holdfast.prediction.classes import Classes, classify

FILE = "file"
CLASS = "class"
PROBABILITY = "probability"
SCORE = "score"


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model gave for a batch.

    Args:
        outputs: its arrays, by name.
        files: the image of each row, or none.
        classes: the likeliest class of each row: its name, or its number where it has no name,
            or None where the row is of no class; None where the model says no class.
        certainty: the number that the model gave for it; NaN where it is not what `measure` says.
        measure: what that number is: `probability`, or `score` where rows are of no probabilities.
    """

    outputs: Feed
    files: tuple[str, ...]
    classes: NDArray[Any] | None
    certainty: NDArray[Any] | None
    measure: str

    @property
    def facts(self) -> dict[str, NDArray[Any]]:
        """The columns that come before the outputs."""
        columns: dict[str, NDArray[Any]] = {}
        if self.files:
            columns[FILE] = np.array(self.files, dtype=object)
        if self.classes is not None and self.certainty is not None:
            columns[CLASS] = self.classes
            columns[self.measure] = self.certainty
        return columns

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values())))


class Reader:
    """Makes answers of outputs.

    Args:
        classes: the names of the first output's classes, or none.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._names = tuple(classes)
        self._says: bool | None = None
        self._measure = SCORE

    def answers(self, outputs: Feed, files: tuple[str, ...] = ()) -> Answers:
        """Return what was given for a batch.

        Raises:
            InputError: there are more or fewer names of classes than numbers.
        """
        name, first = next(iter(outputs.items()))
        found = classify(first, self._names)
        if self._says is None:
            self._begin(name, first, found)
        if not self._says or found is None:
            return Answers(outputs, files, None, None, self._measure)
        certainty = found.numbers
        if self._measure == PROBABILITY and not found.probable.all():
            certainty = certainty.copy()
            certainty[~found.probable] = np.nan
        return Answers(outputs, files, found.best, certainty, self._measure)

    def _begin(self, name: str, output: NDArray[Any], found: Classes | None) -> None:
        """Decide by the first batch which columns there are."""
        width = output.shape[-1]
        fits = len(self._names) in ((2,) if width == 1 else (width,))
        if self._names and (output.ndim < 2 or not fits):
            raise InputError(
                f"{len(self._names)} classes have names ({', '.join(self._names)}), and the output "
                f"{name} is {output.dtype}{shown((None, *output.shape[1:]))}"
            )
        self._says = found is not None and found.of_all
        self._measure = PROBABILITY if found is not None and found.probabilities else SCORE


def columns(
    outputs: Mapping[str, NDArray[Any]], classes: Sequence[str], taken: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return outputs as columns, each with a name of its own.

    Args:
        outputs: by name.
        classes: the names of the first output's classes, which name its columns.
        taken: names that are no longer free.
    """
    found: dict[str, NDArray[Any]] = {}
    for place, (name, output) in enumerate(outputs.items()):
        flat = output.reshape(len(output), -1)
        own = classes if place == 0 and len(classes) == flat.shape[1] else ()
        for number, label in enumerate(own or _labels(output.shape[1:])):
            prefixed = f"{name}_{label}" if label else name
            plain = own and len(outputs) == 1 and label not in taken and label not in found
            found[label if plain else free(prefixed, [*taken, *found])] = flat[:, number]
    return found


def free(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken: as it is, or with lines below after it."""
    while name in taken:
        name += "_"
    return name


def _labels(sample: Sequence[int]) -> list[str]:
    """Return what follows an output's name in the names of its columns."""
    if tuple(sample) in ((), (1,)):
        return [""]
    places = itertools.product(*map(range, sample))
    return ["_".join(map(str, place)) for place in places]
