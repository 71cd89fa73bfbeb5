"""ModelCheckpoint: files of the model while it trains, the best or each.

Owns when a file is due, and what of that outlives the process. Leaves which files stay to
`best_files`, names to `file_names` and `hosted_files`, and writing to `file_queue`.
"""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from holdfast.arguments import count, named, number
from holdfast.callbacks.best_files import BestFiles
from holdfast.callbacks.file_names import FileName
from holdfast.callbacks.file_queue import Due, FileQueue
from holdfast.callbacks.hosted_files import HostedFiles
from holdfast.callbacks.model_files import Image
from holdfast.callbacks.monitor import Monitor
from holdfast.errors import FormatError, PlanError
from holdfast.formats.live import check_modules
from holdfast.store.patterns import Pattern
from holdfast.types import Json


class ModelCheckpoint(HostedFiles):
    """Save the model, or its weights, while it trains. Takes what Keras's takes.

    A file is written aside and renamed, so that the old one stands until the new one is whole
    and on the disk, whatever kills the process. It is written in the background; what is said
    with `verbose=1` is said when the file stands. Where the disk has no room, the training goes
    on, and the newest file that could not be written is tried again. In a run the best score so
    far, and which files stay, outlive the process. When `fit` returns, all files are on the disk.

    A run keeps the best of its files, or the newest where none is judged, by a second name. Where
    the run goes on, or is called again after its end, and another training has written to the same
    path meanwhile, or the program has moved the file away, it is put back. Where `filepath` has the
    time of the program's start in it, or another text that differs, it is put at today's path.

    Args:
        filepath: of the file. `{epoch:02d}`, `{batch}` and the names in the logs, such as
            `{val_loss:.2f}`, are filled in; epochs are counted from 1. It ends in `.keras`, `.h5`,
            `.hdf5` or `.safetensors` for the whole model; for weights in `.weights.h5`, `.h5`,
            `.hdf5`, `.safetensors`, or in `.ckpt` or nothing for a TensorFlow checkpoint.
        monitor: the metric by which models are judged.
        verbose: 1 to print a line for each file.
        save_best_only: write a file only when the metric is better than ever before.
        save_weights_only: write weights and not the whole model.
        mode: `min`, `max`, or `auto`: as the metric says.
        save_freq: `"epoch"`, or a number of batches. With `save_best_only` and a validation
            metric, a number means: judge no more often than that, when validation is done.
        initial_value_threshold: the score to beat for the first file.
        save_top_k: keep the files of so many of the best, and delete those that fall out.
            `filepath` then names the epoch.

    Raises:
        PlanError: an argument that cannot be used. `fit` raises it, before the first step,
            for a monitor or a name in `filepath` that no log will have.
        UnsupportedError: a name that means a SavedModel.
        NotSavedError: `fit` ended, and the disk had no place for the last file.

    Example:
        `holdfast.ModelCheckpoint("best.keras", save_best_only=True)`
    """

    # The files' format, where their ending does not say it.
    _form: str | None = None
    _batch: int
    _batches: int
    _epoch: int
    _unsaved: Json

    @named
    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Literal["auto", "min", "max"] = "auto",
        save_freq: int | Literal["epoch"] = "epoch",
        initial_value_threshold: float | None = None,
        save_top_k: int | None = None,
    ) -> None:
        super().__init__()
        self.filepath = os.fspath(filepath)
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = _frequency(save_freq)
        self.save_top_k = (
            None if save_top_k is None else count("ModelCheckpoint", "save_top_k", save_top_k, 1)
        )
        threshold = (
            None
            if initial_value_threshold is None
            else number("ModelCheckpoint", "initial_value_threshold", initial_value_threshold)
        )
        self._monitor = Monitor(monitor, mode, 0.0, "ModelCheckpoint")
        self._best = BestFiles(self._monitor, threshold, self.save_top_k, best_only=save_best_only)
        self._queue = FileQueue(self._work)
        self._judges = save_best_only or save_top_k is not None
        self._name = FileName(
            self.filepath,
            weights_only=save_weights_only,
            after_batches=self.save_freq != "epoch",
            judged=self._waits_for_validation(),
            form=self._form,
        )
        if save_top_k is not None and not self._name.names:
            raise PlanError(
                f"ModelCheckpoint(save_top_k={save_top_k}) keeps several files, and "
                f"{self.filepath!r} is one name: put {{epoch:02d}} in it"
            )
        self._forget()

    @property
    def best(self) -> float | None:
        """The best score so far, or None."""
        return self._best.best

    @property
    def judges(self) -> bool:
        """Whether models are judged by the monitor, and not each saved."""
        return self._judges

    @property
    def mode(self) -> str:
        """Whether a smaller (`min`) or a larger (`max`) score is better, or `auto`."""
        return self._monitor.mode

    def rename(self, present: Callable[[str], str]) -> None:
        """Take other names of the same metrics; the files' names stay the same.

        Args:
            present: returns the name that the logs will have.
        """
        self.monitor = self._monitor.name = present(self.monitor)
        self._name.rename(present)

    def check(self, names: Collection[str] | None, *, validates: bool) -> None:
        if self._judges:
            self._monitor.check(names, validates)
            self._monitor.resolve(self.model)
        if names is not None:
            rates = {"learning_rate"} if self.save_freq != "epoch" else set()
            self._name.check(set(names) - rates)
        try:
            check_modules.check(self.model, self._name.format)
        except FormatError as error:
            raise PlanError(f"ModelCheckpoint({self.filepath!r}): {error}") from error

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.settle()  # of a training before this one
        self._forget()
        if self._judges and self.host is None:
            self._monitor.resolve(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._batch = -1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count batches; hooks are `steps_per_execution` batches apart."""
        if self.save_freq == "epoch":
            return
        self._batches += batch - self._batch
        self._batch = batch
        if self._batches >= self.save_freq and not self._waits_for_validation():
            self._batches = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._recover()
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)
        elif self._waits_for_validation() and self._batches >= self.save_freq:
            if self._monitor.value(logs) is not None:
                self._batches = 0
                self._save(epoch, None, logs)
        else:
            self._queue.retry()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._recover()
        self._queue.end()

    def settle(self) -> None:
        self._queue.settle()

    def get_state(self) -> dict[str, Any]:
        failed = self._queue.failed
        return {
            "monitor": self.monitor,
            "filepath": self.filepath,
            "first": self._pattern.first,
            "saves": self._saves(),
            "best": self._best.best,
            "top": [list(item) for item in self._best.top],
            "batch": self._batch,
            "batches": self._batches,
            "epoch": self._epoch,
            "unsaved": failed.as_state() if failed else self._unsaved,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        first = state.get("first", state["filepath"])
        moved = self._moved(state, first)
        other = "monitor" if self._judges and state["monitor"] != self.monitor else "filepath"
        if moved is None or other == "monitor":
            warnings.warn(
                f"ModelCheckpoint had {other}={state[other]!r} and now has "
                f"{getattr(self, other)!r}: it starts anew",
                stacklevel=2,
            )
            return
        self._pattern = Pattern(first, self.filepath)
        top, self._unsaved = moved
        self._best.take(state["best"], top)
        self._batch, self._batches = state["batch"], state["batches"]
        self._epoch = state["epoch"]
        lost = self.put_back()
        # Of several names, one that is gone may have fallen out in an attempt that got further.
        gone = [
            path
            for _, path in (top if self._judges else [])
            if path in lost or not (self._name.names or self._files(path))
        ]
        if gone and not self._unsaved and self.host is not None:
            what = "is not what was saved there" if self._files(gone[0]) else "is gone"
            warnings.warn(
                f"ModelCheckpoint: {gone[0]} {what}; the next model judged is saved",
                stacklevel=2,
            )
            self._best.distrust()

    def _saves(self) -> Json:
        """Return what decides, besides the monitor, which files there are."""
        return [
            self.save_best_only,
            self.save_weights_only,
            self.save_freq,
            self.save_top_k,
        ]

    def carry(self) -> Any:
        return self._best.best, self._best.top

    def set_carried(self, carried: Any) -> None:
        # The files stand, whatever was undone since.
        self._best.take(*carried)

    def _recover(self) -> None:
        """Begin to write what an earlier attempt could not, from the run's checkpoint of it."""
        if self._unsaved is None:
            return
        (path, epoch, step, score, said), self._unsaved = self._unsaved, None
        arrays = None if self.host is None else self.host.load_arrays(step)
        if arrays is None:
            warnings.warn(
                f"ModelCheckpoint: {path} could not be written by an earlier attempt, and the "
                f"run has no checkpoint of epoch {epoch + 1} any more; the next model judged is "
                "saved",
                stacklevel=2,
            )
            self._best.distrust()
            return
        if score is not None and self._stands_already(score, path):
            return
        image = Image.from_arrays(self.model, arrays)
        self._queue.begin(Due(path, image, epoch, step, score, said))

    def _forget(self) -> None:
        self._start_files()
        self._best.forget()
        self._queue.forget()
        self._batch = -1
        self._batches = self._epoch = 0
        self._unsaved = None

    def _waits_for_validation(self) -> bool:
        return self._judges and self.monitor.startswith("val_")

    def _save(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> None:
        """Judge the model and begin to write its file, if it is to have one."""
        if not self._judges:
            path = self._name.fill(epoch, batch, logs)
            self._queue.begin(self._due_now(path, epoch, None, f"saved to {path}"))
            return
        value = self._monitor.value(logs)
        if value is None:
            return
        path = self._name.fill(epoch, batch, logs)
        verdict = self._best.judge(value)
        was = "none" if verdict.was is None else f"{verdict.was:.5f}"
        if verdict.improved:
            said = f"{self.monitor} improved from {was} to {value:.5f}, saved to {path}"
        else:
            said = f"{self.monitor} is {value:.5f}, saved to {path} as one of the best"
        if verdict.stays:
            fallen = self._best.enlist(value, path)
            if self._stands_already(value, path):
                self._remove(fallen)
            else:
                self._queue.begin(self._due_now(path, epoch, value, said, fallen))
            return
        if self.verbose:
            self.settle()  # what is said of the file before is said first
            self._say(f"Epoch {epoch + 1}: {self.monitor} did not improve from {was}")
        self._queue.retry()

    def _due_now(
        self, path: str, epoch: int, score: float | None, said: str, fallen: Sequence[str] = ()
    ) -> Due:
        step = 0 if self.host is None else self.host.position.total
        said = f"Epoch {epoch + 1}: {said}"
        return Due(path, Image.of(self.model), epoch, step, score, said, fallen)

    def _stands_already(self, value: float, path: str) -> bool:
        """Return whether an earlier attempt, which got further, has left as good a model there.

        The training is on its way there again: what was reported must not get worse meanwhile.
        """
        standing = self._score_standing(path, self.monitor)
        if standing is None:
            return False
        return value == standing or self._monitor.better(standing, value)

    def _work(self, due: Due) -> Callable[[], None]:
        """Return what the background does for a file."""
        stay = {due.path, *(path for _, path in self._best.top)}

        def work() -> None:
            place = self._place(due.path)
            due.image.write(place, weights_only=self.save_weights_only, form=self._form)
            # The new one stands: now it is kept and told of, and those go whose place it takes.
            if self.host is not None:
                scores = {} if due.score is None else {self.monitor: due.score}
                # In the order in which they were written.
                found = self._files(due.path)[::-1]
                self.host.keep(self._pattern, due.path, found, stay, scores)
                if due.score is not None:
                    self.host.tell_saved(due.path, due.epoch, self.monitor, due.score)
            self._remove(due.fallen)
            self._say(due.said)

        return work

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)


def _frequency(value: Any) -> Any:
    if value == "epoch":
        return value
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise PlanError(
            f"ModelCheckpoint(save_freq=…) must be 'epoch' or a number of batches, found {value!r}"
        )
    return number
