"""Run: one training from its first step to its last, over any number of processes.

Owns what people ask of a run. Leaves training to `training/attempt` and files to `store`.
Imports Keras only in the methods that need a model.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from holdfast.arguments import named
from holdfast.errors import (
    DamagedError,
    MissingExtraError,
    NoCheckpointError,
    NotARunError,
    PlanError,
    RunError,
    did_you_mean,
)
from holdfast.events import AttemptStarted, Failed, Finished, Stopped
from holdfast.history.curves import Curves
from holdfast.store import description, journal, lock, retention
from holdfast.store.checkpoints import load_manifest, load_newest, settle
from holdfast.store.description import Description
from holdfast.store.identity import Identity, load_identity, run_id
from holdfast.store.layout import Layout, is_run
from holdfast.store.lock import Lock
from holdfast.store.manifest import Manifest
from holdfast.store.prune import Pruned, candidate, prune
from holdfast.store.retention import Keep
from holdfast.types import Position

if TYPE_CHECKING:
    from holdfast.callbacks.history import History
    from holdfast.store.repair import Repair
    from holdfast.store.verify import Verified
    from holdfast.training.cadence import Every
    from holdfast.training.signals import Interruption

Status = Literal["new", "running", "interrupted", "finished", "failed"]

# Beside a writer that prunes: how often a reader lists the checkpoints before it takes what it has.
_LISTINGS = 100


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run.

    Args:
        path: of its manifest.
        position: where the run stood.
        epoch_end: whether an epoch had just ended.
        final: whether it is what the training returned.
        time: when it was committed, in seconds since 1970.
        metrics: the logs of that moment.
        digest: the BLAKE3 of all that decides the next step.
        size: of its arrays, in bytes.
        journal: how long the run's journal was when it was taken, in bytes.
    """

    path: Path
    position: Position
    epoch_end: bool
    final: bool
    time: float
    metrics: dict[str, float]
    digest: str
    size: int
    journal: int


@dataclass(frozen=True)
class Standing:
    """Where a run stands: its `status` and `position`, and what happened to it."""

    status: Status
    position: Position
    record: journal.Record


class Run:
    """A training that cannot be lost. It is a directory; nothing is made there before `fit`, or
    `describe`.

    Args:
        path: of the directory.

    Example:
        ```python
        run = holdfast.Run("runs/digits")
        history = run.fit(model, x, y, epochs=20, validation_data=(xv, yv))
        ```
        Kill it at any moment and start the program again: it goes on.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not os.fspath(path):
            raise RunError("the path of a run is empty; is a variable not set?")
        # Absolute, since a callback may change the working directory.
        self.path = Path(path).absolute()
        self._layout = Layout(self.path)
        if "jax" in sys.modules:
            # The model is usually built after this, and building it compiles too.
            from holdfast.engines.cache import activate

            activate()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @named
    def fit(
        self,
        model: Any,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        *,
        every: Every | None = None,
        keep: Keep | None = None,
        fresh: bool = False,
        take_over: bool = False,
    ) -> History:
        """Train a model as `keras.Model.fit` does, durably; go on where the run stands.

        Called again after a kill, with the same arguments, it goes on from the last step
        saved and ends with the same bits as a training that was never interrupted. Called
        with more epochs, it goes on to those. Called on a finished run, it gives the model
        its final weights and returns.

        Args:
            model: a compiled `keras.Model`.
            x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data,
                shuffle, class_weight, sample_weight, initial_epoch, steps_per_epoch,
                validation_steps, validation_batch_size, validation_freq: as `keras.Model.fit`
                takes them, of the same meaning and defaults. Data are arrays (numpy,
                memory-mapped or JAX), or lists, tuples or dicts of arrays.
            every: when to take a checkpoint; see `Every`.
            keep: which checkpoints stay; see `Keep`.
            fresh: start over; a run that is there is moved aside, not deleted.
            take_over: go on although a process on another host did not let go of the run, which
                is surely dead. A process that the kernel says is at it is never passed over.

        Returns:
            A `keras.callbacks.History` over all attempts, with `.plot()`.

        Raises:
            PlanError: an argument that cannot be used; before the first step.
            UnsupportedError: a kind of data or backend that this version does not take.
            PlanChangedError: the run was begun with another plan; each difference is named.
            RunLockedError: another process is writing the run; or one on another host was, did
                not let go, and may live, as far as can be seen from here (see `take_over`).
            RunError: the directory cannot be made or written to.
            NoRoomError: the disk cannot hold the checkpoints that are to be kept.
            NotSavedError: training ended and its last state could not be written.
            Interrupted: SIGTERM or SIGINT came; the state is saved.
        """
        from holdfast.training.signals import Interruption

        return self._fit(
            model,
            Interruption(),
            every=every,
            keep=keep,
            fresh=fresh,
            take_over=take_over,
            x=x,
            y=y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    def _fit(
        self,
        model: Any,
        interruption: Interruption,
        *,
        every: Every | None,
        keep: Keep | None,
        fresh: bool,
        take_over: bool,
        **arguments: Any,
    ) -> History:
        from holdfast.config import choose_backend

        choose_backend()
        from holdfast.engines.choose import check_backend
        from holdfast.training.attempt import kept_seed, train
        from holdfast.training.cadence import Every as Rules
        from holdfast.training.plan import make_plan, refuse_own_fit

        check_backend()
        rules, kept = every or Rules(), keep or Keep()
        for name, value, kind in (("every", rules, Rules), ("keep", kept, Keep)):
            if not isinstance(value, kind):
                raise PlanError(f"{name} must be a holdfast.{kind.__name__}, found {value!r}")
        refuse_own_fit(model)
        seed = None if fresh else kept_seed(self._layout)
        plan = make_plan(model, seed=seed, **arguments)
        return train(
            self._layout,
            model,
            plan,
            every=rules,
            keep=kept,
            fresh=fresh,
            take_over=take_over,
            interruption=interruption,
        )

    def describe(
        self, classes: Sequence[str] | None = None, inputs: Mapping[str, str] | None = None
    ) -> None:
        """Tell what the model's outputs and inputs mean, for those who will judge with it.

        It is kept in the run, shown by what judges with it, and goes along into what is exported.
        Call it at any time, before `fit` too. What is not given stays as it was told before.

        Args:
            classes: the names of the classes, in the order of the model's output.
            inputs: what each input means, in words, by its name.

        Raises:
            RunError: a name is no text, or is there twice; or the directory cannot be written to.

        Example:
            `run.describe(classes=["cat", "dog"], inputs={"image": "a photo, 0 to 255"})`
        """
        try:
            told = description.load(self._layout)
        except DamagedError:
            told = Description()
        new = replace(
            told,
            classes=told.classes if classes is None else description.class_names(classes),
            inputs=told.inputs if inputs is None else description.meanings(inputs),
        )
        if new == told and self._layout.description.exists():
            return
        try:
            description.write(self._layout, new)
        except OSError as error:
            raise RunError(
                f"cannot write {self._layout.description}: {error.strerror or error}"
            ) from error

    def description(self) -> Description:
        """Return what was told by `describe`; empty where nobody told anything.

        Raises:
            DamagedError: it is not what was written; `describe` writes it anew.
            NewerFormatError: a newer Holdfast wrote it.
        """
        return description.load(self._layout)

    @property
    def status(self) -> Status:
        """What the run is: new, running, interrupted, finished or failed."""
        if not is_run(self.path):
            return "new"
        if lock.holder(self._layout.lock) is not None:
            return "running"
        return _end(self.journal())

    @property
    def position(self) -> Position:
        """Where the newest checkpoint stands; the very beginning where there is none."""
        newest = self._newest(run_id(self._layout), 1)
        return newest[0][1].position if newest else Position()

    def standing(self) -> Standing:
        """Return where the run stands, with each of its files read once.

        Raises:
            NotARunError: there is no run at the path.
            DamagedError: run.json is not what was written.
            NewerFormatError: a newer Holdfast made the run, or wrote its newest checkpoint.
        """
        run = load_identity(self._layout).id
        running = lock.holder(self._layout.lock) is not None
        newest = self._newest(run, 1)
        # After the checkpoint, so that what led to it is in there.
        record = self.journal()
        position = newest[0][1].position if newest else Position()
        return Standing("running" if running else _end(record), position, record)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints whose manifests are readable, oldest first."""
        newest = self._newest(run_id(self._layout))
        return [_checkpoint(path, manifest) for path, manifest in reversed(newest)]

    def _newest(self, run: str | None, most: int | None = None) -> list[tuple[Path, Manifest]]:
        """Return so many manifests that are readable, or all, newest first."""
        found: list[tuple[Path, Manifest]] = []
        for _ in range(_LISTINGS):
            found, newest_gone = [], False
            for path in reversed(self._layout.manifests()):
                if len(found) == most:
                    break
                try:
                    found.append((path, load_manifest(path, run)))
                except DamagedError:
                    continue
                except FileNotFoundError:  # pruned since it was listed
                    newest_gone = newest_gone or not found
            if not newest_gone:
                break  # else there is a newer one by now
        return found

    @property
    def history(self) -> Curves:
        """The curves of the run, over all attempts."""
        return Curves.from_events(self.journal().lived(*Curves.kinds))

    def identity(self) -> Identity:
        """Return who the run is: its plan, when it began, with which versions.

        Raises:
            NotARunError: there is no run at the path.
        """
        return load_identity(self._layout)

    def journal(self) -> journal.Record:
        """Return what happened to the run. A path that holds no run has an empty record.

        Of lines that are damaged it knows those whose sums do not hold; `verify` finds all.
        """
        return journal.skim(self._layout.journal)

    def last(self) -> Checkpoint:
        """Return the newest checkpoint.

        Raises:
            NoCheckpointError: there is none.
        """
        self._require()
        newest = self._newest(run_id(self._layout), 1)
        if not newest:
            raise NoCheckpointError(f"{self.path} has no checkpoint yet")
        return _checkpoint(*newest[0])

    @named
    def best(self, monitor: str | None = None, mode: str = "auto") -> Checkpoint:
        """Return the best of the checkpoints that were taken at an epoch's end.

        By what the run was trained with, that is the best epoch of all. By another metric it
        is the best of those that were kept.

        Args:
            monitor: by which metric; None for what the run was trained with: that of `Keep`, of
                the first callback that judges epochs, or the loss of validation.
            mode: `min`, `max` or `auto`.

        Raises:
            NoCheckpointError: none has the metric.
        """
        self._require()
        if monitor is None:
            monitor, mode = self._monitor()
        training = {
            item.path.name: item for item in self.checkpoints if not item.final and item.epoch_end
        }
        judged = retention.best(
            [
                retention.Candidate(name, item.position, item.epoch_end, False, item.metrics)
                for name, item in training.items()
            ],
            monitor,
            mode,
        )
        if not judged:
            names = sorted({name for item in training.values() for name in item.metrics})
            hint = did_you_mean(monitor, names) if monitor else ""
            raise NoCheckpointError(
                f"{self.path} has no checkpoint of an epoch's end with {monitor or 'a loss'}"
                f"{hint}; "
                f"metrics there are: {', '.join(names) or 'none'}"
            )
        return training[judged[0].name]

    def load_model(
        self,
        which: str | int = "last",
        *,
        custom_objects: dict[str, Any] | None = None,
        compile: bool = True,  # noqa: A002
    ) -> Any:
        """Return a `keras.Model` with a checkpoint's weights, compiled as it was trained.

        Args:
            which: `last`; `best` (see `best`); or the step of a checkpoint.
            custom_objects: classes and functions of your own that the model is made of, by
                name, as `keras.saving.load_model` takes them.
            compile: compile it, with the optimizer's state of that moment.

        Raises:
            NoCheckpointError: there is no such checkpoint.
            DamagedError: its bytes are not what was written.
            CustomObjectError: it has a class or function that `custom_objects` must give.
            MissingExtraError: Keras has no backend installed.
            StoreError: the model was not made of parts that Keras can build again.
        """
        from holdfast.config import choose_backend

        choose_backend()
        try:
            from holdfast.loading import build_model
        except ModuleNotFoundError as error:  # Keras without a backend does not import
            raise MissingExtraError(str(error.name), "jax", "Loading a model") from error

        checkpoint = self._choose(which).path
        return build_model(self._layout, checkpoint, custom_objects, compile=compile)

    def load_weights(self, model: Any, which: str | int = "last") -> None:
        """Give a model that you have built a checkpoint's weights.

        Args:
            model: a built `keras.Model` of the same architecture.
            which: as `load_model` takes it.

        Raises:
            DamagedError: a weight is missing or of another shape than the model's.
        """
        from holdfast.loading import load_weights

        load_weights(self._layout, self._choose(which).path, model)

    def digest(self) -> str:
        """Return the BLAKE3 over weights, optimizer, metrics, random state, callbacks, history.

        Two runs that stand at the same point with the same bits have the same digest.

        Raises:
            NoCheckpointError: there is no checkpoint, or none is sound.
        """
        self._require()
        manifest, _, _ = load_newest(self._layout, final=True)
        return manifest.digest()

    def verify(self) -> Verified:
        """Read everything the run has and check every sum; findings are returned, not raised."""
        from holdfast.store.verify import verify

        self._require()
        return verify(self._layout)

    def repair(self, *, take_over: bool = False) -> Repair:
        """Move what is broken, and what no sound checkpoint needs, to `lost+found/` of the run.

        Nothing is deleted. After it `verify` finds nothing but what could not be mended, which is
        returned, and `fit` goes on from the newest sound checkpoint. A run whose run.json is
        damaged, or of whose checkpoints none is sound, is left as it is.

        Args:
            take_over: as `fit` takes it.

        Raises:
            RunLockedError: a process is writing the run; or one on another host did not let go
                (see `take_over`).
            NewerFormatError: a newer Holdfast made the run, or wrote one of its checkpoints.
        """
        from holdfast.store.repair import repair

        self._require()
        with self._writing(take_over=take_over):
            return repair(self._layout)

    def prune(
        self, keep: Keep | None = None, *, dry_run: bool = False, take_over: bool = False
    ) -> Pruned:
        """Delete the checkpoints that `keep` lets go, and what no checkpoint needs.

        Args:
            keep: which checkpoints stay; see `Keep`.
            dry_run: say what would go, and delete nothing.
            take_over: as `fit` takes it.

        Raises:
            RunLockedError: a process is writing the run, which prunes by itself; or one on
                another host did not let go (see `take_over`).
            DamagedError: run.json is not what was written.
            NewerFormatError: a newer Holdfast made the run, or wrote its newest checkpoint.
        """
        self._require()
        load_identity(self._layout)
        keep = keep or Keep()
        if keep.monitor is None:
            monitor, mode = self._monitor()
            keep = replace(keep, monitor=monitor, mode=mode if keep.mode == "auto" else keep.mode)
        if dry_run:
            return prune(self._layout, keep, dry_run=True)
        with self._writing(take_over=take_over):
            return prune(self._layout, keep)

    @contextlib.contextmanager
    def _writing(self, *, take_over: bool) -> Iterator[None]:
        """Hold the run's lock; whose was taken over is said on the standard error."""
        held = Lock(self._layout.lock, take_over=take_over)
        try:
            if held.took_over is not None:
                print(f"holdfast: took over the lock of {held.took_over}", file=sys.stderr)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # a repair says so
                settle(self._layout)
            yield
        finally:
            held.release()

    def _monitor(self) -> tuple[str | None, str]:
        """Return by which metric, and which way, the run's best epoch was last judged."""
        starts = self.journal().attempts()
        last = starts[-1] if starts else None
        return (last.monitor, last.mode) if last and last.monitor else (None, "auto")

    def _require(self) -> None:
        if not is_run(self.path):
            raise NotARunError(f"{self.path} is no run: it has no {self._layout.identity.name}")

    def _choose(self, which: str | int) -> Checkpoint:
        if which == "last":
            return self.last()
        if which == "best":
            return self.best()
        self._require()
        found = [item for item in self.checkpoints if item.position.total == which]
        if not found:
            steps = ", ".join(str(item.position.total) for item in self.checkpoints)
            hint = did_you_mean(which, ("last", "best")) if isinstance(which, str) else ""
            raise NoCheckpointError(
                f"{self.path} has no checkpoint {which!r}{hint}; "
                f"there are 'last', 'best' and the steps {steps or '(none)'}"
            )
        return found[-1]


def _end(record: journal.Record) -> Status:
    """Return how what happened to a run ended, if nobody is at it."""
    last = next(record.newest(AttemptStarted, Stopped, Failed, Finished), None)
    if isinstance(last, Finished):
        return "finished"
    return "failed" if isinstance(last, Failed) else "interrupted"


def _checkpoint(path: Path, manifest: Manifest) -> Checkpoint:
    known = candidate(path, manifest)
    return Checkpoint(
        path=path,
        position=known.position,
        epoch_end=known.epoch_end,
        final=known.final,
        time=manifest.time,
        metrics=dict(known.metrics),
        digest=manifest.digest(),
        size=sum(entry.size for entry in manifest.arrays),
        journal=manifest.journal,
    )
