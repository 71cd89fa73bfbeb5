"""Writes docs/cli.md from what `holdfast --help` says: `python docs/make_cli.py`.

Owns the page's frame. Leaves the words on the verbs to their help texts, and the keys of the
JSON to the values that are printed.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import typer

from holdfast.cli.convert import Converted
from holdfast.cli.facts import Attempt, Portrait, Rollback, Row, Saved
from holdfast.cli.file_facts import ArrayFacts, FileFacts, LayerFacts
from holdfast.cli.main import app
from holdfast.cli.picture import Best, Drawn
from holdfast.cli.predict import Predicted
from holdfast.cli.prune import Choice, Unneeded
from holdfast.exporting.measuring import Loss
from holdfast.exporting.order import Exported
from holdfast.formats.model_file import Problem
from holdfast.store.lock import Holder
from holdfast.store.repair import Moved, Repair
from holdfast.store.verify import Finding, Verified
from holdfast.types import Position

PAGE = Path(__file__).with_name("cli.md")
# Other versions of typer lay the same help out otherwise.
MADE_WITH = f"typer {'.'.join(version('typer').split('.')[:2])}"
_WIDTH = 80

_FRAME = f"""\
<!-- Made by docs/make_cli.py with {MADE_WITH}; change the help texts, not this page. -->

# The command line

`holdfast` runs programs, looks after the runs on disk and after files of models, and judges with
what was trained. It needs neither Keras nor a backend, but to convert and export, to judge with
what only Keras runs, and for what a program needs; so it starts at once, and it works while a
training is running.

{{verbs}}

## Exit codes

| code | meaning |
| --- | --- |
| 0 | all is well; `ls` where there are no runs, too |
| 1 | what was asked about is not there (no run, no checkpoint, no epoch yet) or not sound \
(findings, damage, a newer format); or it could not be read or written (locked by a process, \
refused by the disk) |
| 2 | the command line is wrong |

`holdfast run` exits as its program does, and as the table says where that could not be started.

What is wrong is said in a line on the standard error that begins with `holdfast:`; findings
and tables are on the standard output.

## JSON

With `--json` a verb prints one JSON document on the standard output and nothing else there.
Keys stay what they are. Times are seconds since 1970, sizes are bytes, epochs and steps are
those completed, and a number that JSON does not know (NaN, infinity) is null. A `status` is
`running`, `interrupted`, `finished`, `failed` or, where `problem` says why, `unreadable`; an
attempt's `end` is `running`, `finished`, `stopped` (a signal), `failed` (an exception) or
`killed` (it could not write how it ended).

{{json}}
"""

_DOCUMENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("`ls`", ("runs",)),
    ("each of `runs`", tuple(item.name for item in fields(Row))),
    ("`show`", tuple(item.name for item in fields(Portrait))),
    ("each of `attempts`", tuple(item.name for item in fields(Attempt))),
    ("each of `rollbacks`", tuple(item.name for item in fields(Rollback))),
    ("each of `checkpoints`", tuple(item.name for item in fields(Saved))),
    ("`position`", tuple(item.name for item in fields(Position))),
    ("`holder`", tuple(item.name for item in fields(Holder))),
    ("`verify`", ("name", "path", "sound", *(item.name for item in fields(Verified)))),
    ("`verify --repair`", ("name", "path", "sound", *(item.name for item in fields(Repair)))),
    ("each of its `moved`", tuple(item.name for item in fields(Moved))),
    (
        "each of `findings`, `problems`, `mended` and `unmended`",
        tuple(item.name for item in fields(Finding)),
    ),
    ("`plot`", ("runs",)),
    ("each of its `runs`", tuple(item.name for item in fields(Drawn))),
    ("`best`", tuple(item.name for item in fields(Best))),
    (
        "`prune`",
        ("name", "path", "dry_run", "freed", "checkpoints", "unneeded", "removed", "problems"),
    ),
    ("each of its `checkpoints`", tuple(item.name for item in fields(Choice))),
    ("each of its `unneeded`", tuple(item.name for item in fields(Unneeded))),
    ("`inspect`", tuple(item.name for item in fields(FileFacts))),
    ("each of its `layers`", tuple(item.name for item in fields(LayerFacts))),
    ("each of its `arrays`", tuple(item.name for item in fields(ArrayFacts))),
    ("each of its `problems`", tuple(item.name for item in fields(Problem))),
    ("`convert`", tuple(item.name for item in fields(Converted))),
    (
        "`export`, a list of these where several are written",
        tuple(item.name for item in fields(Exported)),
    ),
    ("its `loss`", tuple(item.name for item in fields(Loss))),
    ("`predict`", tuple(item.name for item in fields(Predicted))),
)


def page() -> str:
    """Return the page as it should be."""
    command = typer.main.get_command(app)
    top = typer.Context(
        command, info_name="holdfast", terminal_width=_WIDTH, **command.context_settings
    )
    parts = [_block(command.get_help(top))]
    for name, verb in command.commands.items():  # type: ignore[attr-defined]
        context = typer.Context(verb, info_name=name, parent=top, terminal_width=_WIDTH)
        parts.append(f"## holdfast {name}\n\n{_block(verb.get_help(context))}")
    keys = [f"| {of} | {', '.join(f'`{name}`' for name in names)} |" for of, names in _DOCUMENTS]
    return _FRAME.format(
        verbs="\n\n".join(parts), json="\n".join(["| of | keys |", "| --- | --- |", *keys])
    )


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
