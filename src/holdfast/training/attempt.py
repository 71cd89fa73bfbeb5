"""An attempt: one process's part of a run, from opening it to leaving it.

Owns how the parts of an attempt are put together and taken apart, and what a finished run
returns. Leaves what is on disk before it to `opening`, and the training itself to `loop`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import warnings
from collections.abc import Sequence
from typing import Any

from holdfast.callbacks.history import History
from holdfast.callbacks.hosted import hosted
from holdfast.data.source import SampleSource
from holdfast.engines.base import Engine
from holdfast.engines.choose import choose
from holdfast.errors import HoldfastError
from holdfast.events import AttemptStarted
from holdfast.state import buffers
from holdfast.state import callbacks as callback_state
from holdfast.state.snapshot import Course, restore
from holdfast.store import journal
from holdfast.store.checkpoints import Store, load_manifest
from holdfast.store.identity import load_identity
from holdfast.store.journal import Journal, Record
from holdfast.store.layout import Layout
from holdfast.store.prune import Pruner
from holdfast.store.retention import Keep, Leaders
from holdfast.training.cadence import Cadence, Every
from holdfast.training.ending import closing_lines
from holdfast.training.finished import give_finished, is_finished, join, tell
from holdfast.training.host import RunHost
from holdfast.training.judging import judged, log_names
from holdfast.training.keeper import Keeper
from holdfast.training.loop import Loop
from holdfast.training.opening import (
    Found,
    begin,
    begun_elsewhere,
    find,
    load,
    note_trained,
    read_journal,
    refusing,
    versions,
    writing,
)
from holdfast.training.plan import Plan
from holdfast.training.progress import Reporter
from holdfast.training.room import check_room
from holdfast.training.signals import Interruption
from holdfast.types import Position


def kept_seed(layout: Layout) -> int | None:
    """Return the seed of a run that has a checkpoint: data is drawn by it before it is opened."""
    for path in reversed(layout.manifests()):
        with contextlib.suppress(HoldfastError, OSError):
            seed = load_manifest(path, None).state.get("seed")
            return seed if isinstance(seed, int) else None
    return None


def train(
    layout: Layout,
    model: Any,
    plan: Plan,
    *,
    every: Every,
    keep: Keep,
    fresh: bool,
    take_over: bool,
    interruption: Interruption,
) -> History:
    """Train, or go on training, the run at `layout`; returns its history.

    Raises:
        RunLockedError: another process is at it.
        PlanChangedError: it was begun with another plan.
        NoCheckpointError: it has checkpoints and none is sound.
        NoRoomError: the disk cannot hold what is to be kept.
        Interrupted: a signal came; the state is saved.
    """
    reporter = Reporter(plan.verbose, plan.epochs)
    with writing(layout, fresh, take_over, reporter):
        record = read_journal(layout)
        found = find(layout, plan, model, record, reporter)
        if found is not None and found[0].final:
            if is_finished(found, plan.epochs):
                return give_finished(layout, model, plan, record, found, keep, reporter)
            found = None  # memory holds one of them
            found = load(layout, reporter, final=False)
        if found is None:
            begin(layout, model, plan)
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
    host = RunHost(layout, reporter)
    with contextlib.ExitStack() as stack:
        for callback in hosted(plan.callbacks):
            stack.callback(callback.part)
            callback.join(host)
            callback.prepare(resumed=found is not None)
        callbacks = join(plan, model, history)
        model.stop_training = False
        callbacks.on_train_begin()
        _warn_of_what_cannot_be_kept(plan.callbacks, model)
        course = Course(found[0].state["seed"] if found else plan.seed, rows=history.rows)
        engine = choose(
            model,
            plan.train,
            plan.validation,
            plan.callbacks,
            course.seed,
            resumed=found is not None,
            stopped=lambda: interruption.signal is not None,
        )
        stack.callback(engine.close)
        names = log_names(plan.callbacks, engine.names)
        for callback in hosted(plan.callbacks):
            callback.check(names, validates=plan.validation is not None)
        keep = judged(keep, model, plan, names)
        check_room(layout, model, engine.values(), keep, every, plan, position)
        said: list[str] = []
        if found:
            course, said = _go_on(found, model, plan, history, engine)
        leaders = _leaders(keep, course)
        started = _started(layout, record, found, position, plan, keep, engine)
        with refusing(layout):
            log = Journal(layout.journal, record, started.journal)
            stack.callback(log.close)
            log.append(started)
        history.tell(lambda *kinds: journal.skim(layout.journal).lived(*kinds), later=True)
        store = Store(layout, log, started.run, plan.fingerprint, versions())
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
        note_trained(model)
        with interruption:
            if found is None:
                loop.save_beginning()
            loop.run()
        tell(history, layout)
    for line in closing_lines(history, loop.why, layout.root):
        reporter.say(line)
    return history


def _go_on(
    found: Found, model: Any, plan: Plan, history: History, engine: Engine
) -> tuple[Course, list[str]]:
    """Take everything up where a checkpoint left it; returns also what is to be said of it."""
    course, said = restore(found[0].state, found[1], model, plan.callbacks)
    history.restore(course.rows)
    course.rows = history.rows
    model.stop_training = course.stopped
    engine.go_on(course.place)
    # All of the state, and in the model by now.
    found[1].clear()
    return course, [*begun_elsewhere(found[0]), *said]


def _leaders(keep: Keep, course: Course) -> Leaders:
    leaders = Leaders(keep)
    for row in course.rows:
        leaders.add(*row)
    return leaders


def _started(
    layout: Layout,
    record: Record,
    found: Found | None,
    position: Position,
    plan: Plan,
    keep: Keep,
    engine: Engine,
) -> AttemptStarted:
    return AttemptStarted(
        time=time.time(),
        attempt=len(record.attempts()) + 1,
        position=position,
        journal=found[0].journal if found else 0,
        epochs=plan.epochs,
        engine=engine.name,
        reason=engine.reason,
        host=socket.gethostname(),
        pid=os.getpid(),
        versions=versions(),
        monitor=keep.monitor or "",
        mode=keep.mode,
        run=load_identity(layout).id,
    )


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
            where += f", step {position.step}{f' of {steps}' if steps else ''}"
        where += f" (attempt {started.attempt})"
    reporter.say(f"{layout.root}: {where}")
    reporter.say(f"{started.engine} engine: {started.reason}")
    for sentence in [*said, *_of_the_data(plan)]:
        reporter.say(sentence)


def _of_the_data(plan: Plan) -> list[str]:
    """Return what people are to be told of data that somebody else makes."""
    found: list[str] = []
    for source in (plan.train, plan.validation):
        if source is not None and not isinstance(source, SampleSource):
            found.extend(source.sentences())
    return found


def _warn_of_what_cannot_be_kept(callbacks: Sequence[Any], model: Any) -> None:
    lost = buffers.cannot_keep(model)
    if lost:
        warnings.warn(
            f"of PyTorch's modules this is not kept, and after a restart is as they make it anew: "
            f"{', '.join(lost)}. Make buffers of it (register_buffer) to keep it.",
            stacklevel=5,
        )
    found = callback_state.cannot_keep(callbacks)
    if found:
        warnings.warn(
            "of the callbacks' state this cannot be kept, and after a restart is as the callback "
            f"makes it anew: {'; '.join(found)}. Give the callback get_state() and "
            "set_state(state) to keep it.",
            stacklevel=5,
        )
