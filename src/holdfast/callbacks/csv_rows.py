"""The rows of a CSVLogger over all attempts: none lost, none twice, one header.

Owns the file of a `keras.callbacks.CSVLogger` between two attempts: that it is not emptied,
that it is on the disk before a checkpoint speaks of its rows, and that rows of epochs which
are trained again are cut off. Leaves writing the rows to the logger.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from holdfast.callbacks.hosted import Hosted
from holdfast.store import files
from holdfast.types import Json

_TAIL = 80


class CsvRows(Hosted):
    """Keeps one logger's file in step with the checkpoints.

    It stands right after its logger in the list of callbacks, so that it hears each hook and
    is restored just after it.

    Args:
        logger: a `keras.callbacks.CSVLogger`.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self.logger = logger
        self._filename = logger.filename
        self._append = logger.append
        self._path: Path | None = None
        self._warned = False

    def prepare(self, *, resumed: bool) -> None:
        """Say, before `on_train_begin`, whether the run goes on from a checkpoint.

        If so, the logger opens its file without emptying it.
        """
        # Keras sets this for append=True alone, and a logger may have been used before.
        self.logger.append_header = True
        self.logger.append = self._append or resumed

    def settle(self) -> None:
        """Bring the rows so far to the disk. A disk that fails is said once."""
        if self._path is None:
            return
        try:
            if not self.logger.csv_file.closed:
                self.logger.csv_file.flush()
            files.settle(self._path)
        except OSError as error:
            self._warn(
                f"cannot write to {self._path}: {error}. Training goes on; after a crash of "
                "the machine the last rows may be missing there."
            )

    def get_state(self) -> Json:
        """Return the file's length in bytes and its end, or None where it cannot be read."""
        if self._path is None:
            return None
        with contextlib.suppress(OSError):
            if not self.logger.csv_file.closed:
                self.logger.csv_file.flush()
            return _describe(self._path, None)
        return None

    def set_state(self, state: Json) -> None:
        """Cut off the rows of epochs that are trained again, and write a header if need be.

        A file that is not as the checkpoint left it was changed by somebody: it is left as it
        is, with a warning, and the next rows follow.
        """
        # The generic restore brought the checkpoint's; the file that is open has this name.
        self.logger.filename, self.logger.append = self._filename, self._append
        if self._path is None:
            return
        try:
            if state is not None and _describe(self._path, state["bytes"]) == state:
                _cut(self._path, state["bytes"])
            else:
                self._warn(
                    f"{self._path} is not as it was at the checkpoint: expected "
                    f"{_expectation(state)}, found {self._path.stat().st_size} bytes. "
                    "It stays as it is and the next rows follow; the run's history has all "
                    "epochs."
                )
            # What is opened with "w" would go on where it wrote last and leave a hole.
            self.logger.csv_file.seek(0, os.SEEK_END)
            self.logger.append_header = self._path.stat().st_size == 0
            self.logger.writer = None
        except OSError as error:
            self._warn(f"cannot cut {self._path} to the rows of the checkpoint: {error}")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.logger.append = self._append
        # A file that is not on this machine cannot be cut.
        local = hasattr(self.logger.csv_file, "fileno")
        # Absolute, since a callback may change the working directory.
        self._path = Path(self.logger.filename).absolute() if local else None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Whether a header is still to be written is the same in every attempt only if it is
        # taken back once it is written.
        if self.logger.writer is not None:
            self.logger.append_header = False

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # For whoever uses the logger again: Keras sets this for append=True alone.
        self.logger.append_header = True

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(message, stacklevel=3)


def accompany(callbacks: Sequence[Any]) -> list[Any]:
    """Return `callbacks` with a companion after each CSVLogger that has none yet."""
    known = [callback.logger for callback in callbacks if isinstance(callback, CsvRows)]
    accompanied = []
    for callback in callbacks:
        accompanied.append(callback)
        if isinstance(callback, keras.callbacks.CSVLogger) and not any(
            callback is logger for logger in known
        ):
            accompanied.append(CsvRows(callback))
            known.append(callback)
    return accompanied


def _describe(path: Path, size: int | None) -> Json:
    """Return how long a file is and how it ends, or how its first `size` bytes end."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        if size is not None:
            length = min(size, length)
        file.seek(max(0, length - _TAIL))
        # Any byte is a character in this encoding.
        end = file.read(min(_TAIL, length)).decode("latin-1")
    return {"bytes": length, "end": end}


def _expectation(state: Json) -> str:
    if state is None:
        return "a file that can be read"
    return f"{state['bytes']} bytes that end with {state['end'][-20:]!r}"


def _cut(path: Path, size: int) -> None:
    """Cut a file to `size` bytes; durable when this returns."""
    file = files.Appender(path)
    try:
        file.truncate(size)
        file.sync()
    finally:
        file.close()
