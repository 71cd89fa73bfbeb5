"""The verb that judges files: predict.

Owns its options and what is printed of it: the answers on the standard output where no file is
named, and what was decided and how far it is on the standard error. Leaves the work to
`prediction`.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import classes as class_names
from holdfast.cli import output
from holdfast.cli.output import AsJson

if TYPE_CHECKING:
    from rich.progress import Progress

    from holdfast.prediction.inputs import Inputs

_LONG = 1.0
_SHOW_EVERY = 0.2


@dataclass(frozen=True)
class Predicted:
    """What was judged.

    Args:
        model: the file or run.
        runtime: the library that ran it.
        out: the file of answers.
        rows: how many samples there were.
        seconds: that reading, judging and writing took, without loading the model.
        rows_a_second: the one by the other.
    """

    model: str
    runtime: str
    out: str
    rows: int
    seconds: float
    rows_a_second: float


def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A run (its best), or a model's file: .onnx, .tflite, .keras, …"
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help=".npy, .npz, .csv, .parquet, .jsonl, images, folders of images, or - for JSON "
            "lines from the standard input.",
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="The file to write: .csv, .npy, .npz, .parquet or .jsonl. By default JSON lines "
            "to the standard output.",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(metavar="N", min=1, help="Samples that are judged together.")
    ] = 256,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the classes, with commas, or a file with one a line. By default what "
            "the model's file says.",
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="BLACK:WHITE",
            help="The numbers that images become. By default what the words about the input say, "
            "else 0:255 for a model that scales them for itself or takes whole numbers, else 0:1.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Columns of a table that count, by name or number (the first is 1), with "
            "commas. By default all.",
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line of a .csv has names. By default found out.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge files with a model: a line of answers for each sample.

    Reads, judges and writes a part at a time: memory does not grow with the input. OUT gets its
    name when it is whole. What was decided, such as how images became numbers, is said on the
    standard error.
    """
    if as_json and out is None:
        raise typer.BadParameter(
            "needs --out: the answers are on the standard output", param_hint="--json"
        )
    from holdfast import judge
    from holdfast.prediction import predict as predicting
    from holdfast.prediction import writing
    from holdfast.prediction.inputs import Inputs

    judging = judge.load(model)
    names = class_names.parse(classes) or judging.about.classes
    source = Inputs(
        inputs,
        judging.signature,
        judging.about,
        batch=batch,
        scale=_scale(scale),
        header=header,
        columns=[name.strip() for name in columns.split(",")] if columns else (),
        say=_note,
    )
    bar = _Bar(source, to_terminal=out is None and sys.stdout.isatty())
    began = time.monotonic()
    try:
        if out is None:
            lines = writing.JsonLines(sys.stdout.buffer)
            predicting.predict(judging, source, lines, names, bar.show)
            return
        rows = predicting.predict_to(out, judging, source, names, bar.show)
    except BrokenPipeError:
        # Who reads has enough. The interpreter would fail again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    finally:
        bar.stop()
        judging.close()
    seconds = time.monotonic() - began
    done = Predicted(str(model), judging.runtime, str(out), rows, seconds, rows / seconds)
    if as_json:
        output.print_json(asdict(done))
    else:
        output.say(f"{out}: {output.count(rows, 'row')} in {seconds:.2f} s by {judging.runtime}")


def _note(text: str) -> None:
    typer.echo(f"holdfast: {output.plain(text)}", err=True)


def _scale(given: str | None) -> tuple[float, float] | None:
    if given is None:
        return None
    try:
        black, white = map(float, given.split(":"))
    except ValueError:
        raise typer.BadParameter(
            f"expected two numbers such as 0:255, found {given!r}", param_hint="--scale"
        ) from None
    return black, white


class _Bar:
    """How far it is, on a terminal's standard error, where it takes long.

    Args:
        inputs: what is read.
        to_terminal: whether answers go to the terminal: they are progress enough.
    """

    def __init__(self, inputs: Inputs, *, to_terminal: bool) -> None:
        self._inputs = inputs
        self._wanted = sys.stderr.isatty() and not to_terminal
        self._began = self._shown = time.monotonic()
        self._bar: Progress | None = None

    def show(self, rows: int) -> None:
        """Show how many rows are done, and which part of the files is read."""
        now = time.monotonic()
        if not self._wanted or now - self._began < _LONG or now - self._shown < _SHOW_EVERY:
            return
        self._shown = now
        if self._bar is None:
            self._bar = self._begin(rows)
        self._bar.update(self._bar.task_ids[0], completed=self._inputs.done, rows=rows)
        self._bar.refresh()

    def stop(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()

    def _begin(self, rows: int) -> Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("{task.fields[rows]:,} rows"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=True,
        )
        bar.add_task("", total=self._inputs.size, completed=self._inputs.done, rows=rows)
        bar.start()
        return bar
