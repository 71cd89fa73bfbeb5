"""A model saved as a run: one checkpoint, of a training that was not Holdfast's.

Owns what such a run holds. Leaves the files to `store`.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from holdfast.errors import RunError
from holdfast.events import AttemptStarted, CheckpointCommitted, Finished
from holdfast.state import snapshot, variables
from holdfast.store import files, journal
from holdfast.store.checkpoints import Store
from holdfast.store.identity import load_identity
from holdfast.store.layout import Layout
from holdfast.store.manifest import fingerprint
from holdfast.training.describe import describe_model
from holdfast.training.opening import SAVED, begin_as, refusing, versions
from holdfast.types import Position

_REASON = "a model was saved here; nothing was trained"


def save(layout: Layout, model: Any) -> None:
    """Make a run of a model as it is now. It is there wholly, or not at all.

    Args:
        layout: of a directory that is not there, or empty.
        model: built; compiled or not.

    Raises:
        RunError: something is there already, or it cannot be written.
    """
    root = layout.root
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise RunError(f"{root} is not empty; choose a directory that is not there yet")
    with refusing(layout):
        files.make_directory(root.parent)
        files.replace_by(root, lambda aside: _write(aside, model))


def _write(root: Path, model: Any) -> None:
    layout = Layout(root)
    files.make_directory(root)
    plan = {SAVED: True, "model": describe_model(model)}
    begin_as(layout, model, plan)
    run = load_identity(layout).id
    log = journal.Journal(layout.journal, journal.skim(layout.journal))
    store = Store(layout, log, run, fingerprint(plan), versions())
    position = Position()
    log.append(_started(run, position))
    log.sync()
    began = time.perf_counter()
    committed = store.commit(_snapshot(model, position, log.size))
    seconds = time.perf_counter() - began
    log.append(CheckpointCommitted(time.time(), position, True, committed.size, seconds))
    log.append(Finished(time.time(), position, "saved", _REASON))
    log.sync()
    log.close()


def _snapshot(model: Any, position: Position, size: int) -> Any:
    course = snapshot.Course(seed=0)
    held = snapshot.hold(position, [], [], course, copy=False)
    found = [variable for group in variables.groups(model) for variable in group]
    copies = [np.asarray(keras.ops.convert_to_numpy(variable.value)) for variable in found]
    return snapshot.make_snapshot(held, model, copies, epoch_end=False, final=True, journal=size)


def _started(run: str, position: Position) -> AttemptStarted:
    return AttemptStarted(
        time=time.time(),
        attempt=1,
        position=position,
        journal=0,
        epochs=0,
        engine="none",
        reason=_REASON,
        host=socket.gethostname(),
        pid=os.getpid(),
        versions=versions(),
        run=run,
    )
