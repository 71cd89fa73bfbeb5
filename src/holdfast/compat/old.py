"""What older programs say that today's Keras does not take: a row each, and the line about it.

Owns the form of a row and the line that is printed when a program needs one. The rows stand
beside what stands in for them, in the modules of this package; `docs/old-programs.md` is made
of them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from dataclasses import dataclass
from types import FrameType

_OURS = os.path.dirname(os.path.dirname(__file__))
_NOT_PROGRAMS = (f"{os.sep}keras{os.sep}", "<frozen ", os.path.dirname(importlib.__file__))


@dataclass(frozen=True)
class Old:
    """A spelling of older programs.

    Args:
        spelling: as programs have it.
        gone: since when Keras does not take it: `Keras 3.0`.
        today: what is written today.
        does: what Holdfast does where a program has it.
    """

    spelling: str
    gone: str
    today: str
    does: str


_said: set[Old] = set()
_quiet = False


def begin(*, quiet: bool) -> None:
    """Begin anew to say each row once; with `quiet`, say none."""
    global _quiet  # noqa: PLW0603
    _said.clear()
    _quiet = quiet


def met(old: Old) -> None:
    """Say, once a program, on the standard error, what is old and what is written today."""
    if old in _said:
        return
    _said.add(old)
    if not _quiet:
        say(f"{place()}{old.spelling} is gone since {old.gone}; today: {old.today}")


def say(text: str) -> None:
    """Print a line about the program to the standard error."""
    with contextlib.suppress(OSError, ValueError):  # a program does not die of what nobody reads
        print(f"holdfast: {text}", file=sys.stderr, flush=True)


def place() -> str:
    """Return the line of the program that is being executed as `train.py:12: `, or nothing."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_OURS) and not any(part in name for part in _NOT_PROGRAMS):
            return f"{os.path.basename(name)}:{frame.f_lineno}: "
        frame = frame.f_back
    return ""
