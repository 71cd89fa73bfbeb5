"""Where a program saved its models, for one that looks for them elsewhere.

Owns what was saved by this process, and the error about a file that is not there. Leaves saving
and loading to `saving`, and telling what ModelCheckpoint is to write to the calls of `fit`.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from holdfast.errors import NotThereError

_LISTED = 4
_ALIKE = 0.75
_FIELD = re.compile(r"\{[^{}]*\}")

# In the order of saving; the newest last.
_saved: dict[str, None] = {}


def note(path: str | os.PathLike[str]) -> None:
    """Remember that the program saves a model, or weights, at a path.

    Args:
        path: of the file, of a checkpoint its prefix; of several, with `{epoch}` and the like.
    """
    where = os.path.abspath(path)
    _saved.pop(where, None)
    _saved[where] = None


def hint(path: str | os.PathLike[str]) -> str:
    """Return a sentence about files of that name, or nearly, that the program saved elsewhere.

    Args:
        path: that was asked for and is not there.

    Returns:
        `This program saved /tmp_checkpoint.ckpt.`, or nothing.
    """
    found = _of_that_name(path) or _of_like_names(path)
    return f"This program saved {', '.join(found[:_LISTED])}." if found else ""


def not_there(path: Path, said: str) -> NotThereError:
    """Return the error about a file that is not there.

    Args:
        path: that was asked for.
        said: what is known of it, such as names in its directory that are like it.
    """
    # Where the name itself was saved elsewhere, names that are like it lead astray.
    known = f"{path} is not there" if _of_that_name(path) else said
    more = hint(path)
    return NotThereError(f"{known}. {more}" if more else known)


def _of_that_name(path: str | os.PathLike[str]) -> list[str]:
    name = os.path.basename(path)
    return [where for where in _elsewhere(path) if _may_be(os.path.basename(where), name)]


def _of_like_names(path: str | os.PathLike[str]) -> list[str]:
    places = _elsewhere(path)
    names = [os.path.basename(where) for where in places]
    near = difflib.get_close_matches(os.path.basename(path), names, n=_LISTED, cutoff=_ALIKE)
    return [where for where in places if os.path.basename(where) in near]


def _elsewhere(path: str | os.PathLike[str]) -> list[str]:
    """Return the places but the one that was asked for, the newest first."""
    return [where for where in reversed(_saved) if where != os.path.abspath(path)]


def _may_be(saved: str, name: str) -> bool:
    """Return whether a name that was saved, or a pattern of names, is this one; endings of a
    checkpoint's files do not count.
    """
    pattern = ".*".join(re.escape(part) for part in _FIELD.split(saved))
    return re.fullmatch(rf"{pattern}(\.index|\.data-\d+-of-\d+)?", name) is not None
