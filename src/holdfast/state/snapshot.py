"""Capture and restore everything that decides the next step, in a fixed order.

Owns the order: random state is captured first and restored last, since what runs in between
may draw from it. Leaves the parts to the modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.state import callbacks as callback_state
from holdfast.state import rng, variables
from holdfast.state.rows import Rows
from holdfast.state.values import decode, encode, to_array
from holdfast.types import PLACE, Array, Json, Position, Snapshot


@dataclass
class Course:
    """What a training knows besides its variables and callbacks.

    Args:
        seed: of the shuffling.
        logs: of the last step, or of the last epoch where one has just ended.
        stopped: whether a callback has set `stop_training`.
        rows: the epochs so far.
        place: in the training data, as the engine takes it; None where the position says it all.
    """

    seed: int
    logs: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    rows: Rows = field(default_factory=Rows)
    place: Any = None


@dataclass(frozen=True)
class Held:
    """State captured, but for what cannot change: it is held, and copied when it is needed.

    Args:
        position: where it was captured.
        values: of all variables, as immutable arrays of the backend.
        course: a copy whose `rows` are shared; the first `epochs` of them count.
        arrays: of callback state.
        random: the state of the generators.
        callbacks: their state as JSON.
        pins: steps of the checkpoints that the callbacks need.
    """

    position: Position
    values: Sequence[Any]
    course: Course
    epochs: int
    arrays: tuple[Array, ...]
    random: rng.RandomState
    callbacks: Json
    pins: tuple[int, ...]


def hold(
    position: Position,
    values: Sequence[Any],
    callbacks: Sequence[Any],
    course: Course,
    *,
    copy: bool,
) -> Held:
    """Capture the state. Cheap: it copies no variable and no history.

    With `copy`, large arrays of callbacks are copied, as they must be where the callbacks may
    run on before the snapshot is written.
    """
    arrays: list[Array] = []
    random = rng.capture()
    states = callback_state.capture(callbacks, arrays, copy=copy)
    pins = callback_state.pins(callbacks)
    epochs = len(course.rows)
    return Held(position, values, replace(course), epochs, tuple(arrays), random, states, pins)


def make_snapshot(
    held: Held,
    model: Any,
    copies: Sequence[NDArray[Any]],
    *,
    epoch_end: bool,
    final: bool,
    journal: int,
) -> Snapshot:
    """Return the snapshot of a held state, given copies of its values."""
    arrays = [
        to_array(name, copy, label)
        for (name, label), copy in zip(variables.names(model), copies, strict=True)
    ]
    random = rng.encode(held.random, arrays)
    arrays.extend(held.arrays)
    state = {
        "seed": held.course.seed,
        "stopped": held.course.stopped,
        "logs": encode(held.course.logs, "logs", arrays),
        "history": held.epochs,
        "random": random,
        "callbacks": held.callbacks,
    }
    arrays.extend(held.course.rows.to_arrays(held.epochs))
    if held.course.place is not None:
        state[PLACE] = encode(held.course.place, PLACE, arrays)
    metrics = _metrics(held)
    return Snapshot(
        held.position, tuple(arrays), state, metrics, epoch_end, final, journal, held.pins
    )


def _metrics(held: Held) -> dict[str, float]:
    """Return the numbers among the logs: at an epoch's end with what callbacks added to them."""
    logs = held.course.logs
    if held.epochs and held.position.step == 0:
        epoch, recorded = held.course.rows[held.epochs - 1]
        if epoch == held.position.epoch - 1:
            logs = recorded
    return {
        name: float(value)
        for name, value in logs.items()
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    }


def restore(
    state: Mapping[str, Json], arrays: Sequence[Array], model: Any, callbacks: Sequence[Any]
) -> tuple[Course, list[str]]:
    """Put a model, its callbacks and the random state back to what was captured.

    Returns the course of the training, and what is to be said of callbacks that came or went.
    """
    named = {array.name: array for array in arrays}
    variables.load(model, named)
    said = callback_state.restore(state["callbacks"], callbacks, named)
    course = load_course(state, named)
    rng.restore(state["random"], named)
    return course, said


def load_course(state: Mapping[str, Json], arrays: Mapping[str, Array]) -> Course:
    """Return the course of the training that was captured."""
    return Course(
        seed=state["seed"],
        logs=decode(state["logs"], arrays),
        stopped=state["stopped"],
        place=decode(state.get(PLACE), arrays),
        rows=Rows.from_arrays(state["history"], arrays),
    )
