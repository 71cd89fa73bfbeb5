"""What the page says of growth: tables, findings and verdicts, all from what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from growth.curves import Curve, curves, one
from growth.linear import ALLOWED, LEAST_BYTES, LEAST_SECONDS, SEEN
from growth.series import SUBJECTS
from tables import number, seconds, size, table
from verdicts import Against, Goal, Verdicts

TITLE = "Growth"

_HOW = f"""\
Each size ran in a process of its own. Time and memory are drawn over the size; the dashed line
has slope 1. Memory is anonymous memory at its most, beyond what there was before; pages of
mapped files, which the system takes back when it likes, do not count.

A *unit* is the cost between the two largest sizes for one more (an epoch, a checkpoint, a
megabyte); it is left out where the growth cannot be told from what is fixed. The *exponent* is
that of the cost beyond the smallest size's. *Linear* is what costs a unit at most {ALLOWED}
times what it cost between the two sizes before, where both differences are seen: the larger size
costs at least {SEEN} times the smaller, in every round, and {1000 * LEAST_SECONDS:g} ms or
{LEAST_BYTES // 10**6} MB more; and what is seen once must not have grown by more than {ALLOWED}
times the size. What seemed worse was measured again."""

_WHAT = {
    "epochs": """\
A model of 27 numbers with validation. *Opening* is `fit` on a run that has so many epochs in its
journal, compiled before, to the first `on_epoch_begin`. *Training* is so many epochs of one
step, to the end of `fit`, without the first, which compiles; checkpoints are taken as they are
by default.""",
    "checkpoints": """\
A tiny training with a checkpoint after every step, all of which stay (`Every(steps=1)`,
`Keep(last=…)`); then `run.checkpoints`, `fit` up to the first `on_epoch_begin`, and `run.prune`
down to four. Nothing is synced, so that the figures are of the work and not of the disk.""",
    "arrays": """\
A model of one layer with so many weights of eight numbers, SGD. *Snapshot* is what training
waits for; commit and restore come from the whole path: names, sums, manifest, pack. The end of
the first epoch of 50 steps contains tracing and XLA's compiling, of which JAX tells the seconds
itself; Keras does the same training. Compiling is measured up to 1,000 arrays: what XLA takes
for more says nothing of who calls it.""",
    "state": """\
A state of 20 arrays, written with every sum and sync, and read back, in a directory in memory: what
a disk takes is in *Checkpoints*. Beside it a plain write and a plain read of the same bytes, which
are the limit. Memory is beyond the state.""",
    "data": """\
Rows of 4 kB in a memory-mapped `.npy`, shuffled, two epochs of at most 200 steps, the largest
file larger than the machine's memory. The files are sparse, so that nothing waits for a disk. Up
to a quarter of the memory Holdfast gives XLA the data as a whole, beyond that block by block,
gathered ahead; the steps of the second epoch are from blocks that are there. Keras does the same
training on the same files.""",
    "runs": "The whole command, start of Python and imports too, in a directory of so many runs.",
}

_UNITS = {
    "epochs": "an epoch",
    "checkpoints": "a checkpoint",
    "arrays": "an array",
    "runs": "a run",
}

# Why a subject is worse than linear, or behind, where it is.
_REASONS: dict[str, str] = {
    "arrays": "Python's collector of cycles goes through all objects of the process once so many "
    "are new; with it switched off both commit and restore grow in proportion",
    "train seconds": "at the end of each epoch the state is held for whatever may come, and a line "
    "with its sum goes to the journal",
    "fit first": "XLA takes longer for a loop of steps than for a step, see *of it XLA*",
}


def section(found: Mapping[str, Any]) -> str:
    parts = [_HOW]
    for subject, (words, _) in SUBJECTS.items():
        mine = [curve for curve in curves(found, subject) if curve.points]
        if mine:
            parts += [f"### {words.capitalize()}", _WHAT[subject], _table(subject, mine)]
            parts += _failures(mine)
            parts.append(f"![Time and memory over {words}](benchmarks/growth-{subject}.png)")
    return "\n\n".join(parts)


def verdicts(found: Mapping[str, Any]) -> Verdicts:
    goals = [goal for subject in SUBJECTS if (goal := _linear(found, subject)) is not None]
    goals += [
        *_under_a_second(found, "open", 100_000, "opening a run of 100,000 epochs"),
        *_under_a_second(found, "ls", 1_000, "`holdfast ls` of 1,000 runs"),
    ]
    against = [
        *_against(found, "train", "seconds", "an epoch of one step"),
        *_against(found, "fit", "first", "to the end of the first epoch, many arrays"),
        *_against(found, "fit", "epoch", "an epoch, many arrays"),
        *_against(found, "data", "first", "to the end of the first epoch, mapped data"),
    ]
    return Verdicts(tuple(against), tuple(goals))


def _table(subject: str, mine: list[Curve]) -> str:
    """Return a row for each curve, a column for each size."""
    sizes = sorted({point.size for curve in mine for point in curve.points})
    in_bytes = SUBJECTS[subject][1]
    heads = [size(each) if in_bytes else f"{each:,.0f}" for each in sizes]
    a_unit = "a megabyte" if in_bytes else _UNITS[subject]
    header = ["", *heads, a_unit, "exponent", "a unit, over before", ""]
    return table(header, [_row(curve, sizes, in_bytes) for curve in mine])


def _row(curve: Curve, sizes: list[float], in_bytes: bool) -> list[str]:
    show = size if curve.memory else seconds
    cells = [show(point.cost) if (point := curve.at(each)) else "" for each in sizes]
    growth = curve.growth
    unit = show(growth.unit * (1e6 if in_bytes else 1)) if growth.unit > 0 else ""
    exponent = "" if growth.exponent is None else f"{growth.exponent:.2f}"
    words = f"memory: {curve.words}" if curve.memory else curve.words
    verdict = "linear" if growth.linear else "**worse**"
    if not growth.linear and curve.limit is not None and curve.excess <= ALLOWED:
        verdict = f"as {curve.limit.words}"
    return [words, *cells, unit, exponent, number(growth.worst) if growth.worst else "", verdict]


def _failures(mine: list[Curve]) -> list[str]:
    said = {
        f"{curve.series.words} at {_shown(curve, at)}: {why}."
        for curve in mine
        for at, why in curve.failed.items()
    }
    return sorted(said)


def _linear(found: Mapping[str, Any], subject: str) -> Goal | None:
    """Return whether all that Holdfast does is at most linear."""
    mine = [curve for curve in curves(found, subject) if len(curve.points) > 1 and curve.ours]
    if not mine:
        return None
    worst = max(mine, key=lambda curve: curve.excess)
    what = f"memory: {worst.words}" if worst.memory else worst.words
    if worst.limit is not None and worst.excess < worst.growth.worst:
        what += f", beyond {worst.limit.words}"
    words, kept = SUBJECTS[subject][0], worst.excess <= ALLOWED
    measured = f"{number(worst.excess)} ({what})" if worst.growth.worst else "no growth seen"
    reason = "" if kept else _REASONS.get(subject, f"see {words} below")
    return Goal(
        f"time and memory over {words}: a unit more, over a unit before",
        f"at most {ALLOWED}",
        measured,
        kept,
        reason,
    )


def _under_a_second(found: Mapping[str, Any], key: str, at: int, what: str) -> list[Goal]:
    curve = one(found, key, "seconds")
    point = None if curve is None else curve.at(at)
    if point is None:
        return []
    reason = "" if point.cost < 1 else _REASONS.get(key, "")
    return [Goal(what, "under 1 s", seconds(point.cost), point.cost < 1, reason)]


def _against(found: Mapping[str, Any], key: str, figure: str, what: str) -> list[Against]:
    """Return Holdfast against Keras at the largest size that both were measured at."""
    ours, theirs = one(found, key, figure), one(found, f"{key}-keras", figure)
    if ours is None or theirs is None:
        return []
    both = {point.size for point in ours.points} & {point.size for point in theirs.points}
    if not both:
        return []
    at = max(both)
    mine, other = ours.at(at), theirs.at(at)
    assert mine is not None
    assert other is not None
    reason = _REASONS.get(f"{key} {figure}", "")
    return [Against(f"{what} ({_shown(ours, at)})", "Keras on JAX", other.cost / mine.cost, reason)]


def _shown(curve: Curve, at: float) -> str:
    words, in_bytes = SUBJECTS[curve.series.subject]
    return f"{size(at)} of {words}" if in_bytes else f"{at:,.0f} {words}"
