"""`keras.wrappers.scikit_learn`, of scikeras.

Owns the old way to tell the wrappers what to do: `build_fn`, and its parameters beside those of
`fit`. Leaves the rest to scikeras. Needs it: import this module where it is installed.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

wrappers: Any = importlib.import_module("scikeras.wrappers")


class _Old:
    """Takes what Keras's own wrappers took."""

    def __init__(
        self,
        build_fn: Callable[..., Any] | None = None,
        *,
        model: Callable[..., Any] | None = None,
        **given: Any,
    ) -> None:
        build = model if build_fn is None else build_fn
        if "nb_epoch" in given:
            given["epochs"] = given.pop("nb_epoch")
        own = _parameters(build)
        # scikeras lets only those be set later, as a search over them does, that it knows of now.
        super().__init__(build, **{**own, **given})  # type: ignore[call-arg]
        if own:
            # Also `optimizer` and `loss`, which scikeras would keep from the function.
            self._user_params = {*getattr(self, "_user_params", ()), *own}

    @property
    def history(self) -> dict[str, list[float]]:
        """What `fit` returned is the estimator itself, and had this."""
        return self.history_  # type: ignore[attr-defined,no-any-return]


class KerasClassifier(_Old, wrappers.KerasClassifier):  # type: ignore[misc]
    """A classifier that a function makes."""


class KerasRegressor(_Old, wrappers.KerasRegressor):  # type: ignore[misc]
    """A regressor that a function makes."""


def _parameters(build: Callable[..., Any] | None) -> dict[str, Any]:
    """Return the parameters of a function that makes a model, with their defaults."""
    if build is None or not callable(build) or hasattr(build, "compile"):
        return {}
    known = inspect.signature(build).parameters.values()
    return {word.name: word.default for word in known if word.default is not word.empty}
