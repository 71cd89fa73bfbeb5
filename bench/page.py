"""Writes docs/benchmarks.md from the results: the summary, and a section for each part.

Owns the order of the parts and what stands above them. A section's words and tables are its
part's. The page says nothing that is not in a result: it is written anew after every measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

import environments
import results
from results import Result
from tables import table
from verdicts import Against, Goal, Verdicts

PARTS = ("fit", "checkpoints", "recovery", "overhead", "files", "judging", "growth", "start")
DOCS = environments.ROOT / "docs"
PAGE = DOCS / "benchmarks.md"
PICTURES = DOCS / "benchmarks"

HEAD = """\
# Benchmarks

How Holdfast compares with what people use in its place, and with the limit of the machine. This
page is written by `make bench` from `bench/results/*.json`: figures, pictures and verdicts alike.

```sh
make bench             # everything; makes environments for the peers
make bench ONLY=fit    # one part, and the page anew
```

Contenders take turns: a process each, all of them once in a round, in an order that changes; the
same data, batches, model, epochs and threads. Figures are medians over rounds; ratios are medians
of the ratios within rounds, because the speed of a small virtual machine drifts by a tenth, now and
then by a factor of two. The *limit* of a part is the least that the work can take on this machine.
"""


def write() -> None:
    """Write the page and its pictures from the results that are there."""
    PICTURES.mkdir(exist_ok=True)
    for result in _results():
        _module(result, "drawing").draw(result.found, PICTURES)
    PAGE.write_text(text(), encoding="utf-8")


def text() -> str:
    """Return the page that the results give."""
    there = _results()
    verdicts = [(result, _module(result, "section").verdicts(result.found)) for result in there]
    sections = [_section(result) for result in there]
    return "\n".join([HEAD, _machines(there), _summary(verdicts), *sections]).rstrip() + "\n"


def _results() -> list[Result]:
    return [found for name in PARTS if (found := results.read(name)) is not None]


def _section(result: Result) -> str:
    part = _module(result, "section")
    again = f"`{result.command}` · {result.seconds / 60:.0f} min · {result.date}"
    return f"## {part.TITLE}\n\n{again}\n\n{part.section(result.found)}\n"


def _module(result: Result, name: str) -> ModuleType:
    return import_module(f"{result.part}.{name}")


def _machines(there: list[Result]) -> str:
    """Return what was measured on: once where it is the same for all."""
    lines = []
    for machine in _each(result.machine for result in there):
        lines.append(
            f"Machine: {machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory'] / 2**30:.0f} GiB, accelerator: {machine['accelerator']}, "
            f"{machine['system']}."
        )
    environments: dict[str, dict[str, str]] = {}
    for result in there:
        environments.update(result.versions)
    for name, versions in environments.items():
        listed = ", ".join(f"{key} {value}" for key, value in sorted(versions.items()))
        lines.append(f"* {name}: {listed}")
    took = sum(result.seconds for result in there) / 60
    lines += ["", f"All parts together took {took:.0f} min."]
    return "\n".join(lines) + "\n"


def _each(machines: Iterable[dict]) -> list[dict]:
    found: list[dict] = []
    for machine in machines:
        if machine not in found:
            found.append(machine)
    return found


def _summary(verdicts: list[tuple[Result, Verdicts]]) -> str:
    """Return where Holdfast is ahead, level and behind, and which goals it missed."""
    against = [one for _, found in verdicts for one in found.against]
    goals = [one for _, found in verdicts for one in found.goals]
    lines = ["## Where it stands", ""]
    for place in ("behind", "level", "ahead"):
        lines += [*_placed(place, [one for one in against if one.place == place])]
    kept = sum(goal.kept for goal in goals)
    lines += [f"**Goals**: {kept} of {len(goals)} are kept.", "", _goals(goals), ""]
    return "\n".join(lines)


def _placed(place: str, against: list[Against]) -> list[str]:
    if not against:
        return [f"**{place.capitalize()}**: nowhere.", ""]
    rows = [[one.what, one.peer, f"{one.times:.2f}", one.reason] for one in against]
    header = ["figure", "peer", "times better", "why" if place == "behind" else ""]
    if place != "behind":
        rows, header = [row[:3] for row in rows], header[:3]
    return [f"**{place.capitalize()}** ({len(against)}):", "", table(header, rows), ""]


def _goals(goals: list[Goal]) -> str:
    rows = [
        [goal.what, goal.goal, goal.found, "kept" if goal.kept else f"**missed**: {goal.reason}"]
        for goal in goals
    ]
    return table(["figure", "goal", "measured", ""], rows)
