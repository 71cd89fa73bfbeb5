"""The functions of the package: thin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from holdfast.run import Run

if TYPE_CHECKING:
    from holdfast.callbacks.history import History


def fit(model: Any, *args: Any, run: str | os.PathLike[str], **kwargs: Any) -> History:
    """Train a model durably in one call: `Run(run).fit(model, ...)`.

    Args:
        model, args, kwargs: as `Run.fit` takes them.
        run: the directory of the run.

    Example:
        `holdfast.fit(model, x, y, epochs=20, run="runs/digits")`
    """
    return Run(run).fit(model, *args, **kwargs)
