"""Random numbers that a layer's own function draws, such as `K.random_normal` in a Lambda.

Owns the seeds: a compiled function would draw the same number each time, unless what decides the
next one is part of the layer. Leaves drawing to `backend_state`.
"""

from __future__ import annotations

import functools
import sys
from types import CodeType, FrameType
from typing import Any

import keras

from holdfast.compat.patches import Patches
from holdfast.compat.translating import standing_for

_DRAWS = frozenset(["random_normal", "random_uniform", "truncated_normal"])
_DRAWS |= frozenset(["random_binomial", "random_bernoulli"])


def put(patches: Patches) -> None:
    """Give each layer whose `call` draws a state of its own to draw from."""
    for kind in (keras.layers.Layer, keras.layers.Lambda):
        _put(patches, kind)


def current() -> Any | None:
    """Return what the layer that is being called draws from, or None outside of such a layer."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = getattr(frame.f_locals.get("self"), "holdfast_seeds", None)
        if found is not None:
            return found
        frame = frame.f_back
    return None


def _put(patches: Patches, kind: type) -> None:
    plain = kind.__init__  # type: ignore[misc]

    @standing_for(plain)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        function = getattr(self, "function", None) if kind is keras.layers.Lambda else None
        code = getattr(function or type(self).call, "__code__", None)
        if code is not None and _draws(code):
            self.holdfast_seeds = keras.random.SeedGenerator()

    patches.set(kind, "__init__", init)


@functools.cache
def _draws(code: CodeType) -> bool:
    """Return whether a function's code, or a function's in it, names what draws."""
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return not _DRAWS.isdisjoint(code.co_names) or any(map(_draws, inner))
