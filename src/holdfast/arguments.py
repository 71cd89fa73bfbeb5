"""Arguments by name: a misspelt one is answered with the right one.

Owns that check. Leaves what the values may be to those who take them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from holdfast.errors import UnknownArgumentError, did_you_mean

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def named(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function`, which refuses a keyword that it does not know and names the nearest.

    Raises:
        UnknownArgumentError: when it is called with such a keyword.

    Example:
        `EarlyStopping(restor_best_weights=True)` is answered with `restore_best_weights`.
    """
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name != "self"]
    what = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in parameters:
                raise UnknownArgumentError(
                    f"{what} has no argument {name!r}{did_you_mean(name, known)}; "
                    f"it takes {', '.join(known)}"
                )
        return function(*args, **kwargs)

    return checked


def named_fields(kind: type[T]) -> type[T]:
    """Return a dataclass whose constructor is `named`."""
    kind.__init__ = named(kind.__init__)  # type: ignore[method-assign]
    return kind
