"""By what a run's epochs are judged.

Owns which names an epoch's logs will have, and which of them decides the best epoch. Leaves the
comparing to `store/retention` and to the callbacks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import keras

from holdfast.callbacks.hosted import Hosted
from holdfast.callbacks.monitor import direction_of
from holdfast.errors import PlanError, did_you_mean
from holdfast.store.retention import Keep
from holdfast.training.plan import Plan

_RATES = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


def log_names(callbacks: Sequence[Any], steps: Collection[str] | None) -> frozenset[str] | None:
    """Return the names of all metrics that an epoch's logs will have.

    Args:
        callbacks: of the training: two of Keras's add the learning rate, and those that are
            neither Keras's nor Holdfast's may add anything.
        steps: what the steps log, or None where that is not known.

    Returns:
        The names, or None where they cannot be known before an epoch has ended.
    """
    if steps is None or any(_may_add(callback) for callback in callbacks):
        return None
    rates = any(isinstance(callback, _RATES) for callback in callbacks)
    return frozenset(steps) | ({"learning_rate"} if rates else set())


def judged(keep: Keep, model: Any, plan: Plan, names: Collection[str] | None) -> Keep:
    """Return what to keep, with the metric that decides the best epoch named, and which way.

    That is what `keep` says, else what the first callback that judges epochs monitors, else
    the loss of validation, or of training without one.

    Raises:
        PlanError: no log will have the metric that `keep` names.
    """
    if keep.monitor is not None:
        if names is not None and keep.monitor not in names:
            raise PlanError(
                f"Keep(monitor={keep.monitor!r}) is in no log{did_you_mean(keep.monitor, names)}; "
                f"there are: {', '.join(sorted(names))}"
            )
        return _directed(keep, model)
    for callback in plan.callbacks:
        if _judges(callback):
            monitor = callback.monitor
            name = monitor if isinstance(monitor, str) else monitor[0]
            if names is not None and name not in names:
                continue  # Keras's only warn of that
            mode = callback.mode if callback.mode in ("min", "max") else "auto"
            return _directed(replace(keep, monitor=name, mode=mode), model)
    return replace(keep, monitor="loss" if plan.validation is None else "val_loss")


def _directed(keep: Keep, model: Any) -> Keep:
    assert keep.monitor is not None
    if keep.mode != "auto":
        return keep
    return replace(keep, mode=direction_of(model, keep.monitor) or "auto")


def _may_add(callback: Any) -> bool:
    kind = type(callback)
    known = isinstance(callback, Hosted) or kind.__module__.partition(".")[0] == "keras"
    if known and kind is not keras.callbacks.LambdaCallback:
        return False
    hooks = ("on_epoch_end", "on_test_end")
    default = keras.callbacks.Callback
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(default, hook)
        for hook in hooks
    )


def _judges(callback: Any) -> bool:
    if isinstance(callback, Hosted):
        return callback.judges
    if isinstance(callback, keras.callbacks.EarlyStopping):
        return True
    return isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_best_only
