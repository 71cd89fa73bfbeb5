"""How a method of Keras's is made to take other arguments than it does.

Owns the wrapping, and nothing of what is translated.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches
from holdfast.errors import PlanError

_Method = TypeVar("_Method", bound=Callable[..., Any])
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Translate = Callable[[Any, tuple[Any, ...], dict[str, Any]], Arguments]


def standing_for(plain: Callable[..., Any]) -> Callable[[_Method], _Method]:
    """Return a decorator for what stands in a method's place, which has its name and signature."""

    def decorate(method: _Method) -> _Method:
        functools.update_wrapper(method, plain)
        # Keras asks for it in a way that does not follow what is wrapped.
        method.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
        return method

    return decorate


def translate(patches: Patches, owner: type, name: str, change: Translate) -> None:
    """Have `change` turn the arguments of a method into those that it takes.

    Args:
        patches: by which it is taken back.
        owner: the class.
        name: of the method.
        change: is given the object and its arguments, of which it may change the keywords.
    """
    plain = getattr(owner, name)

    @standing_for(plain)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = change(self, args, kwargs)
        return plain(self, *args, **kwargs)

    patches.set(owner, name, method)


def rename(kwargs: dict[str, Any], old: str, new: str, row: Old) -> None:
    """Give an argument its name of today, if it was given.

    Raises:
        PlanError: it was given by both names.
    """
    if old not in kwargs:
        return
    met(row)
    if new in kwargs:
        raise PlanError(f"{old}= and {new}= are the same argument: leave {old}= out")
    kwargs[new] = kwargs.pop(old)
