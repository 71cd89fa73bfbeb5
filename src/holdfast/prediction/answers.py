"""Outputs as rows that people and tables can read: named columns, the likeliest class.

Owns what the columns are called and which class an output says. Leaves files to `writing`.

An output says a class where its classes have names, or where it gives several numbers for a sample
that are from 0 to 1 and sum to 1. Whether it does is seen in the first batch.
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

FILE = "file"
CLASS = "class"
PROBABILITY = "probability"
SCORE = "score"

_NEAR_ONE = 1e-3


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model gave for a batch.

    Args:
        outputs: its arrays, by name.
        files: the image of each row, or none.
        classes: the likeliest class of each row: its name, or its number where it has no name,
            or None where the row has NaN; None where the model says no class.
        certainty: the number that the model gave for it.
        measure: what that number is: `probability` where all of a row sum to 1, else `score`.
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
        if self._says is None:
            self._begin(name, first)
        if not self._says:
            return Answers(outputs, files, None, None, self._measure)
        scores = first.reshape(len(first), -1)
        if scores.shape[1] == 1:  # how sure the model is of the second of two classes
            scores = np.concatenate([1 - scores, scores], axis=1)
        best = scores.argmax(axis=1)
        certainty = scores[np.arange(len(scores)), best]
        classes = np.array(self._names, dtype=object)[best] if self._names else best
        broken = np.isnan(certainty.astype(np.float64))  # argmax finds NaN before any number
        if broken.any():
            classes = classes.astype(object)
            classes[broken] = None
        return Answers(outputs, files, classes, certainty, self._measure)

    def _begin(self, name: str, output: NDArray[Any]) -> None:
        """Decide by the first batch whether an output says a class, and how sure it is."""
        numbers = output.dtype.kind in "fV" and output.ndim == 2
        alone = numbers and output.shape[1] == 1 and len(self._names) == 2
        width = 2 if alone else output.shape[-1]
        if self._names and (output.ndim < 2 or width != len(self._names)):
            raise InputError(
                f"{len(self._names)} classes have names ({', '.join(self._names)}), and the output "
                f"{name} is {output.dtype}{shown((None, *output.shape[1:]))}"
            )
        within = numbers and bool(((output >= 0) & (output <= 1)).all())
        whole = numbers and bool((abs(output.sum(axis=1, dtype=float) - 1) < _NEAR_ONE).all())
        sure = within and (alone or (whole and width > 1))
        # Of one number that is no probability nobody can say where the second class begins.
        self._says = sure or (bool(self._names) and numbers and not alone)
        self._measure = PROBABILITY if sure else SCORE


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
