"""From what was typed to the runs that are meant.

Owns finding runs in directories, and what is said where a path is no run. Imports what knows runs
when it looks for them: every verb takes `RunPath` from here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.errors import NotARunError, did_you_mean

if TYPE_CHECKING:
    from holdfast.run import Run

# Not to be checked by typer (readable=False): what cannot be read is no wrong command line.
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The directory of a run.", readable=False)
]


def open_run(path: Path) -> Run:
    """Return the run at a path, in a format that this version knows.

    Raises:
        NotARunError: there is none; a run with a similar name is suggested.
        DamagedError: its run.json is not what was written.
        NewerFormatError: a newer Holdfast made it.
    """
    run = find_run(path)
    run.identity()
    return run


def find_run(path: Path) -> Run:
    """Return the run at a path, whatever state it is in.

    Raises:
        NotARunError: there is none; a run with a similar name is suggested.
    """
    from holdfast.run import Run
    from holdfast.store.layout import is_run

    if is_run(path):
        return Run(path)
    raise NotARunError(_why_not(path))


def name_of(path: Path) -> str:
    """Return a run's name: its directory's, also where that was typed as `.`."""
    return path.resolve().name or str(path)


def find_runs(folder: Path, unseen: Callable[[OSError], None]) -> list[Path]:
    """Return the folder, if it is a run, else the runs below it, in the order of their names.

    Runs are not searched for runs, nor are hidden directories and linked ones; a link to a
    run counts.

    Args:
        folder: where to look.
        unseen: told of each directory below that could not be looked into.

    Raises:
        NotARunError: the folder is no directory.
    """
    from holdfast.store.layout import is_run

    if is_run(folder):
        return [folder]
    if not folder.is_dir():
        raise NotARunError(_why_not(folder))
    found: list[Path] = []
    for root, folders, _ in os.walk(folder, onerror=unseen):
        here = {name for name in folders if _is_run(Path(root, name))}
        found.extend(Path(root, name) for name in here)
        folders[:] = [name for name in folders if name not in here and not name.startswith(".")]
    return sorted(found)


def _is_run(path: Path) -> bool:
    from holdfast.store.layout import is_run

    try:
        return is_run(path)
    except PermissionError:  # then the walk cannot look into it either, and says so
        return False


def _why_not(path: Path) -> str:
    from holdfast.store.layout import Layout, is_run

    if is_run(path.parent) and path.exists():
        return f"{path} is a part of a run (did you mean {str(path.parent)!r}?)"
    if not path.exists():
        return f"{path} does not exist{_near(path)}"
    if not path.is_dir():
        return f"{path} is a file; expected the directory of a run"
    within = ""
    if any(map(_is_run, _entries(path))):
        within = f"; there are runs in it, see: holdfast ls {path}"
    return f"{path} is no run: it has no {Layout(path).identity.name}{_near(path)}{within}"


def _near(path: Path) -> str:
    beside = [entry.name for entry in _entries(path.absolute().parent) if _is_run(entry)]
    return did_you_mean(path.name, beside)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
