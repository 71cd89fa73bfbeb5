"""The verbs that look: ls, show, verify. They change nothing, but for `verify --repair`.

Owns what these verbs print and with which code they exit. Leaves the facts to `facts`.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import output
from holdfast.cli.find import RunPath, find_run, find_runs, name_of, open_run
from holdfast.cli.output import AsJson

if TYPE_CHECKING:
    from holdfast.cli.facts import Attempt, Portrait, Rollback, Row, Saved
    from holdfast.cli.programs import Program
    from holdfast.store.repair import Repair

_SHORT = 12


def ls(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to look.", readable=False)
    ] = Path(),
    *,
    as_json: AsJson = False,
) -> None:
    """List the runs in a directory and below it.

    A run that cannot be read is listed too, with what is wrong, and the exit code is 1.
    """
    from holdfast.cli.facts import row
    from holdfast.run import Run

    unseen: list[OSError] = []
    paths = find_runs(folder, unseen.append)
    rows = [
        row(Run(path), name_of(path) if path == folder else str(path.relative_to(folder)))
        for path in paths
    ]
    if as_json:
        output.print_json({"runs": [asdict(item) for item in rows]})
    elif rows:
        _print_rows(rows)
    else:
        output.say(f"no runs in {folder}")
    for error in unseen:
        output.complain(output.reason(error))
    if unseen or any(item.problem for item in rows):
        raise typer.Exit(1)


def show(path: RunPath, *, as_json: AsJson = False) -> None:
    """Show where a run stands, and how it got there.

    Tells who it is, each attempt with how it ended, and the checkpoints as their manifests
    have them; whether each byte is sound is for verify to say. The exit code is 1 where a
    part cannot be read. Of a program's directory, made by `holdfast run`, it tells each start
    with how it ended, and the runs of its calls of fit.
    """
    from holdfast.cli import programs
    from holdfast.cli.facts import portrait

    if programs.is_program(path):
        _show_program(programs.program(path), as_json=as_json)
        return
    shown = portrait(open_run(path))
    if as_json:
        output.print_json(asdict(shown))
    else:
        _print_portrait(shown)
    if shown.problems:
        raise typer.Exit(1)


def verify(
    path: RunPath,
    *,
    mend: Annotated[
        bool,
        typer.Option(
            "--repair", help="Move what is broken or not needed to lost+found/ of the run."
        ),
    ] = False,
    take_over: output.TakeOver = False,
    as_json: AsJson = False,
) -> None:
    """Read everything a run has and check every sum.

    Prints one line where all is sound, else each finding on a line; the exit code is then 1.
    With --repair, what is broken and what no sound checkpoint needs is moved to lost+found/ of
    the run: nothing is deleted, and the training goes on from the newest sound checkpoint. The
    exit code is then 1 only where something could not be mended.
    """
    run = find_run(path)
    if take_over and not mend:
        raise typer.BadParameter("--take-over is for --repair: only what writes needs the lock")
    if mend:
        _repair(path, run.repair(take_over=take_over), as_json=as_json)
        return
    found = run.verify()
    if as_json:
        output.print_json(
            {
                "name": name_of(path),
                "path": str(path),
                "sound": not found.findings,
                **asdict(found),
            }
        )
    elif not found.findings:
        output.say(
            f"{path}: sound: {output.count(found.checkpoints, 'checkpoint')}, "
            f"{output.count(found.arrays, 'array')}, {output.size(found.bytes)}"
        )
    else:
        for finding in found.findings:
            output.say(f"{path}: {finding.file}: {finding.problem}")
    if found.unreachable and not (found.findings or as_json):
        output.say(
            f"{path}: unreachable: {output.count(found.unreachable, 'file')}, "
            f"{output.size(found.unreachable_bytes)} "
            "(holdfast verify --repair moves them to lost+found/)"
        )
    if found.findings:
        raise typer.Exit(1)


def _repair(path: Path, done: Repair, *, as_json: bool) -> None:
    """Say what a repair moved, where to and why, and what it could not mend."""
    if as_json:
        output.print_json(
            {
                "name": name_of(path),
                "path": str(path),
                "sound": not done.unmended,
                **asdict(done),
            }
        )
    else:
        for item in done.moved:
            output.say(f"{path}: {item.file} -> {item.to}: {item.why}")
        for finding in done.mended:
            output.say(f"{path}: {finding.file}: mended: {finding.problem}")
        for finding in done.unmended:
            output.say(f"{path}: {finding.file}: not mended: {finding.problem}")
        what = f"moved {output.count(len(done.moved), 'file')}" if done.moved else "nothing to move"
        sound = output.count(done.checkpoints, "sound checkpoint")
        output.say(f"{path}: {what}; {sound}")
    if done.unmended:
        raise typer.Exit(1)


def _print_rows(rows: list[Row]) -> None:
    output.print_table(
        ["name", "status", "epoch", "step", "val_loss", "loss", "size", "changed"],
        [
            [
                item.name,
                item.status,
                "-" if item.epoch is None else _of(item.epoch, item.epochs, "/"),
                "-" if item.step is None else str(item.step),
                output.metric(item.metrics.get("val_loss")),
                output.metric(item.metrics.get("loss")),
                output.size(item.size),
                output.moment(item.changed),
            ]
            for item in rows
        ],
        right=("epoch", "step", "val_loss", "loss", "size"),
    )
    for item in rows:
        if item.problem:
            output.say(f"{item.name}: {item.problem}")


def _print_portrait(shown: Portrait) -> None:
    holder = shown.holder
    facts = {
        "run": shown.path,
        "status": shown.status,
        "held by": f"process {holder.pid} on {holder.host}" if holder else "",
        "position": f"epoch {_of(shown.position.epoch, shown.epochs, ' of ')}"
        + (f" and {output.count(shown.position.step, 'step')}" if shown.position.step else "")
        + f", step {shown.position.total}",
        "model": shown.model or "unknown",
        "created": output.moment(shown.created),
        "versions": ", ".join(f"{name} {text}" for name, text in shown.versions.items()),
        "engine": f"{shown.engine}: {shown.reason}" if shown.engine else "",
        "size": output.size(shown.size),
        "digest": shown.digest or "none: no checkpoint yet",
    }
    output.print_facts({name: fact for name, fact in facts.items() if fact})
    if shown.attempts:
        output.say()
        output.print_table(
            ["attempt", "began", "at step", "on", "ended"],
            map(_attempt_cells, shown.attempts),
            right=("attempt", "at step"),
        )
    if shown.rollbacks:
        output.say()
        output.print_table(
            ["rollback", "at step", "to step", "because", "samples"],
            map(_rollback_cells, shown.rollbacks),
            right=("rollback", "at step", "to step"),
        )
    if shown.checkpoints:
        output.say()
        output.print_table(
            ["checkpoint", "epoch", "kind", "size", "metrics", "digest"],
            map(_checkpoint_cells, shown.checkpoints),
            right=("checkpoint", "epoch", "size"),
        )
    if shown.problems:
        output.say()
    for finding in shown.problems:
        output.say(f"damaged: {finding.file}: {finding.problem}")


def _show_program(shown: Program, *, as_json: bool) -> None:
    from holdfast.cli.programs import HEADINGS, cells

    if as_json:
        output.print_json(asdict(shown))
    else:
        output.print_facts({"program": shown.path, "starts": str(len(shown.starts))})
        if shown.starts:
            output.say()
            output.print_table(HEADINGS, cells(shown.starts), right=("start",))
        if shown.runs:
            output.say()
            _print_rows(list(shown.runs))
    if any(item.problem for item in shown.runs):
        raise typer.Exit(1)


def _attempt_cells(item: Attempt) -> list[str]:
    when = f" {output.moment(item.ended)}" if item.ended is not None else ""
    why = f" ({item.why})" if item.why else ""
    return [
        str(item.attempt),
        output.moment(item.began),
        str(item.position.total),
        f"{item.host}, process {item.pid}",
        f"{item.end}{why}{when}",
    ]


def _rollback_cells(item: Rollback) -> list[str]:
    return [
        str(item.number),
        str(item.step),
        str(item.to),
        item.reason,
        ", ".join(map(str, item.samples)),
    ]


def _checkpoint_cells(item: Saved) -> list[str]:
    return [
        str(item.step),
        str(item.epoch),
        ", ".join(item.kinds),
        output.size(item.size),
        output.metrics(item.metrics),
        item.digest[:_SHORT],
    ]


def _of(done: int, total: int | None, between: str) -> str:
    return str(done) if total is None else f"{done}{between}{total}"
