"""Runs a program as `python script.py arguments` does, under `holdfast run`.

Owns what the program sees of its own start and end: `__main__`, `sys.argv`, `sys.path`, tracebacks
without Holdfast's part in them, the exit status; and that worker processes which import the program
again know older names too. Leaves what stands in for Keras's own to `switch`, what is kept of the
program to `program`, and starting it again to `supervise`.

This is the process that the program runs in: `python -P -m holdfast.compat.launch`, with what
`command` returns.
"""

from __future__ import annotations

import atexit
import builtins
import importlib.machinery
import io
import os
import pkgutil
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from holdfast.compat import switch
from holdfast.compat.old import say
from holdfast.compat.program import Program
from holdfast.errors import HoldfastError, Interrupted

_BEGIN = "--"
_LONGEST = 200
_TOO_LARGE = 2**63


def command(
    directory: Path,
    target: str,
    arguments: Sequence[str],
    *,
    module: bool = False,
    fresh: bool = False,
    quiet: bool = False,
    take_over: bool = False,
) -> list[str]:
    """Return the command of the process that runs a program.

    Args:
        directory: of the program.
        target: the script, or the module's name.
        arguments: the program's own.
        module: whether `target` is a module's name.
        fresh, quiet, take_over: see `Program` and `switch.begin`.
    """
    chosen = {"-m": module, "--fresh": fresh, "--quiet": quiet, "--take-over": take_over}
    flags = [flag for flag, given in chosen.items() if given]
    # Without -P the working directory would be searched for what Holdfast imports.
    python = [sys.executable, "-P", "-m", "holdfast.compat.launch"]
    return [*python, str(directory), *flags, _BEGIN, target, *arguments]


def main(words: Sequence[str]) -> None:
    """Run the program that the words after `holdfast.compat.launch` say."""
    directory, *rest = words
    cut = rest.index(_BEGIN)
    flags, (target, *arguments) = rest[:cut], rest[cut + 1 :]
    try:
        program = Program.open(
            Path(directory),
            command=[target, *arguments],
            fresh="--fresh" in flags,
            take_over="--take-over" in flags,
        )
        switch.begin(program, quiet="--quiet" in flags)
    except HoldfastError as error:
        say(str(error))
        sys.exit(1)
    _tell_workers()
    _run(program, _module if "-m" in flags else _script, target, arguments)


def _run(
    program: Program,
    start: Callable[[str, Sequence[str]], None],
    target: str,
    arguments: Sequence[str],
) -> None:
    """Run the program, and record how it ends."""
    statuses = [0]

    def ended() -> None:
        if program.is_here and statuses:
            program.ended(statuses[-1])

    # The first to be registered is the last to be called.
    atexit.register(ended)
    try:
        start(target, arguments)
    except BaseException as error:
        trace = _below_this_module(error.__traceback__)
        if isinstance(error, SystemExit) and not isinstance(error, Interrupted):
            statuses.append(_status(error))
        elif program.is_here:
            statuses.clear()
            program.died(_reason(error), _where(error, trace))
        _hide_this_module(error, trace)
        # Python itself does the rest: it prints, waits for threads, and dies of Ctrl-C.
        raise


def _script(path: str, arguments: Sequence[str]) -> None:
    """Run a file, or a directory or zip file with a `__main__.py` in it."""
    sys.argv = [path, *arguments]
    name = os.path.join(os.getcwd(), path)  # as Python joins them: tracebacks show it
    if pkgutil.get_importer(name) is not None:
        sys.path.insert(0, name)
        _new_main()
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    main = _new_main()
    loader: Any
    if name.endswith(".pyc"):
        loader = importlib.machinery.SourcelessFileLoader("__main__", name)
        code = loader.get_code("__main__")
    else:
        loader = importlib.machinery.SourceFileLoader("__main__", name)
        with io.open_code(name) as file:
            source = file.read()
        code = compile(source, name, "exec", dont_inherit=True)
    vars(main).update(__file__=name, __cached__=None, __loader__=loader)
    exec(code, vars(main))


def _module(name: str, arguments: Sequence[str]) -> None:
    """Run a module by its name, as `python -m` does."""
    sys.argv = ["-m", *arguments]
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, os.getcwd())
    _new_main()
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def _new_main() -> ModuleType:
    """Put an empty `__main__` in the place of Holdfast's own."""
    main = ModuleType("__main__")
    vars(main).update(__annotations__={}, __builtins__=builtins)
    sys.modules["__main__"] = main
    return main


def _below_this_module(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _hide_this_module(error: BaseException, trace: TracebackType | None) -> None:
    """Have the program's last error shown as if Python had started it, by the program's hook."""
    hook = sys.excepthook

    def show(kind: type[BaseException], found: BaseException, whole: TracebackType | None) -> None:
        if found is error:
            error.__traceback__ = sys.last_traceback = whole = trace
        hook(kind, found, whole)

    sys.excepthook = show


def _status(error: SystemExit) -> int:
    """Return the exit status that Python makes of it."""
    if error.code is None or not isinstance(error.code, int):
        return 0 if error.code is None else 1
    return error.code & 0xFF if -_TOO_LARGE <= error.code < _TOO_LARGE else 0xFF


def _reason(error: BaseException) -> str:
    """Return what the program dies of, in a line."""
    if isinstance(error, Interrupted):
        return f"stopped by {signal.Signals(error.signal).name}"
    try:
        said = str(error).strip().partition("\n")[0]
    except Exception:
        said = ""
    return ": ".join(filter(None, (type(error).__qualname__, said)))[:_LONGEST]


def _where(error: BaseException, trace: TracebackType | None) -> str:
    """Return the line of the program in which it happened."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
    folder = os.path.dirname(getattr(sys.modules.get("__main__"), "__file__", None) or os.getcwd())
    own = [
        place
        for place in places
        if place[0].startswith(folder + os.sep) and "site-packages" not in place[0]
    ]
    name, line = (own or places or [("", 0)])[-1]
    return f"{os.path.normpath(name)}:{line}" if name else ""


class _Join:
    """Unpickled in a worker process, before that imports the program, it has the shims in place."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return switch.join, ()


def _tell_workers() -> None:
    """Have processes that import the program anew, by spawn or forkserver, know older names."""
    from multiprocessing import spawn

    prepared = spawn.get_preparation_data

    def with_shims(name: str) -> dict[str, Any]:
        data: dict[str, Any] = prepared(name)
        if name != "ignore":
            return {"holdfast": _Join(), **data}
        # The fork server's own: it is told by words, not by a pickle. Its children import the
        # program each for themselves.
        for key in ("init_main_from_name", "init_main_from_path"):
            data.pop(key, None)
        return data

    spawn.get_preparation_data = with_shims


if __name__ == "__main__":
    main(sys.argv[1:])
