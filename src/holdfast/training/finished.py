"""A run that is finished: what a call of `fit` gives then.

Owns giving the model, the callbacks and the random state what the training left them with, and the
program the files that its callbacks left there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import keras

from holdfast.callbacks.history import History
from holdfast.callbacks.hosted import hosted
from holdfast.errors import NotSavedError
from holdfast.events import Event, Finished
from holdfast.state import callbacks as callback_state
from holdfast.state import rng, variables
from holdfast.state.snapshot import load_course
from holdfast.store import journal
from holdfast.store.ending import complete
from holdfast.store.identity import run_id
from holdfast.store.journal import Record
from holdfast.store.layout import Layout
from holdfast.store.retention import Keep
from holdfast.training.ending import why_it_ended
from holdfast.training.host import RunHost
from holdfast.training.opening import Found
from holdfast.training.plan import Plan
from holdfast.training.progress import Reporter

# Bytes of a journal that are not read before somebody asks.
_LONG = 1 << 20


def is_finished(found: Found, epochs: int) -> bool:
    """Return whether nothing is left to train of `epochs` epochs."""
    return bool(found[0].state["stopped"]) or found[0].position.epoch >= epochs


def give_finished(
    layout: Layout,
    model: Any,
    plan: Plan,
    record: Record,
    found: Found,
    keep: Keep,
    reporter: Reporter,
) -> History:
    """Give the model and the callbacks what the training left them with.

    What comes after the call draws the random numbers that it would have drawn after the training.

    Raises:
        NotSavedError: a file that a callback had saved is not there, and cannot be put back.
    """
    manifest, arrays = found
    named = {array.name: array for array in arrays}
    variables.load(model, named)
    history = History()
    join(plan, model, history)
    callback_state.restore(manifest.state["callbacks"], plan.callbacks, named)
    _put_back(layout, plan, reporter)
    stopped = model.stop_training = bool(manifest.state["stopped"])
    reason, sentence = "stopped" if stopped else "epochs", why_it_ended(plan, stopped)
    end = Finished(time.time(), manifest.position, reason, sentence)
    complete(layout, record, manifest.journal, end, keep)
    history.restore(load_course(manifest.state, named).rows)
    tell(history, layout)
    why = "stopped by a callback, so more epochs change nothing" if stopped else "all epochs done"
    reporter.say(
        f"{layout.root} is finished ({why}, {manifest.position.total} steps); "
        "the model has its final weights"
    )
    rng.restore(manifest.state["random"], named)
    return history


def join(plan: Plan, model: Any, history: History) -> Any:
    """Tell the callbacks and the history of the model and the plan, and the model of the history.

    Returns them as a `keras.callbacks.CallbackList`, with the history last in it.
    """
    return keras.callbacks.CallbackList(
        [*plan.callbacks, history],
        model=model,
        verbose=plan.verbose,
        epochs=plan.epochs,
        steps=plan.train.schedule.steps_per_epoch or plan.train.schedule.batches,
    )


def _put_back(layout: Layout, plan: Plan, reporter: Reporter) -> None:
    """Put back the files that the callbacks left."""
    host = RunHost(layout, reporter)
    for callback in hosted(plan.callbacks):
        callback.join(host)
        try:
            callback.put_back()
        finally:
            callback.part()
    for path, why in host.lost.items():
        raise NotSavedError(
            f"{path} is not what the training in {layout.root} saved there, and that could not be "
            f"put back: {why}. The model has its final weights. To train it again, call fit with "
            "fresh=True, or move that directory away."
        )


def tell(history: History, layout: Layout) -> None:
    """Tell a history what else happened: now, or of a long journal when somebody asks.

    By then another run may be in the place of this one, which has nothing to tell of it.
    """
    record, run = journal.skim(layout.journal), run_id(layout)

    def lived(*kinds: type[Event]) -> Iterable[Event]:
        return record.lived(*kinds) if run_id(layout) == run else ()

    history.tell(lived, later=record.size > _LONG)
