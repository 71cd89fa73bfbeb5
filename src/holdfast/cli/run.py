"""The verb that runs a program, durably: run.

Owns its options, and where the program's runs go. Leaves the program to `compat`: this process
becomes it, or with --restarts stays beside it.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Literal

import typer

from holdfast.cli import output


def run(
    script: Annotated[
        str,
        typer.Argument(
            metavar="SCRIPT", help="The program: a script, or a directory or zip file as Python's."
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="Whatever comes after it is the program's own."),
    ] = None,
    runs: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the directories of programs are.")
    ] = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of its directory there; by default the script's."),
    ] = None,
    *,
    module: Annotated[bool, typer.Option("-m", help="SCRIPT is a module's name.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move what was done aside and start over.")
    ] = False,
    restarts: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Start it again when it dies of a signal or an exception, at most so often.",
        ),
    ] = 0,
    backend: Annotated[
        Literal["jax", "torch", "tensorflow"] | None, typer.Option(help="Keras's backend.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Do not say what is old in the program.")
    ] = False,
    take_over: output.TakeOver = False,
    modernize: Annotated[
        bool,
        typer.Option(
            "--modernize", help="Run nothing: print what to change for today's Keras, as a diff."
        ),
    ] = False,
) -> None:
    """Run a program as python would, with every fit in it durable.

    Killed and started again it goes on: calls of fit that had finished return at once, the one
    that was interrupted goes on from its last checkpoint. Programs for older Keras run as they
    stand. The n-th call's run is DIR/NAME/<n>-<model's name>. The exit code is the program's own.

    With --restarts it is not started again where it exits by itself, is stopped through this
    process, or raises the same exception twice at the same position.
    """
    found = Path(script)
    if module:
        _check_module(script, modernize=modernize)
    else:
        _check_file(found)
    if modernize:
        _modernize(found)
        return
    directory = runs.absolute() / _checked(name or (script if module else found.resolve().stem))
    _start(
        directory,
        [script, *(arguments or ())],
        restarts,
        backend,
        module=module,
        fresh=fresh,
        quiet=quiet,
        take_over=take_over,
        named=name is not None,
    )


def _start(
    directory: Path,
    words: list[str],
    restarts: int,
    backend: str | None,
    *,
    module: bool,
    fresh: bool,
    quiet: bool,
    take_over: bool,
    named: bool,
) -> None:
    """Become the program's process; with `restarts`, start it and stay beside it."""
    import secrets

    from holdfast.compat.launch import command
    from holdfast.compat.program import peek_hash_seed
    from holdfast.compat.supervise import end_as, supervise

    anew = fresh and directory.exists()
    environment = dict(os.environ)
    # Python takes it at the start of a process alone.
    seed = secrets.randbits(32) if anew else peek_hash_seed(directory, words[0], named=named)
    environment.setdefault("PYTHONHASHSEED", str(seed))
    if backend is not None:
        environment["KERAS_BACKEND"] = backend
    first, again = (
        command(
            directory,
            words[0],
            words[1:],
            module=module,
            fresh=over,
            quiet=quiet,
            take_over=take_over,
        )
        for over in (anew, False)
    )
    if restarts:
        end_as(supervise(first, again, environment, directory, restarts))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(first[0], first, environment)


def _modernize(script: Path) -> None:
    from holdfast.compat.modernize import modernize

    modern = modernize(script)
    sys.stdout.write(modern.diff)
    for note in modern.notes:
        output.complain(note)


def _check_file(script: Path) -> None:
    try:
        if not script.is_dir():
            script.open("rb").close()
    except OSError as error:
        _refuse(f"can't open file {str(script)!r}: {error.strerror}")


def _check_module(name: str, *, modernize: bool) -> None:
    if modernize:
        raise typer.BadParameter("--modernize takes a script's file, not -m")
    top = name.partition(".")[0]
    known = top in sys.builtin_module_names or PathFinder.find_spec(top, [os.getcwd(), *sys.path])
    if not known:
        _refuse(f"no module named {top!r}, here or where Python looks")


def _checked(name: str) -> str:
    if name != os.path.basename(name) or name in ("", ".", ".."):
        raise typer.BadParameter(f"expected one word for a directory, found {name!r}; use --runs")
    return name


def _refuse(problem: str) -> None:
    output.complain(problem)
    raise typer.Exit(2)
