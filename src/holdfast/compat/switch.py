"""enable() and disable(): what stands in for Keras's own, put in place and taken back.

Owns when. Leaves what stands in to the modules beside it: `calls` for `fit`, `saving` for files,
`imports` for modules that are gone, `old_methods`, `old_arguments`, `old_callbacks` and
`old_backend` for the rest.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from holdfast.compat import imports, old
from holdfast.compat.patches import Patches
from holdfast.compat.program import Program
from holdfast.config import choose_backend
from holdfast.errors import RunError


@dataclass(frozen=True)
class _InPlace:
    patches: Patches
    program: Program | None
    launched: bool

    @property
    def directory(self) -> Path | None:
        return self.program.directory if self.program is not None else None


_in_place: _InPlace | None = None
# A program may enable and disable again and again: its calls are counted all through.
_calls: dict[Path, int] = {}


class Enabled:
    """What `enable` returns: as a context manager it is disabled at the block's end.

    Attributes:
        directory: where the runs are; None in a worker's process, which has none.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    def __enter__(self) -> Enabled:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        disable()

    def __repr__(self) -> str:
        return f"<holdfast enabled, runs in {str(self.directory)!r}>"


def enable(
    runs: str | os.PathLike[str] = "runs",
    *,
    name: str | None = None,
    fresh: bool = False,
    quiet: bool = False,
) -> Enabled:
    """Make `keras.Model.fit` durable, and older Keras's names known, from here on.

    Call it first in a program or a notebook: before its imports of Keras, and before it seeds
    anything. Each call of `fit` is then a run in `runs/<name>/`. Started again after a kill, calls
    that had finished return at once, and the one that was interrupted goes on.

    In a program the n-th call of `fit` is the n-th run, and the random state of Python and numpy is
    seeded with a number that is drawn once and kept, so that each start draws the same. In a
    notebook a call is the run that has its plan, so that running a cell again returns at once; to
    train further, ask for more epochs.

    Args:
        runs: the directory for runs.
        name: of this program's directory in it; by default the script's or the notebook's name.
        fresh: move what is there aside and start over.
        quiet: do not say what is old in the program.

    Returns:
        A context manager that calls `disable` at its block's end; to be ignored elsewhere.

    Raises:
        RunError: the directory cannot be used.
        RunLockedError: another process uses it.

    Example:
        ```python
        import holdfast

        holdfast.enable()
        ```
    """
    # A worker's process imports the program by that name, before it knows of its parent.
    imported_as = getattr(sys.modules.get("__mp_main__"), "__name__", "")
    if imported_as == "__mp_main__" or multiprocessing.parent_process() is not None:
        # The runs are the program's.
        join()
        return Enabled(None)
    if _in_place is not None and _in_place.launched:  # by `holdfast run`: it has begun already
        return Enabled(_in_place.directory)
    disable()
    choose_backend()
    directory = (Path(runs) / (name or _name())).absolute()
    program = Program.open(directory, command=None, fresh=fresh, take_over=False)
    if directory in _calls and not fresh:
        program.call = _calls[directory]
    elif _shell() is None:
        program.sow()
        program.sow_numpy()
    _put_in_place(program, quiet=quiet, launched=False)
    return Enabled(directory)


def disable() -> None:
    """Take back what `enable` has put in place. Without it, or under `holdfast run`, do nothing."""
    global _in_place  # noqa: PLW0603
    if _in_place is None or _in_place.launched:
        return
    _in_place.patches.undo()
    if _in_place.program is not None:
        _calls[_in_place.program.directory] = _in_place.program.call
        _in_place.program.close()
    _in_place = None


def begin(program: Program, *, quiet: bool) -> None:
    """Put everything in place for a program that `holdfast run` is about to start."""
    program.sow()
    _put_in_place(program, quiet=quiet, launched=True)
    assert _in_place is not None
    imports.when_imported(_in_place.patches, "numpy", program.sow_numpy)


def join() -> None:
    """Make older names known in a process that a program has started, such as a worker's."""
    if _in_place is None:
        _put_in_place(None, quiet=True, launched=True)


def _put_in_place(program: Program | None, *, quiet: bool, launched: bool) -> None:
    global _in_place  # noqa: PLW0603
    old.begin(quiet=quiet)
    patches = Patches()
    _in_place = _InPlace(patches, program, launched)
    imports.install(patches, lambda: _put(patches, program))


def _put(patches: Patches, program: Program | None) -> None:
    """Put in place what needs Keras."""
    from holdfast.compat import (
        calls,
        old_arguments,
        old_backend,
        old_callbacks,
        old_methods,
        saving,
    )

    for module in (old_arguments, old_backend, old_callbacks, old_methods, saving):
        module.put(patches)
    if program is not None:
        shell = _shell()
        which: calls.Calls = (
            calls.Numbered(program)
            if shell is None
            else calls.ByPlan(program, lambda: int(shell.execution_count))
        )
        calls.put(patches, program, which)


def _shell() -> Any | None:
    """Return IPython's shell, in which notebooks run, or None in a program."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _name() -> str:
    """Return the name of the script or the notebook that is being run."""
    main = sys.modules.get("__main__")
    told = vars(main).get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    path = told if _shell() is not None else getattr(main, "__file__", None)
    if path:
        return Path(path).stem
    if _shell() is not None:
        return "notebook"
    raise RunError("this program has no file to be named by: enable(name=…) gives it a name")
