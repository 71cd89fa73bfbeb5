"""What a call of fit starts from besides its plan: weights, settings of callbacks, the program.

Owns what of it is noted when a call begins, and what counts as a change at the next start. Leaves
the plan to `training`, and what follows from a change to `calls`.

A plan knows functions and classes by their names. Where the program's text was touched since, the
code behind those names counts too, and the weights; where it was not, other weights are the
program's own way to go on, by loading what it saved before it died.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import keras
from blake3 import blake3

from holdfast import keras_private
from holdfast.callbacks.hosted import Hosted
from holdfast.compat.imports import is_library
from holdfast.state import variables
from holdfast.training.describe import differences
from holdfast.training.plan import Plan
from holdfast.types import Json

_WEIGHTS = "weights before the call"
_PROGRAM = "program"
_CODE = "code"
_PLAIN = (bool, int, float, str)
# Where files are, and what is printed: names of files may have the time in them.
_NO_SETTINGS = ("filepath", "filename", "log_dir", "backup_dir", "path", "verbose", "self")

Difference = tuple[str, str, str]


def describe(model: Any, plan: Plan) -> dict[str, Json]:
    """Return what a training starts from, as it is noted."""
    return {
        _WEIGHTS: _weights(model),
        _PROGRAM: _program(),
        _CODE: dict(sorted(_code(model, plan))),
        "callbacks": [_settings(callback) for callback in plan.callbacks],
    }


def changes(then: Mapping[str, Json], now: Mapping[str, Json]) -> list[Difference]:
    """Return where a training would start from something else than it did."""
    found = differences(dict(then), dict(now))
    if not is_touched(then, now):
        found = [item for item in found if not item[0].startswith((_WEIGHTS, _CODE))]
    return [item for item in found if item[0] != _PROGRAM]


def is_touched(then: Mapping[str, Json], now: Mapping[str, Json]) -> bool:
    """Return whether the program's files or arguments are other ones."""
    return then.get(_PROGRAM) != now.get(_PROGRAM)


def accepted(then: Mapping[str, Json], now: Mapping[str, Json]) -> dict[str, Json]:
    """Return what to note of a call that goes on: from what it began, by which program now."""
    return {**now, _WEIGHTS: then.get(_WEIGHTS, now[_WEIGHTS])}


def told(difference: Difference) -> str:
    """Return a difference in words."""
    name, was, now = difference
    if name.startswith(_WEIGHTS):
        return "the weights that it starts from are others"
    if name.startswith(_CODE):
        return f"the code of {name.removeprefix(f'{_CODE}, ')} is another"
    return f"{name}: was {was}, is {now}"


def _weights(model: Any) -> str:
    sums = blake3()
    for group in variables.groups(model)[:3]:
        for variable in group:
            if not variable.path.endswith("learning_rate"):  # of that the plan knows more
                sums.update(keras.ops.convert_to_numpy(variable.value).tobytes())
    return sums.hexdigest(16)


def _program() -> str:
    """Return the digest of the program's arguments, its file, and the modules beside it."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    sums = blake3(repr(sys.argv).encode())
    folder = os.path.dirname(os.path.abspath(main)) + os.sep if main else None
    found = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for file in sorted(filter(None, found)):
        path = os.path.abspath(file)
        if path == main or (folder and path.startswith(folder) and not is_library(path)):
            with contextlib.suppress(OSError):
                sums.update(Path(path).read_bytes())
    return sums.hexdigest(16)


def _settings(callback: Any) -> dict[str, Json]:
    """Return what a callback was told, as far as it is plain."""
    known = callback.settings() if isinstance(callback, Hosted) else None
    if known is None:
        with contextlib.suppress(TypeError, ValueError):
            taken = inspect.signature(type(callback).__init__).parameters
            known = {name: vars(callback).get(name) for name in taken}
    return {
        "class": type(callback).__name__,
        **{
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (known or {}).items()
            if isinstance(value, (*_PLAIN, list, tuple)) and name not in _NO_SETTINGS
        },
    }


def _code(model: Any, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the program's own functions and classes that train, each with its code's digest."""
    parts: list[Any] = [type(part) for part in (model, *model._flatten_layers())]
    parts += keras_private.compiled_with(model)
    for callback in plan.callbacks:
        parts += [type(callback), *vars(callback).values()]
    for part in parts:
        thing = inspect.unwrap(part) if callable(part) else part
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            thing = type(thing)
        with contextlib.suppress(TypeError, OSError):  # what is built in has no file
            if not is_library(inspect.getfile(thing)):
                sums = blake3()
                for code in _codes(thing):
                    _add(sums, code)
                yield thing.__qualname__, sums.hexdigest(16)


def _codes(thing: Any) -> Iterable[CodeType]:
    if inspect.isfunction(thing):
        return [thing.__code__]
    own = [part for _, part in sorted(vars(thing).items())]
    functions = [getattr(part, "__func__", getattr(part, "fget", part)) for part in own]
    return [part.__code__ for part in functions if inspect.isfunction(part)]


def _add(sums: Any, code: CodeType) -> None:
    """Add what a code does; where it stands in its file says nothing."""
    sums.update(code.co_code)
    sums.update(repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add(sums, constant)
        else:
            sums.update(repr(constant).encode())
