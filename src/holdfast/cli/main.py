"""The command line's entry: its verbs, its exit codes, and how an error reads.

Owns which verbs there are and what becomes of an error that reaches the top. Leaves each verb
to the file of its family. Imports neither Keras nor a backend, but to convert and to modernize, and
matplotlib only to draw. A verb imports what it needs when it runs: the help needs typer alone.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from holdfast.cli import (
    convert,
    export,
    inspect,
    inspect_file,
    output,
    picture,
    predict,
    prune,
    run,
    serve,
)
from holdfast.errors import HoldfastError

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help is the same on every terminal, so the page made of it does not change.
    rich_markup_mode=None,
)
# What stands after the program's name is the program's, also what looks like an option.
app.command(context_settings={"allow_interspersed_args": False})(run.run)
for _verb in (
    inspect.ls,
    inspect.show,
    inspect.verify,
    picture.plot,
    prune.prune,
    inspect_file.inspect,
    convert.convert,
    export.export,
    predict.predict,
    serve.serve,
):
    app.command()(_verb)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.say(f"holdfast {version('holdfast')}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0, all is well; 1, what was asked about is not there or not sound, "
    "or it could not be read or written; 2, the command line is wrong. "
    "run exits as its program does."
)
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Run Keras trainings that cannot be lost, and look after them and after files of models."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; an error of Holdfast or of the disk is one line.

    Args:
        arguments: without the program's name; by default the process's.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Not every name can be said in every terminal's encoding; printing it must not fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args=arguments, prog_name="holdfast")
    except HoldfastError as error:
        output.complain(str(error))
    except OSError as error:
        output.complain(output.reason(error))
    sys.exit(1)
