"""An attempt: one process's part of a run, from opening it to leaving it.

Owns how a run is opened for writing: its lock, what is compared, where it goes on. Leaves the
training itself to `loop`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakSet

import keras
import numpy as np

from holdfast.callbacks.history import History
from holdfast.callbacks.hosted import hosted
from holdfast.engines.base import Engine
from holdfast.engines.choose import choose
from holdfast.errors import NoCheckpointError, PlanChangedError, RunError
from holdfast.events import AttemptStarted, ModelSaved
from holdfast.state import callbacks as callback_state
from holdfast.state import rng, variables
from holdfast.state.snapshot import Course, load_course, restore
from holdfast.state.values import from_array
from holdfast.store import files, journal
from holdfast.store.checkpoints import Store, load_newest
from holdfast.store.identity import Identity, load_identity, write_identity
from holdfast.store.journal import Journal, Record
from holdfast.store.layout import Layout, is_run
from holdfast.store.lock import Lock
from holdfast.store.manifest import Manifest
from holdfast.store.prune import Pruner
from holdfast.store.retention import Keep, Leaders
from holdfast.training.cadence import Cadence, Every
from holdfast.training.describe import differences
from holdfast.training.ending import closing_lines
from holdfast.training.judging import judged, log_names
from holdfast.training.keeper import Keeper
from holdfast.training.loop import Loop
from holdfast.training.plan import Plan
from holdfast.training.progress import Reporter
from holdfast.training.signals import Interruption
from holdfast.types import Array, Json, Position

Found = tuple[Manifest, Sequence[Array]]

# Optimizers that attempts in this process have worked with.
_trained: WeakSet[Any] = WeakSet()


def train(
    layout: Layout,
    model: Any,
    plan: Plan,
    *,
    every: Every,
    keep: Keep,
    fresh: bool,
    interruption: Interruption,
) -> History:
    """Train, or go on training, the run at `layout`; returns its history.

    Raises:
        RunLockedError: another process is at it.
        PlanChangedError: it was begun with another plan.
        NoCheckpointError: it has checkpoints and none is sound.
        Interrupted: a signal came; the state is saved.
    """
    reporter = Reporter(plan.verbose, plan.epochs)
    with _writing(layout, fresh, reporter):
        record = journal.read(layout.journal)
        found = _find(layout, plan, model, reporter)
        if found is not None and found[0].final:
            if found[0].state["stopped"] or found[0].position.epoch >= plan.epochs:
                return _return_finished(layout, model, record, found, reporter)
            manifest, arrays, _ = load_newest(layout, final=False)
            found = manifest, arrays
        if found is None:
            _begin(layout, model, plan)
        return _attempt(layout, model, plan, record, found, every, keep, interruption, reporter)


def _attempt(
    layout: Layout,
    model: Any,
    plan: Plan,
    record: Record,
    found: Found | None,
    every: Every,
    keep: Keep,
    interruption: Interruption,
    reporter: Reporter,
) -> History:
    history = History()
    position = found[0].position if found else Position()
    if found is None:
        position = Position(epoch=plan.initial_epoch)
    host = _Host(record)
    for callback in hosted(plan.callbacks):
        callback.join(host)
        callback.prepare(resumed=found is not None)
    callbacks = keras.callbacks.CallbackList(
        [*plan.callbacks, history],
        model=model,
        verbose=plan.verbose,
        epochs=plan.epochs,
        steps=plan.train.schedule.steps_per_epoch or plan.train.schedule.batches,
    )
    model.stop_training = False
    callbacks.on_train_begin()
    _warn_of_what_cannot_be_kept(plan.callbacks)
    seed = found[0].state["seed"] if found else rng.draw_seed()
    engine = choose(model, plan.train, plan.validation, plan.callbacks, seed)
    names = log_names(plan.callbacks, engine.names)
    for callback in hosted(plan.callbacks):
        callback.check(names, validates=plan.validation is not None)
    keep = judged(keep, plan)
    course = Course(seed=seed, rows=history.rows)
    said: list[str] = []
    if found:
        course, said = restore(found[0].state, found[1], model, plan.callbacks)
        history.restore(course.rows)
        course.rows = history.rows
        model.stop_training = course.stopped
    leaders = Leaders(keep)
    for row in course.rows:
        leaders.add(*row)
    started = _started(record, found, position, plan, keep, engine)
    with contextlib.ExitStack() as stack:
        stack.callback(_leave, plan.callbacks)
        stack.callback(engine.close)
        log = Journal(layout.journal, record)
        stack.callback(log.close)
        log.append(started)
        history.tell([*record.lived(), started])
        store = Store(layout, log, plan.fingerprint, _versions())
        if found:
            store.remember(found[0])
        keeper = Keeper(
            model,
            plan.callbacks,
            leaders,
            engine,
            store,
            Pruner(layout, keep),
            log,
            Cadence(every),
            reporter,
            position if found else None,
        )
        stack.callback(keeper.close)
        _say_where(layout, plan, found, started, said, reporter)
        loop = Loop(
            model,
            plan,
            engine,
            callbacks,
            history,
            keeper,
            reporter,
            interruption,
            course,
            position,
        )
        host.loop, host.keeper = loop, keeper
        _trained.add(model.optimizer)
        with interruption:
            if found is None:
                loop.save_beginning()
            loop.run()
        history.tell(journal.read(layout.journal).lived())
    for line in closing_lines(history, loop.why, layout.root):
        reporter.say(line)
    return history


class _Host:
    """What Holdfast's callbacks may ask of the run.

    Args:
        record: what happened before this attempt.
    """

    def __init__(self, record: Record) -> None:
        saved = [event for event in record.events if isinstance(event, ModelSaved)]
        self._scores = {event.path: event.score for event in saved}
        self.loop: Loop | None = None
        self.keeper: Keeper | None = None

    @property
    def position(self) -> Position:
        assert self.loop is not None
        return self.loop.position

    def load_weights(self, step: int) -> None:
        assert self.loop is not None
        self.loop.load_weights(step)

    def score_of(self, path: Path) -> float | None:
        return self._scores.get(str(path))

    def tell_saved(self, path: Path, epoch: int, score: float) -> None:
        assert self.keeper is not None
        self.keeper.record_model(path, epoch, score)


@contextlib.contextmanager
def _writing(layout: Layout, fresh: bool, reporter: Reporter) -> Iterator[None]:
    """Hold the run's lock; with `fresh`, a run that is there is moved aside first."""
    _check_place(layout)
    files.make_directory(layout.root)
    lock = Lock(layout.lock)
    try:
        if fresh and is_run(layout.root):
            aside = layout.aside()
            files.move_directory(layout.root, aside)
            reporter.say(f"the run that was in {layout.root} is now in {aside}")
            lock.release()
            files.make_directory(layout.root)
            lock = Lock(layout.lock)
        yield
    finally:
        lock.release()


def _check_place(layout: Layout) -> None:
    root = layout.root
    if root.exists() and not root.is_dir():
        raise RunError(f"{root} is a file; expected a directory for the run, or none yet")
    if root.is_dir() and not is_run(root):
        own = {layout.lock, layout.journal, layout.packs, layout.checkpoints}
        other = next((p for p in root.iterdir() if p not in own and p.suffix != ".tmp"), None)
        if other is not None:
            raise RunError(
                f"{root} is no run and not empty (it has {other.name}); "
                "choose a directory of the run's own, such as one within it"
            )


def _find(layout: Layout, plan: Plan, model: Any, reporter: Reporter) -> Found | None:
    """Return the newest sound checkpoint, or None for a run that has none yet."""
    if not is_run(layout.root):
        return None
    identity = load_identity(layout)
    if not layout.manifests():
        return None  # nothing was trained: whatever is asked for now is the plan
    try:
        manifest, arrays, damaged = load_newest(layout, final=True)
    except NoCheckpointError as error:
        raise NoCheckpointError(
            f"{error}\nTo train anew, use fresh=True: this run is moved aside and kept."
        ) from None
    _compare(layout, identity.plan, plan, (manifest, arrays), model)
    for finding in damaged:
        reporter.insist(f"a newer checkpoint is damaged and was passed over: {finding}")
    return manifest, arrays


def _compare(
    layout: Layout, then: Mapping[str, Json], plan: Plan, found: Found, model: Any
) -> None:
    """Refuse another plan than the run was begun with.

    A learning rate is no difference where training itself has changed it: in the model of an
    attempt in this process, or where it is the checkpoint's.
    """
    rate = repr(_learning_rate(found))
    trained = model.optimizer in _trained
    different = [
        (name, was, now)
        for name, was, now in differences(then, plan.description)
        if not (name.endswith("learning_rate") and (trained or now == rate))
    ]
    if different:
        raise PlanChangedError(layout.root, different)


def _learning_rate(found: Found) -> float | None:
    manifest, arrays = found
    for entry, array in zip(manifest.arrays, arrays, strict=True):
        if entry.name.startswith("optimizer/") and entry.label.endswith("learning_rate"):
            return float(from_array(array))
    return None


def _begin(layout: Layout, model: Any, plan: Plan) -> None:
    """Make the directory a run. One that was begun and has no checkpoint yet begins anew."""
    for folder in (layout.packs, layout.checkpoints):
        files.make_directory(folder)
    write_identity(
        layout,
        Identity(
            id=secrets.token_hex(8),
            created=time.time(),
            versions=_versions(),
            plan=plan.description,
            model=_configuration(model),
        ),
    )


def _configuration(model: Any) -> Json:
    """Return the model as Keras serializes it, or None where it cannot be serialized."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            config = keras.saving.serialize_keras_object(model)
        except Exception:  # a user's own get_config may raise anything
            return None
    return config if _is_json(config) else None


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(part) for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _return_finished(
    layout: Layout, model: Any, record: Record, found: Found, reporter: Reporter
) -> History:
    manifest, arrays = found
    named = {array.name: array for array in arrays}
    variables.load(model, named)
    history = History()
    history.set_model(model)
    history.restore(load_course(manifest.state, named).rows)
    history.tell(record.lived())
    model.history = history
    why = "stopped by a callback" if manifest.state["stopped"] else "all epochs done"
    reporter.say(
        f"{layout.root} is finished ({why}, {manifest.position.total} steps); "
        "the model has its final weights"
    )
    return history


def _started(
    record: Record,
    found: Found | None,
    position: Position,
    plan: Plan,
    keep: Keep,
    engine: Engine,
) -> AttemptStarted:
    earlier = [event for event in record.events if isinstance(event, AttemptStarted)]
    return AttemptStarted(
        time=time.time(),
        attempt=len(earlier) + 1,
        position=position,
        journal=found[0].journal if found else 0,
        epochs=plan.epochs,
        engine=engine.name,
        reason=engine.reason,
        host=socket.gethostname(),
        pid=os.getpid(),
        versions=_versions(),
        monitor=keep.monitor or "",
        mode=keep.mode,
    )


def _leave(callbacks: Sequence[Any]) -> None:
    """Let the callbacks finish what they do in the background; the run is no longer there."""
    for callback in hosted(callbacks):
        with contextlib.suppress(Exception):
            callback.settle()
        callback.host = None


def _say_where(
    layout: Layout,
    plan: Plan,
    found: Found | None,
    started: AttemptStarted,
    said: Sequence[str],
    reporter: Reporter,
) -> None:
    where = "a new run"
    if found:
        position = found[0].position
        where = f"goes on from step {position.total}, epoch {position.epoch + 1}"
        if position.step:
            steps = plan.train.schedule.steps(position.epoch)
            where += f", step {position.step} of {steps}"
        where += f" (attempt {started.attempt})"
    reporter.say(f"{layout.root}: {where}")
    reporter.say(f"{started.engine} engine: {started.reason}")
    for sentence in said:
        reporter.say(sentence)


def _warn_of_what_cannot_be_kept(callbacks: Sequence[Any]) -> None:
    found = callback_state.cannot_keep(callbacks)
    if found:
        warnings.warn(
            "of the callbacks' state this cannot be kept, and after a restart is as the callback "
            f"makes it anew: {'; '.join(found)}. Give the callback get_state() and "
            "set_state(state) to keep it.",
            stacklevel=5,
        )


def _versions() -> dict[str, str]:
    backend = keras.config.backend()
    return {
        "holdfast": version("holdfast"),
        "keras": keras.__version__,
        backend: version(backend),
        "numpy": np.__version__,
    }
