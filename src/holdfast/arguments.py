"""Arguments: a misspelt name is answered with the right one, and a number is a number.

Owns these checks and their wording. Leaves what else the values may be to those who take them.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from holdfast.errors import PlanError, UnknownArgumentError, did_you_mean

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


def number(
    owner: str, name: str, value: object, *, least: float = -math.inf, above: float = -math.inf
) -> float:
    """Return a number that was given as an argument.

    Raises:
        PlanError: it is none, or not finite, or below `least`, or not above `above`.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and value >= least and value > above:  # type: ignore
        return float(value)  # type: ignore[arg-type]
    bound = f" >= {least:g}" if least > -math.inf else ""
    bound = f" above {above:g}" if above > -math.inf else bound
    raise PlanError(f"{owner}({name}=…) must be a number{bound}, found {value!r}")


def count(owner: str, name: str, value: object, least: int) -> int:
    """Return an integer that was given as an argument.

    Raises:
        PlanError: it is none, or below `least`.
    """
    try:
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = least - 1
    if found < least or isinstance(value, bool):
        raise PlanError(f"{owner}({name}=…) must be an integer >= {least}, found {value!r}")
    return found


def named_fields(kind: type[T]) -> type[T]:
    """Return a dataclass whose constructor is `named`."""
    kind.__init__ = named(kind.__init__)  # type: ignore[method-assign]
    return kind
