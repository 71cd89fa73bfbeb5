"""The verb that deletes: prune.

Owns what is said of it. Leaves the choice to `store/retention`, the deleting to `store/prune`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import output
from holdfast.cli.find import RunPath, name_of, open_run
from holdfast.cli.output import AsJson

if TYPE_CHECKING:
    from holdfast.store.prune import Pruned
    from holdfast.store.verify import Finding

# Those of `Keep`, which the help is not to import: a test holds them the same.
_LAST = 2
_BEST = 1


class Mode(StrEnum):
    """Which values of a metric are better."""

    AUTO = "auto"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True)
class Choice:
    """What became of a checkpoint, and why."""

    file: str
    step: int
    epoch: int
    keep: bool
    reason: str


@dataclass(frozen=True)
class Unneeded:
    """A file that went and is no checkpoint, and why."""

    file: str
    reason: str


def prune(
    path: RunPath,
    last: Annotated[
        int, typer.Option(min=1, metavar="N", help="Keep so many of the newest.")
    ] = _LAST,
    best: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Keep so many of the best, among those of an epoch's end."
        ),
    ] = _BEST,
    every_epochs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Also keep those at the end of each so many epochs."),
    ] = None,
    monitor: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The metric by which the best are judged; by default val_loss, or loss.",
        ),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="Which values of it are better; auto goes by its name.")
    ] = Mode.AUTO,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")
    ] = False,
    take_over: output.TakeOver = False,
    as_json: AsJson = False,
) -> None:
    """Delete the checkpoints that no rule keeps.

    Says of each why it stays or goes, and which files that none needs go with them. The
    newest checkpoint and what the training returned always stay. A run that is running prunes
    by itself; here it is refused, but for a dry run.
    """
    from holdfast.cli import facts
    from holdfast.store.retention import Keep

    run = open_run(path)
    keep = Keep(last, best, every_epochs, monitor, mode.value)
    if best and monitor is not None:
        # A misspelt metric would keep none of the best: refuse it before anything goes.
        run.best(monitor, mode.value)
    checkpoints = {item.path.name: item for item in run.checkpoints}
    problems = facts.unreadable(run, list(checkpoints.values()))
    pruned = run.prune(keep, dry_run=dry_run, take_over=take_over)
    choices = [
        Choice(
            file=str(checkpoints[item.name].path.relative_to(run.path)),
            step=checkpoints[item.name].position.total,
            epoch=checkpoints[item.name].position.epoch,
            keep=item.keep,
            reason=item.reason,
        )
        for item in pruned.decisions
        if item.name in checkpoints  # a running run may have just saved another
    ]
    unneeded = [Unneeded(str(item.relative_to(run.path)), why) for item, why in pruned.unneeded]
    if as_json:
        output.print_json(
            {
                "name": name_of(path),
                "path": str(path),
                "dry_run": dry_run,
                "freed": pruned.freed,
                "checkpoints": [asdict(choice) for choice in choices],
                "unneeded": [asdict(item) for item in unneeded],
                "removed": [str(item.relative_to(run.path)) for item in pruned.removed],
                "problems": [asdict(finding) for finding in problems],
            }
        )
    else:
        _print(choices, unneeded, pruned, problems, dry_run=dry_run)
    if problems:
        raise typer.Exit(1)


def _print(
    choices: Sequence[Choice],
    unneeded: Sequence[Unneeded],
    pruned: Pruned,
    problems: Sequence[Finding],
    *,
    dry_run: bool,
) -> None:
    output.print_table(
        ["checkpoint", "epoch", "", "why"],
        [
            [str(item.step), str(item.epoch), "stays" if item.keep else "goes", item.reason]
            for item in choices
        ],
        right=("checkpoint", "epoch"),
    )
    if unneeded:
        output.say()
        output.print_table(
            ["file", "", "why"], [[item.file, "goes", item.reason] for item in unneeded]
        )
        output.say()
    going = output.count(sum(not item.keep for item in choices), "checkpoint")
    files = output.count(len(pruned.removed), "file")
    done = "would go" if dry_run else "went"
    freed = "would be freed; nothing was deleted" if dry_run else "freed"
    output.say(f"{going} {done} ({files}), {output.size(pruned.freed)} {freed}")
    for finding in problems:
        output.say(f"damaged: {finding.file}: {finding.problem}")
    if problems:
        output.say("What is damaged stays, and all packs with it: it might need them.")
