"""The History that `fit` returns: Keras's, over all attempts, with a picture and a table.

Owns what is recorded of an epoch. Leaves the picture to `history/figure`, and what else
happened to the journal, which may be long: it is read when somebody asks.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import keras

from holdfast.errors import MissingExtraError
from holdfast.events import AttemptStarted, Event, RolledBack
from holdfast.history.curves import Curves
from holdfast.state.rows import Row, Rows
from holdfast.store import files


class Lived(Protocol):
    """A way to what happened on the course that a run lived; see `store.journal.Record.lived`."""

    def __call__(self, *kinds: type[Event]) -> Iterable[Event]: ...


class History(keras.callbacks.History):  # type: ignore[misc]
    """What happened in a run, over all its attempts.

    Attributes:
        history: name of each metric -> its values, one an epoch, as Keras's.
        epoch: the epochs, counted from 0, as Keras's.
        rows: the sequence of each epoch with its logs; `history` and `epoch` are made of it.
        restarts: the positions, in epochs (2.5 is the middle of the third), where attempts
            after the first went on.
        rollbacks: each rollback of the training: from where, to where, and why.
        points: name of each metric -> what was measured within epochs, as pairs of the
            position, in epochs, and the value.

    The last three are in the run's journal. Of a long one they are read when they are asked for.

    Example:
        `run.fit(model, x, y, epochs=5).history["loss"]`
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.rows = Rows()
        self._lived: Lived = _nothing

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []
        self.history = {}
        self.rows = Rows()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.rows.append(epoch, dict(logs or {}))

    def restore(self, rows: Iterable[Row]) -> None:
        """Take the epochs of earlier attempts, each with its logs."""
        self.on_train_begin()
        self.rows = rows if isinstance(rows, Rows) else Rows(rows)
        for epoch, logs in self.rows:
            self.epoch.append(epoch)
            for name, value in logs.items():
                self.history.setdefault(name, []).append(value)

    def tell(self, lived: Lived, *, later: bool) -> None:
        """Take what else happened.

        Args:
            lived: the way to it.
            later: go there when it is asked for, not now.
        """
        self._lived = lived
        for name in ("_told", "restarts", "rollbacks", "points"):
            self.__dict__.pop(name, None)
            if not later:
                getattr(self, name)

    @cached_property
    def restarts(self) -> list[float]:
        return list(self._told.restarts)

    @cached_property
    def rollbacks(self) -> list[RolledBack]:
        return [event for event in self._lived(RolledBack) if isinstance(event, RolledBack)]

    @cached_property
    def points(self) -> dict[str, list[tuple[float, float]]]:
        return {name: list(points) for name, points in self._told.points.items()}

    @cached_property
    def _told(self) -> Curves:
        return Curves.from_events(self._lived(*Curves.kinds))

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, counted from 0 as `epoch` is; None where no epoch can be judged.

        Judged by the run's monitor (see `Keep`), or by `val_loss`, else `loss`.
        """
        judged = Curves.from_events(self._lived(AttemptStarted))
        best = replace(judged, series=self._series()).best()
        return None if best is None else best[1] - 1

    def plot(self) -> Any:
        """Return a matplotlib figure: one panel for the losses, one for each metric.

        The best epoch, restarts, rollbacks and an early stop are marked, and what came after
        the lowest `val_loss` is shaded.

        Raises:
            MissingExtraError: matplotlib is not installed (`holdfast[plot]`).
        """
        return self._curves().plot()

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Return the epochs as CSV, or write them to a file, whole or not at all.

        One row an epoch; the column `epoch` counts from 0, as `epoch` does here and in Keras.
        The others are the metrics; where an epoch has no value of one, its cell is empty.

        Args:
            path: of the file; one that is there is replaced. None to return the text.

        Raises:
            OSError: the file cannot be written.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns(), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**logs, "epoch": epoch} for epoch, logs in self.rows)
        if path is None:
            return text.getvalue()
        try:
            files.replace(Path(path), text.getvalue().encode())
        except OSError as error:
            # It may name the file beside this one that is renamed to it: nobody gave that.
            raise OSError(error.errno, error.strerror, str(path)) from error
        return None

    def to_dataframe(self) -> Any:
        """Return the epochs as a `pandas.DataFrame`, with the rows and columns of `to_csv`.

        Where an epoch has no value of a metric it is NaN.

        Raises:
            MissingExtraError: pandas is not installed (`holdfast[pandas]`).
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingExtraError("pandas", "pandas", "A table") from error
        rows = [{**logs, "epoch": epoch} for epoch, logs in self.rows]
        return pandas.DataFrame(rows, columns=self._columns())

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(["epoch", *(name for _, logs in self.rows for name in logs)]))

    def _curves(self) -> Curves:
        """Return the curves, with the epochs of `rows`: the journal may have lost a line."""
        return replace(
            self._told, series=self._series(), restarts=self.restarts, points=self.points
        )

    def _series(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        return Curves.from_rows(self.rows).series


def _nothing(*_: type[Event]) -> Iterable[Event]:
    return ()
