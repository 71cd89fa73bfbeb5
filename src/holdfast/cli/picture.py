"""The verb that draws: plot.

Owns where the picture goes. Leaves what is on it to `holdfast.history`.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli import output
from holdfast.cli.find import RunPath, name_of, open_run
from holdfast.errors import RunError
from holdfast.history import draw
from holdfast.store import files

_DOTS_PER_INCH = 150


def plot(
    path: RunPath,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            readable=False,
            help="Where to write it, as .png, .svg or another kind matplotlib knows; "
            "by default the run's name with .png, in the current directory.",
        ),
    ] = None,
) -> None:
    """Draw a run's losses and metrics.

    The best epoch and the restarts are marked. Prints the path of the picture. Needs
    matplotlib: pip install "holdfast[plot]".
    """
    run = open_run(path)
    target = picture or Path(f"{name_of(path)}.png")
    curves = run.history
    if not curves.series:
        raise RunError(f"{path}: no epoch has ended yet; there is nothing to draw")
    figure = draw(curves, title=output.plain(name_of(path)))
    _check_target(figure, target)
    data = _render(figure, _ending(target))
    try:
        files.replace(target, data)
    except OSError as error:
        # It may name the file beside the picture that is renamed to it: nobody typed that.
        raise OSError(error.errno, error.strerror, str(target)) from error
    output.say(str(target))


def _render(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A letter of the run's name that the font lacks is drawn as a box, and that is all.
        warnings.filterwarnings("ignore", "Glyph ")
        figure.savefig(buffer, format=kind, dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _check_target(figure: Any, target: Path) -> None:
    """Exit as for a wrong command line where no picture can be written to the target."""
    kinds = figure.canvas.get_supported_filetypes()
    problem = None
    if _ending(target) not in kinds:
        problem = f"{target}: expected a name that ends in .png or .svg (or " + (
            ", ".join(f".{kind}" for kind in sorted(kinds) if kind not in ("png", "svg")) + ")"
        )
    elif target.is_dir():
        problem = f"{target} is a directory; expected the name of a file"
    elif not target.parent.is_dir():
        problem = f"{target.parent} is no directory; make it first"
    if problem is not None:
        output.complain(problem)
        raise typer.Exit(2)


def _ending(target: Path) -> str:
    return target.suffix.removeprefix(".").lower()
