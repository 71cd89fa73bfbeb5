"""What is said of how a training ended, and of what happened on the way.

Owns these sentences. Leaves printing them to `progress`.
"""

from __future__ import annotations

from numbers import Real
from pathlib import Path

import keras

from holdfast.callbacks.early_stopping import EarlyStopping
from holdfast.callbacks.history import History
from holdfast.data.source import SampleSource
from holdfast.events import RolledBack
from holdfast.training.plan import Plan

_NAMED_SAMPLES = 8


def why_it_ended(plan: Plan, stopped: bool) -> str:
    """Return why a training ended, as a sentence without a full stop."""
    if not stopped:
        return f"all {plan.epochs} epochs are done"
    for callback in plan.callbacks:
        if isinstance(callback, EarlyStopping) and callback.why:
            return f"EarlyStopping: {callback.why}"
        if isinstance(callback, keras.callbacks.EarlyStopping) and callback.stopped_epoch:
            return (
                f"EarlyStopping: {callback.monitor} did not improve for {callback.wait} epochs; "
                f"its best was {callback.best:.5g}, in epoch {callback.best_epoch + 1}"
            )
    if not isinstance(plan.train, SampleSource) and plan.train.once:
        return f"a callback stopped it, or {plan.train.kind} had no more batches"
    return "a callback stopped it"


def rolled_back(event: RolledBack) -> str:
    """Return what a rollback was, in words."""
    at, to = event.position, event.to
    samples = ", ".join(map(str, event.samples[:_NAMED_SAMPLES]))
    if len(event.samples) > _NAMED_SAMPLES:
        samples += f", … ({len(event.samples)} in all)"
    return (
        f"at step {at.total} (epoch {at.epoch + 1}, step {at.step}) {event.reason}; "
        f"samples {samples}; goes on from step {to.total} with a learning rate of "
        f"{event.learning_rate:.4g}"
    )


def closing_lines(history: History, why: str, path: Path) -> list[str]:
    """Return the lines that `fit` ends with: the best epoch, why it ended, where it is.

    Args:
        history: of the whole run.
        why: the training ended.
        path: of the run.
    """
    lines = [f"ended: {why}", f"saved in {path}"]
    best = history.best_epoch
    if best is None:
        return lines
    logs = dict(history.rows)[best]
    metrics = "  ".join(
        f"{name}: {value:.4g}" for name, value in logs.items() if isinstance(value, Real)
    )
    return [f"best epoch {best + 1} of {len(history.rows)}:  {metrics}", *lines]
