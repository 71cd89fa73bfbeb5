"""JSON in and out, as fast as it can be had.

Owns reading the text of a request and writing that of an answer, with arrays in it. Leaves what the
values mean to the modules that call it.

orjson, where it is installed, reads a row of 784 numbers more than ten times faster than Python's
json does. What orjson refuses is read once more by json: it takes the NaN and Infinity that
existing clients of the Open Inference Protocol send; a number beyond all floats, such as 1e400, is
refused. No answer has these words, since they are not JSON: a number that is not finite is written
as null.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.serving.refusal import RequestError
from holdfast.types import Json

MOST_LISTS = 1 << 20
"""Lists and objects in a text: each takes many times the memory and the time of a number."""

# What a number beyond all floats has; others may have it too.
_HUGE = re.compile(rb"[eE]\+?0*[1-9]\d\d|\d{200}")

_fast: Any
try:
    _fast = importlib.import_module("orjson")
except ImportError:
    _fast = None


def read(text: bytes | memoryview) -> Json:
    """Return the value that a text is.

    Raises:
        RequestError: the text is not JSON, or has more than `MOST_LISTS`.
    """
    # A mark within a text counts too: what has so many is nothing that a model takes.
    if len(text) > MOST_LISTS:
        found = sum(map(bytes(text).count, (b"[", b"{")))
        if found > MOST_LISTS:
            raise RequestError(
                f"expected {MOST_LISTS} lists and objects at most in JSON, found {found}: send "
                "samples as flat lists, or binary"
            )
    if _fast is not None:
        try:
            return _fast.loads(text)
        except ValueError:
            pass
    try:
        whole = str(text, "utf-8-sig")
        value = json.loads(whole, parse_float=_finite if _HUGE.search(text) else None)
        return _sound(value, bytes(text))
    except UnicodeError:
        raise RequestError("expected JSON in UTF-8, and the body has what is no letter") from None
    except RecursionError:
        raise RequestError("expected JSON, and the body is nested too deeply") from None
    except ValueError as error:
        raise RequestError(f"expected JSON, and the body is not: {error}") from None


def write(value: Json) -> bytes:
    """Return the text of a value; it may have arrays of numbers and booleans in it."""
    if _fast is not None:
        text: bytes = _fast.dumps(value, default=_listed, option=_fast.OPT_SERIALIZE_NUMPY)
        return text
    return json.dumps(value, default=_listed, separators=(",", ":")).encode()


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise RequestError(f"the number {text[:40]} is beyond what float64 holds")
    return number


def _sound(value: Json, text: bytes) -> Json:
    """Return a value that can be written again: no halves of letters, as JSON's escapes can make.

    Raises:
        UnicodeEncodeError: it has such a half; a ValueError.
    """
    if b"\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _listed(array: NDArray[Any]) -> Json:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        values = array.astype(object)
        return np.where(np.isfinite(array), values, np.array(None)).tolist()
    return array.tolist()
