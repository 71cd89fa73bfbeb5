"""Targets of one dimension beside outputs of two, as losses and metrics were given them.

Owns when they are given a second dimension. Leaves `compile` to `old_compile`.

Keras 2 gave losses and metrics targets of the shape (n, 1) where the program had passed (n,). Most
of Keras's own do that themselves today; the metric 'binary_crossentropy' is an error. A program's
own would compute with (n,) and (n, 1), which is a matrix, and would return a wrong number. One that
is written with `keras.ops` is of today, and is left alone.
"""

from __future__ import annotations

import functools
import sys
from types import FunctionType
from typing import Any

import keras
from keras import ops

from holdfast import keras_private
from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches

TARGETS = Old(
    "targets of one dimension for a program's own loss or metric, or for 'binary_crossentropy'",
    "Keras 3.0",
    "targets of the shape (n, 1)",
    "gives them targets of the shape (n, 1) beside an output of two dimensions, as Keras 2 did; "
    "not where it is written with keras.ops",
)
RESULT = Old(
    "a metric whose result() returns its variable",
    "Keras 3.0",
    "return self.total.value",
    "takes its value",
)

_LIBRARIES = ("keras", "holdfast")


def put(patches: Patches) -> None:
    """Give a program's own losses and metrics the targets they know."""
    metrics = keras_private.MetricsList

    @functools.wraps(metrics.update_state)
    def update_state(self: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        for metric in self.metrics:
            targets, weights = y_true, sample_weight
            function = keras_private.metric_function(metric)
            if _is_of_keras(metric, function):
                targets = _column(y_true, y_pred) if _is_one(y_pred) else y_true
            elif _is_older(metric, function):
                targets, weights = _told(y_true, y_pred), _column(sample_weight, y_pred)
                if function is not None:
                    # A class was given integers as they are.
                    targets = ops.cast(targets, metric.dtype)
            metric.update_state(targets, y_pred, sample_weight=weights)

    plain = keras.losses.Loss.__call__

    @functools.wraps(plain)
    def call(self: Any, y_true: Any, y_pred: Any, *args: Any, **kwargs: Any) -> Any:
        # A program that calls its loss itself was never given other targets.
        asked = str(sys._getframe(1).f_globals.get("__name__"))
        function = getattr(self, "fn", None)
        own = asked.startswith("keras.") and not _is_of_keras(self, function)
        if own and _is_older(self, function):
            y_true = _told(y_true, y_pred)
        return plain(self, y_true, y_pred, *args, **kwargs)

    results = keras_private.CompileMetrics.result

    @functools.wraps(results)
    def result(self: Any) -> dict[str, Any]:
        return {name: _value(found) for name, found in results(self).items()}

    patches.set(metrics, "update_state", update_state)
    patches.set(keras_private.CompileMetrics, "result", result)
    patches.set(keras.losses.Loss, "__call__", call)


def _value(found: Any) -> Any:
    if not isinstance(found, keras.Variable):
        return found
    met(RESULT)
    return found.value


def _is_one(outputs: Any) -> bool:
    return tuple(getattr(outputs, "shape", ()))[1:] == (1,)


def _column(targets: Any, outputs: Any) -> Any:
    """Return targets or weights with a second dimension, where the outputs have one."""
    if len(getattr(targets, "shape", ())) != 1 or len(getattr(outputs, "shape", ())) != 2:
        return targets
    return ops.expand_dims(targets, -1)


def _told(targets: Any, outputs: Any) -> Any:
    """Return the targets that something of a program's is given, and say so."""
    column = _column(targets, outputs)
    if column is not targets:
        met(TARGETS)
    return column


def _owner(judge: Any, function: Any) -> Any:
    """Return the function, or else the class, that computes a loss or a metric."""
    owner = type(judge) if function is None else function
    return owner if isinstance(owner, (type, FunctionType)) else type(owner)


def _is_of_keras(judge: Any, function: Any) -> bool:
    return _owner(judge, function).__module__.partition(".")[0] in _LIBRARIES


def _is_older(judge: Any, function: Any) -> bool:
    """Return whether a program's own loss or metric is of older Keras.

    Args:
        judge: the loss or metric.
        function: what it computes by, where it has one.
    """
    owner = _owner(judge, function)
    known = vars(sys.modules.get(owner.__module__, owner))
    own = [part for part in known.values() if getattr(part, "__module__", "") == owner.__module__]
    of_today = any(part is ops for part in known.values())
    return not (of_today or any(map(_names_ops, [owner, *own])))


def _names_ops(part: Any) -> bool:
    """Return whether a function or a class's methods name `keras.ops`."""
    if isinstance(part, type):
        return any(_names_ops(own) for own in vars(part).values() if isinstance(own, FunctionType))
    return isinstance(part, FunctionType) and "ops" in part.__code__.co_names


ROWS = (TARGETS, RESULT)
