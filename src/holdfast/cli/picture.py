"""The verb that draws: plot.

Owns where the picture goes and the colours of a terminal. Leaves what is on it to
`holdfast.history`.
"""

from __future__ import annotations

import io
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli import output
from holdfast.cli.find import name_of, open_run
from holdfast.errors import RunError

if TYPE_CHECKING:
    from holdfast.history.curves import Curves

_DOTS_PER_INCH = 150
_STYLES = {
    "heading": "bold",
    "train": "cyan",
    "validation": "bold cyan",
    "best": "bold yellow",
    "mark": "magenta",
    "axis": "dim",
}
_RUNS = ("cyan", "yellow", "magenta", "green", "blue", "red")


@dataclass(frozen=True)
class Best:
    """The best epoch of a run: the metric it is judged by, and its value then."""

    metric: str
    epoch: int
    value: float


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a run. Each curve is a list of [epochs completed, value]."""

    name: str
    path: str
    best: Best | None
    restarts: Sequence[float]
    rollbacks: Sequence[float]
    stopped: int | None
    series: Mapping[str, Sequence[tuple[float, float]]]
    points: Mapping[str, Sequence[tuple[float, float]]]


def plot(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="The directory of a run; several to compare them.", readable=False
        ),
    ],
    picture: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            readable=False,
            help="Write a picture there, as .png, .svg or another kind matplotlib knows.",
        ),
    ] = None,
    as_json: output.AsJson = False,
) -> None:
    """Draw the losses and metrics of a run, or of several to compare.

    Prints a chart made of characters, as wide as the terminal. The best epoch is marked, and
    where a run went on after a restart (>), rolled back (<) or was stopped early (X). Epochs
    that share a column are drawn as their mean. With --output a picture is written instead,
    and its path is printed; that needs matplotlib: pip install "holdfast[plot]".
    """
    if as_json and picture is not None:
        output.complain("--json and --output each replace the chart; expected one of them")
        raise typer.Exit(2)
    runs = {path: open_run(path).history for path in dict.fromkeys(paths)}
    for path, curves in runs.items():
        if not curves.series and not curves.points:
            raise RunError(f"{path}: no epoch has ended yet; there is nothing to draw")
    if as_json:
        output.print_json({"runs": [asdict(_drawn(*run)) for run in runs.items()]})
    elif picture is not None:
        _write(_figure(_named(runs)), picture)
    else:
        _print(_named(runs))


def _named(runs: Mapping[Path, Curves]) -> dict[str, Curves]:
    """Return the runs by name; where two have the same name, by what was typed."""
    names = [name_of(path) for path in runs]
    shown = [str(path) for path in runs] if len(set(names)) < len(names) else names
    return {output.plain(name): run for name, run in zip(shown, runs.values(), strict=True)}


def _drawn(path: Path, curves: Curves) -> Drawn:
    best = curves.best()
    return Drawn(
        name=name_of(path),
        path=str(path),
        best=Best(*best) if best is not None else None,
        restarts=curves.restarts,
        rollbacks=curves.rollbacks,
        stopped=curves.stopped,
        series=curves.series,
        points=curves.points,
    )


def _print(runs: Mapping[str, Curves]) -> None:
    from rich.console import Console
    from rich.text import Text

    from holdfast.history.chart import ASCII, FULL, chart

    # Not rich's own idea of the width, which is endless in a pipe.
    width = shutil.get_terminal_size().columns
    console = Console(highlight=False, width=width)
    for pieces in chart(runs, width, FULL if _can_say(FULL) else ASCII):
        line = Text()
        for role, same in groupby(pieces, key=lambda piece: piece[1]):
            line.append(output.plain("".join(text for text, _ in same)), _style(role))
        line.rstrip()
        console.print(line, soft_wrap=True)


def _style(role: str) -> str:
    kind, _, number = role.partition(" ")
    return _RUNS[int(number) % len(_RUNS)] if kind == "run" else _STYLES.get(role, "")


def _can_say(signs: object) -> bool:
    try:
        str(signs).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _figure(runs: Mapping[str, Curves]) -> Any:
    from holdfast.history.figure import compare, draw

    if len(runs) > 1:
        return compare(runs)
    ((name, curves),) = runs.items()
    return draw(curves, title=name)


def _write(figure: Any, target: Path) -> None:
    from holdfast.store import files

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
