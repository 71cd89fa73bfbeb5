"""Model files that are to be written, one after the other, in the background.

Owns that a training goes on where the disk has no room, and that what could not be written is
tried again. Leaves what is done for a file to the caller, and the thread to `model_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.callbacks.model_files import Image, Saving
from holdfast.errors import NotSavedError
from holdfast.types import Json


@dataclass(frozen=True)
class Due:
    """A file that is to be written, and when it stands: what is said, which files then go.

    `step` is that of the checkpoint with the same weights.
    """

    path: str
    image: Image
    epoch: int
    step: int
    score: float | None
    said: str
    fallen: Sequence[str] = ()

    def as_state(self) -> Json:
        return [self.path, self.epoch, self.step, self.score, self.said]


class FileQueue:
    """Holds the one file that is being written, and the newest that could not be.

    Args:
        work: returns, in the caller's thread, what the background does for a file.
    """

    def __init__(self, work: Callable[[Due], Callable[[], None]]) -> None:
        self._work = work
        self.forget()

    def forget(self) -> None:
        """Begin anew; nothing is being written."""
        self.failed: Due | None = None
        self._saving: Saving | None = None
        self._due: Due | None = None
        self._why: OSError | None = None

    def begin(self, due: Due) -> None:
        """Begin to write a file; waits for the one before it."""
        self.settle()
        self._due = due
        self._saving = Saving(self._work(due))

    def settle(self) -> None:
        """Wait until the file that is being written stands, or could not be written."""
        saving, self._saving = self._saving, None
        if saving is None:
            return
        assert self._due is not None
        due, self._due = self._due, None
        try:
            saving.wait()
            self.failed = None
        except OSError as error:
            if self.failed is None:
                warnings.warn(
                    f"ModelCheckpoint cannot write {due.path}: {error}. Training goes on and "
                    "it is tried again.",
                    stacklevel=3,
                )
            self.failed, self._why = due, error

    def retry(self) -> None:
        """Begin again to write what could not be written, unless something newer is."""
        if self.failed:
            self.settle()
        if self.failed:
            self.begin(self.failed)

    def end(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            NotSavedError: the disk had no place for the last file.
        """
        self.settle()
        self.retry()
        self.settle()
        if self.failed:
            raise NotSavedError(
                f"{self.failed.path} could not be written: {self._why}. The model in memory is "
                "whole: save it elsewhere with model.save(...)."
            )
