"""The History that `fit` returns: Keras's, over all attempts, with a picture.

Owns what is recorded of an epoch. Leaves the picture to `holdfast.history`.
"""

from __future__ import annotations

from typing import Any

import keras

from holdfast import history as pictures


class History(keras.callbacks.History):  # type: ignore[misc]
    """What happened in a run, over all its attempts.

    Attributes:
        history: name of each metric -> its values, one an epoch, as Keras's.
        epoch: the epochs, counted from 0, as Keras's.
        rows: each epoch with its logs; `history` and `epoch` are made of these.
        restarts: the positions, in epochs (2.5 is the middle of the third), where attempts
            after the first went on.

    Example:
        `run.fit(model, x, y, epochs=5).history["loss"]`
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.restarts: list[float] = []
        self.rows: list[tuple[int, dict[str, Any]]] = []

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

    def plot(self) -> Any:
        """Return a matplotlib figure: one panel for the losses, one for each metric.

        Raises:
            MissingExtraError: matplotlib is not installed (`holdfast[plot]`).
        """
        return pictures.Curves.from_rows(self.rows, self.restarts).plot()
