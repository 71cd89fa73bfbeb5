"""Monitors: one metric of the logs, and when a value of it is better than another.

Owns the direction, the comparison, and what is said where no log has the name. Leaves what
follows from a better value to the callbacks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from holdfast import keras_private
from holdfast.arguments import number
from holdfast.errors import PlanError, did_you_mean
from holdfast.monitors import larger_is_better

_MODES = ("auto", "min", "max")


class Monitor:
    """One metric by which epochs are judged.

    Args:
        name: of the metric, as in the logs.
        mode: `min`, `max`, or `auto`: as the model's metric says, and `min` for a loss.
        min_delta: how much better a value must be to count as better.
        owner: the callback's class, for messages.

    Raises:
        PlanError: another mode; a `min_delta` that is no number.
    """

    def __init__(self, name: str, mode: str, min_delta: float, owner: str) -> None:
        if not isinstance(name, str):
            raise PlanError(f"{owner}(monitor=…) must be the name of a metric, found {name!r}")
        if mode not in _MODES:
            hint = did_you_mean(mode, _MODES) if isinstance(mode, str) else ""
            raise PlanError(f"{owner}(mode=…) must be 'auto', 'min' or 'max', found {mode!r}{hint}")
        self.name = name
        self.mode = mode
        self._delta = abs(number(owner, "min_delta", min_delta))
        self._owner = owner
        self._sign: float | None = None
        self._validates: bool | None = None

    def check(self, names: Collection[str] | None, validates: bool) -> None:
        """Refuse a name that no log will have.

        Args:
            names: of all metrics there will be, or None where that is not known yet.
            validates: whether there is validation data.
        """
        self._validates = validates
        if names is not None and self.name not in names:
            raise self._missing(names)

    def resolve(self, model: Any) -> None:
        """Find out whether larger or smaller values are better.

        Raises:
            PlanError: neither the mode nor the model says so.
        """
        direction = self.mode if self.mode != "auto" else direction_of(model, self.name)
        if direction not in ("min", "max"):
            raise PlanError(
                f"{self._owner}: is a larger {self.name} better or a smaller one? The metric does "
                "not say so: pass mode='max' or mode='min'"
            )
        self.mode = direction
        self._sign = -1.0 if direction == "max" else 1.0

    def value(self, logs: Mapping[str, Any] | None) -> float | None:
        """Return the metric's value, or None in an epoch that was not validated.

        Raises:
            PlanError: no log has the name.
        """
        logs = logs or {}
        found = logs.get(self.name)
        if found is not None:
            try:
                return float(found)
            except (TypeError, ValueError):
                raise PlanError(
                    f"{self._owner} monitors {self.name}, which should be one number, "
                    f"found {found!r}"
                ) from None
        validated = any(name.startswith("val_") for name in logs)
        if not self.name.startswith("val_") or validated or self._validates is False:
            raise self._missing(logs)
        if self._validates is None:  # Keras's own fit does not say whether it will validate
            warnings.warn(f"{self._missing(logs)}", stacklevel=3)
        return None

    def better(self, value: float, than: float | None) -> bool:
        """Return whether a value is better than another, by `min_delta` at least.

        What is no number is never better, and any number is better than none.
        """
        if math.isnan(value):
            return False
        if than is None or math.isnan(than):
            return True
        assert self._sign is not None, "resolve first"
        return self._sign * value + self._delta < self._sign * than

    def _missing(self, names: Collection[str]) -> PlanError:
        there = ", ".join(sorted(names)) or "none"
        hint = did_you_mean(self.name, names)
        if self.name.startswith("val_") and self._validates is False:
            hint = " (there is no validation data)"
        return PlanError(
            f"{self._owner} monitors {self.name!r}, which is in no log{hint}; there are: {there}"
        )


def direction_of(model: Any, name: str) -> str:
    """Return whether `min` or `max` of a metric is better; empty where nothing says which."""
    bare = name.removeprefix("val_")
    if bare == "loss" or bare.endswith("_loss"):
        return "min"
    direction: str = keras_private.metric_direction(model, bare)
    return direction or ("max" if larger_is_better(bare) else "")
