"""A whole small training made with the store alone: no Keras, so that thousands fit in a minute.

It opens a run as an attempt does, goes on from the newest sound checkpoint, takes steps, writes a
journal, commits checkpoints through the writer, which prunes, rolls back once, and ends. Each
step's arrays are computed from those of the step before: one wrong byte anywhere, and the end is
another.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tiny_run import VERSIONS, array, contents

from holdfast.events import (
    AttemptStarted,
    CheckpointCommitted,
    EpochEnded,
    Finished,
    RolledBack,
    Stopped,
)
from holdfast.store import files, journal
from holdfast.store.checkpoints import Store, load_arrays, load_manifest, load_newest, settle
from holdfast.store.ending import complete
from holdfast.store.identity import begin, load_identity
from holdfast.store.journal import Journal
from holdfast.store.layout import Layout, is_run
from holdfast.store.lock import Lock
from holdfast.store.prune import Pruner
from holdfast.store.retention import Keep
from holdfast.store.verify import verify
from holdfast.store.writer import Writer
from holdfast.types import Position, Snapshot

STEPS, EPOCH, STOP, BREAK, POINT = 18, 4, 7, 14, 12
KEEP = Keep(last=2, best=1, every_epochs=3, monitor="loss")
EVERY = 3


@dataclass(frozen=True)
class State:
    """What the next step is made of. `rollbacks` counts how often the training went back."""

    total: int
    rollbacks: int
    changing: np.ndarray
    rows: tuple

    def arrays(self):
        # The second is the same for five steps, the third for ever: packs are shared.
        seldom = np.full(9, self.total // 5, "int32")
        return [
            array("trainable/0", self.changing, "dense/kernel"),
            array("seldom/0", seldom),
            array("frozen/0", np.arange(700, dtype="float32")),
        ]


FIRST = State(0, 0, np.arange(5, dtype="uint64"), ())


def step(state):
    """The state one step later."""
    values = state.changing * np.uint64(6364136223846793005) + np.uint64(state.total + 1)
    values += np.uint64(state.rollbacks)
    total, rows = state.total + 1, state.rows
    if total % EPOCH == 0:
        rows = (*rows, (total // EPOCH - 1, {"loss": float(values[0] % np.uint64(97))}))
    return State(total, state.rollbacks, values, rows)


@dataclass
class Course:
    """What a process promised, and what it holds of the run.

    Args:
        told: (`len(log)` at the time, the place) of each checkpoint said to be on the disk: a
            place is how often the training went back, the step, and whether it has ended.
        log: of the operations on the disk, or an empty list.
    """

    log: list = field(default_factory=list)
    told: list = field(default_factory=list)

    def promise(self, state, *, ended=False):
        self.told.append((len(self.log), (state.rollbacks, state.total, ended)))


def train(root: Path, course: Course | None = None, *, stop: int | None = None):
    """Train, or go on training, the run at `root`, to its end or to the step `stop`."""
    course = course or Course()
    layout = Layout(root)
    files.make_directory(root)
    lock = Lock(layout.lock)
    try:
        record = journal.read(layout.journal)
        state, manifest = FIRST, None
        if is_run(root) and layout.manifests():
            settle(layout)
            manifest, arrays, _ = load_newest(layout, final=True)
            state = _state(manifest, arrays)
            course.promise(state)
            if manifest.final:
                end = Finished(time.time(), manifest.position, "epochs")
                complete(layout, record, manifest.journal, end, KEEP)
                course.promise(state, ended=True)
                return
        else:
            begin(layout, VERSIONS, {"steps": STEPS}, None)
        log = Journal(layout.journal, record, manifest.journal if manifest else 0)
        try:
            _Attempt(layout, log, course, manifest).run(state, stop, len(record.events))
        finally:
            log.close()
    finally:
        lock.release()


def _state(manifest, arrays):
    named = {item.name: item for item in arrays}
    kept = manifest.state
    changing = np.frombuffer(named["trainable/0"].data, "uint64").copy()
    rows = tuple((epoch, logs) for epoch, logs in kept["rows"])
    return State(manifest.position.total, kept["rollbacks"], changing, rows)


class _Attempt:
    def __init__(self, layout, log, course, manifest):
        self.layout, self.journal, self.course, self.manifest = layout, log, course, manifest
        identity = load_identity(layout)
        self.store = Store(layout, log, identity.id, "plan", VERSIONS, shared=0)
        if manifest is not None:
            self.store.remember(manifest)
        self.pruner = Pruner(layout, KEEP)
        self.writer = Writer(self.store, self.pruner, self.hear)
        self.run_id = identity.id

    def run(self, state, stop, before):
        self.journal.append(
            AttemptStarted(
                time.time(), before, _position(state.total),
                self.manifest.journal if self.manifest else 0,
                1, "tiny", "", "here", 1, VERSIONS, "loss", "min", self.run_id,
            )
        )  # fmt: skip
        if self.manifest is None:
            self.save(state)
        while state.total < STEPS:
            if state.total == stop:
                self.save(state)
                self.journal.append(Stopped(time.time(), _position(stop), 15))
                self.journal.sync()
                return
            state = step(state)
            if len(state.rows) * EPOCH == state.total:
                epoch, logs = state.rows[-1]
                self.journal.append(EpochEnded(time.time(), epoch, state.total, logs))
            if (state.total, state.rollbacks) == (BREAK, 0):
                state = self.go_back(state)
            if state.total % EVERY == 0 or (state.total == POINT + 1 and not state.rollbacks):
                self.save(state)
        self.save(state, final=True)
        self.journal.append(Finished(time.time(), _position(STEPS), "epochs", ""))
        self.journal.sync()
        self.course.promise(state, ended=True)

    def go_back(self, state):
        path = self.layout.manifest(POINT, final=False)
        kept = load_manifest(path, self.run_id)
        back = _state(kept, load_arrays(self.layout, kept))
        event = RolledBack(
            time.time(), _position(state.total), kept.position, kept.journal, 1, "it broke", (), 0.1
        )
        self.journal.append(event)
        self.journal.sync()
        self.course.promise(back)  # what is undone is promised no longer
        self.pruner.undo(self.pruner.beyond(POINT))
        return State(back.total, 1, back.changing, back.rows)

    def save(self, state, *, final=False):
        snapshot = Snapshot(
            _position(state.total),
            tuple(state.arrays()),
            {"rows": [list(row) for row in state.rows], "rollbacks": state.rollbacks},
            dict(state.rows[-1][1]) if state.rows else {},
            epoch_end=state.total % EPOCH == 0,
            final=final,
            journal=self.journal.size,
            pins=(state.total - 3,) if state.total % 6 == 3 else (POINT,) * (state.total == 13),
        )
        self.saving = state
        self.writer.submit([snapshot])
        self.writer.wait()

    def hear(self, outcome):
        if outcome.error is not None:
            raise outcome.error
        self.course.promise(self.saving)
        self.journal.append(
            CheckpointCommitted(
                time.time(), outcome.position, outcome.final, outcome.bytes, outcome.seconds
            )
        )


def _position(total):
    return Position(total // EPOCH, total % EPOCH, total)


@dataclass(frozen=True)
class Oracle:
    """What a training that nobody interrupted ends with, and where it was on its way."""

    digest: str
    rows: tuple
    states: dict
    files: tuple


def oracle(root: Path) -> Oracle:
    """Train in `root` without an interruption."""
    train(root)
    state, states = FIRST, {}
    while state.total < STEPS:
        states[state.rollbacks, state.total] = state
        if (state.total, state.rollbacks) == (BREAK, 0):
            back = states[0, POINT]
            state = State(back.total, 1, back.changing, back.rows)
            states[state.rollbacks, state.total] = state
        state = step(state)
    states[state.rollbacks, state.total] = state
    return Oracle(
        load_newest(Layout(root), final=True)[0].digest(), state.rows, states, _names(root)
    )


def check(root: Path, expected: Oracle, promised: tuple | None) -> None:
    """Look at what a kill or a cut has left: all that was promised is there, and it goes on.

    Args:
        root: of the run; it is trained to its end.
        expected: the oracle.
        promised: the place of the newest checkpoint that was said to be on the disk.
    """
    layout = Layout(root)
    if promised is not None or (is_run(root) and layout.manifests()):
        assert verify(layout).findings == ()
        manifest, arrays, damaged = load_newest(layout, final=True)
        found = _state(manifest, arrays)
        place = (found.rollbacks, found.total)
        record = journal.read(layout.journal)
        ended = any(isinstance(item, Finished) for item in record.events)
        assert damaged == []
        there = (*place, ended)
        assert promised is None or there >= promised, f"{promised} was promised, {there} is there"
        assert contents(arrays) == contents(expected.states[place].arrays()), "other bytes"
        assert found.rows == expected.states[place].rows
    train(root)
    manifest, _, damaged = load_newest(layout, final=True)
    assert (manifest.digest(), damaged) == (expected.digest, []), "another end"
    record = journal.read(layout.journal)
    rows = tuple((item.epoch, item.logs) for item in record.lived(EpochEnded))
    assert rows == expected.rows, "the journal's history is another"
    assert any(isinstance(item, Finished) for item in record.events), "no end is recorded"
    assert verify(layout).findings == ()
    assert _names(root) == expected.files, "files are left over"


def _names(root):
    """The names of a run's files; those of packs without what is random in them."""
    return tuple(
        sorted(
            str(path.relative_to(root)).partition("-")[0] if "packs/" in str(path) else path.name
            for path in root.rglob("*")
        )
    )
