"""The History that `fit` returns: Keras's, over all attempts, with a picture and a table.

Owns what is recorded of an epoch. Leaves the picture to `holdfast.history`.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from holdfast import history as pictures
from holdfast.errors import MissingExtraError
from holdfast.events import Event, RolledBack
from holdfast.store import files


class History(keras.callbacks.History):  # type: ignore[misc]
    """What happened in a run, over all its attempts.

    Attributes:
        history: name of each metric -> its values, one an epoch, as Keras's.
        epoch: the epochs, counted from 0, as Keras's.
        rows: each epoch with its logs; `history` and `epoch` are made of these.
        restarts: the positions, in epochs (2.5 is the middle of the third), where attempts
            after the first went on.
        rollbacks: each rollback of the training: from where, to where, and why.
        points: name of each metric -> what was measured within epochs, as pairs of the
            position, in epochs, and the value.

    Example:
        `run.fit(model, x, y, epochs=5).history["loss"]`
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.restarts: list[float] = []
        self.rollbacks: list[RolledBack] = []
        self.points: dict[str, list[tuple[float, float]]] = {}
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self._told = pictures.Curves({})

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []
        self.history = {}
        self.rows = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.rows.append((epoch, dict(logs or {})))

    def restore(self, rows: list[tuple[int, dict[str, Any]]]) -> None:
        """Take the epochs of earlier attempts, each with its logs."""
        self.on_train_begin()
        for epoch, logs in rows:
            self.epoch.append(epoch)
            for name, value in logs.items():
                self.history.setdefault(name, []).append(value)
            self.rows.append((epoch, logs))

    def tell(self, events: Iterable[Event]) -> None:
        """Take what else happened from the journal, of the course that the run lived."""
        events = list(events)
        self._told = pictures.Curves.from_events(events)
        self.restarts = list(self._told.restarts)
        self.rollbacks = [event for event in events if isinstance(event, RolledBack)]
        self.points = {name: list(points) for name, points in self._told.points.items()}

    @property
    def best_epoch(self) -> int | None:
        """The best epoch, counted from 0 as `epoch` is; None where no epoch can be judged.

        Judged by the run's monitor (see `Keep`), or by `val_loss`, else `loss`.
        """
        best = self._curves().best()
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

    def _curves(self) -> pictures.Curves:
        """Return the curves, with the epochs of `rows`: the journal may have lost a line."""
        series = pictures.Curves.from_rows(self.rows).series
        return replace(self._told, series=series, restarts=self.restarts, points=self.points)
