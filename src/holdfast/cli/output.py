"""How the command line prints: tables and lines for people, JSON for programs.

Owns the form of what is printed. Leaves what is printed to the verbs. Rich is imported
for tables alone.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from holdfast.types import Json

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="Go on although a process on another host did not let go; it must be dead.",
    ),
]

# In a pipe or a file no line is cut to a terminal's width.
_WIDE = 10_000
_LONGEST_COMPLAINT = 6
_STYLES = {
    "running": "cyan",
    "finished": "green",
    "interrupted": "yellow",
    "failed": "red",
    "unreadable": "red",
}


def say(text: str = "") -> None:
    """Print a line."""
    typer.echo(plain(_from_here(text)))


def complain(text: str) -> None:
    """Print what is wrong to the standard error, in few lines."""
    lines = [line for line in _from_here(text).splitlines() if line.strip()][:_LONGEST_COMPLAINT]
    typer.echo("holdfast: " + "\n".join(map(plain, lines)), err=True)


def print_json(value: Json) -> None:
    """Print one JSON document; a number that JSON does not know is null."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()
) -> None:
    """Print a table.

    Args:
        columns: their headings.
        rows: a text for each column.
        right: the columns that are numbers.
    """
    from rich.table import Table
    from rich.text import Text

    numbers = set(right)
    rows = [list(map(plain, row)) for row in rows]
    console = _console()
    lines = _lined_up(columns, rows, numbers)
    if all(line.cell_len <= console.width for line in lines):
        # What rich makes of it, but for folding, in a fraction of the time.
        console.print(Text("\n").join(lines), soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console.print(table)


def _lined_up(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str]
) -> list[Text]:
    """Return the lines of a table, the headings first."""
    from rich.cells import cell_len
    from rich.text import Text

    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    lines = []
    for number, row in enumerate([columns, *rows]):
        line = Text(style="" if number else "bold")
        for place, (name, text, width) in enumerate(zip(columns, row, widths, strict=True)):
            room = " " * (width - cell_len(text))
            line.append("  " if place else "")
            line.append(room if name in right else "")
            line.append(text, _STYLES.get(text, "") if number else "")
            line.append("" if name in right else room)
        lines.append(line)
    return lines


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names with what they are, one a line."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(Text(name, style="bold"), _cell(fact))
    _console().print(table)


def plain(text: str) -> str:
    """Return a text without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _from_here(text: str) -> str:
    """Return a text with the paths below the working directory as people type them."""
    return text.replace(f"{Path.cwd()}{os.sep}", "")


def reason(error: OSError) -> str:
    """Return what the system said was wrong, and with which file."""
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


def moment(seconds: float) -> str:
    """Return a time since 1970 as a local date and time."""
    from datetime import datetime

    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    from rich.filesize import decimal

    return decimal(count)


def count(number: int, what: str) -> str:
    """Return a number of things, in the singular where there is one."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def metric(value: float | None) -> str:
    """Return a metric's value, or a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def metrics(values: Mapping[str, float]) -> str:
    """Return metrics in one line, the losses first."""
    first = [name for name in ("val_loss", "loss") if name in values]
    names = [*first, *sorted(set(values) - set(first))]
    return ", ".join(f"{name} {metric(values[name])}" for name in names)


def _cell(text: str) -> Text:
    from rich.text import Text

    return Text(plain(text), style=_STYLES.get(text, ""))


def _finite(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
