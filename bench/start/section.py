"""What the page says of the start: milliseconds of imports, and the phases of a program."""

from __future__ import annotations

import statistics
from typing import Any

from racing import ratio, spread
from tables import number, table
from verdicts import Against, Verdicts

TITLE = "Start"

PHASES = (
    "interpreter",
    "import keras and jax",
    "import holdfast",
    "data",
    "building the model",
    "opening the training",
    "tracing",
    "compiling",
    "training",
    "checkpoints",
    "the end of the process",
)
NAMES = {
    "holdfast": "Holdfast",
    "holdfast-again": "Holdfast, started again",
    "keras": "Keras on JAX",
    "keras-again": "Keras on JAX, started again",
}
IMPORTS = {
    "nothing": "`python -c pass`",
    "numpy": "`import numpy`",
    "holdfast": "`import holdfast`",
    "run": "`from holdfast import Run`",
    "help": "`holdfast --help`",
    "version": "`holdfast --version`",
    "keras": "`import keras` on JAX",
}

INTRODUCTION = """\
Fresh processes by turns, from before the start to the end, all in one environment, files in the
page cache; an installed scikit-learn, pandas or matplotlib is imported by Keras itself.
Milliseconds:"""

PROGRAM = """\
Where the time of a program goes that loads data of MNIST's shape and trains an MLP 784-64-10 with
SGD in batches of 32 for 5 epochs: by `Run.fit`, with checkpoints as they come, and by
`Model.fit`. *Started again* trains anew where compiled code was kept: by Holdfast, which does
that by itself, and for Keras by JAX's own cache, set up by its environment variables. Phases
follow each other on one clock; what JAX says it traced and compiled in them is taken out and
added up on its own, and so is the time that training waited for checkpoints. They add up to the
whole process. Seconds:"""


def phases(told: dict[str, Any], whole: float) -> dict[str, float]:
    """Return the seconds of each phase; they add up to `whole`."""
    spans = {name: [tuple(span) for span in several] for name, several in told["spans"].items()}
    taken: list[tuple[float, float]] = []
    found = dict.fromkeys(PHASES, 0.0)
    before = told["began"]
    ends = [*told["moments"], ("the end of the process", told["began"] + whole)]
    # What is compiled within a checkpoint or a trace is compiling, and so on.
    for name in ("compiling", "tracing", "checkpoints"):
        covered = length(taken)
        taken += spans[name]
        found[name] = length(taken) - covered
    for phase, end in ends:
        found[phase] += end - before - within(taken, before, end)
        before = end
    return found


def length(spans: list[tuple[float, float]]) -> float:
    """Return how long the union of spans is."""
    return within(spans, float("-inf"), float("inf"))


def within(spans: list[tuple[float, float]], begin: float, end: float) -> float:
    """Return how much of a time the union of spans covers."""
    covered, reached = 0.0, begin
    for first, last in sorted(spans):
        covered += max(0.0, min(last, end) - max(first, reached))
        reached = max(reached, min(last, end))
    return covered


def section(found: dict[str, Any]) -> str:
    """Return the words below the title."""
    return "\n\n".join(
        [
            INTRODUCTION,
            _imports(found["imports"]),
            PROGRAM,
            _programs(found["programs"]),
            "![where the time of a program goes](benchmarks/start.png)",
            _beyond(found["programs"]),
        ]
    )


def verdicts(found: dict[str, Any]) -> Verdicts:
    """Return the start beside Keras's, and the program beside `Model.fit`'s."""
    imports, whole = found["imports"], _wholes(found["programs"])
    return Verdicts(
        against=(
            Against(
                "`import holdfast`, a process",
                "`import keras`",
                ratio(imports["keras"], imports["holdfast"]),
            ),
            Against(
                "`holdfast --help`",
                "`import keras`",
                ratio(imports["keras"], imports["help"]),
            ),
            Against(
                "5-epoch program, first start",
                "Keras on JAX",
                ratio(whole["keras"], whole["holdfast"]),
                _why(found["programs"], "holdfast", "keras"),
            ),
            Against(
                "5-epoch program, compiled code kept",
                "Keras on JAX, started again",
                ratio(whole["keras-again"], whole["holdfast-again"]),
                _why(found["programs"], "holdfast-again", "keras-again"),
            ),
        )
    )


def _wholes(programs: dict[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    return {name: [sum(run.values()) for run in runs] for name, runs in programs.items()}


def _median(runs: list[dict[str, float]], phase: str) -> float:
    return statistics.median(run[phase] for run in runs)


def _imports(imports: dict[str, list[float]]) -> str:
    rows = []
    for name, several in imports.items():
        found = spread([1000 * value for value in several])
        over = ratio(several, imports["nothing"])
        rows.append(
            [
                IMPORTS[name],
                number(found["median"]),
                f"{number(found['least'])} to {number(found['most'])}",
                f"{over:.1f}",
            ]
        )
    return table(["", "median", "least to most", "times nothing"], rows)


def _programs(programs: dict[str, list[dict[str, float]]]) -> str:
    wholes = _wholes(programs)
    rows = [
        [phase, *(f"{_median(runs, phase):.3f}" for runs in programs.values())] for phase in PHASES
    ]
    rows.append(["**all**", *(f"**{statistics.median(wholes[name]):.2f}**" for name in programs)])
    return table(["", *(NAMES[name] for name in programs)], rows)


def _differences(
    programs: dict[str, list[dict[str, float]]], ours: str, theirs: str
) -> list[tuple[float, str]]:
    return sorted(
        ((_median(programs[ours], p) - _median(programs[theirs], p), p) for p in PHASES),
        reverse=True,
    )


def _why(programs: dict[str, list[dict[str, float]]], ours: str, theirs: str) -> str:
    most = [one for one in _differences(programs, ours, theirs) if one[0] > 0.02][:3]
    return "what takes longer: " + ", ".join(f"{phase} by {more:.2f} s" for more, phase in most)


def _beyond(programs: dict[str, list[dict[str, float]]]) -> str:
    sentences = []
    for ours, theirs, when in (
        ("holdfast", "keras", "At the first start"),
        ("holdfast-again", "keras-again", "Started again"),
    ):
        all_of_them = _differences(programs, ours, theirs)
        more = [f"{phase} {value:.2f} s" for value, phase in all_of_them if value > 0.02]
        less = [f"{phase} {-value:.2f} s" for value, phase in all_of_them[::-1] if value < -0.02]
        sentences.append(
            f"{when} Holdfast takes longer for {', '.join(more) or 'nothing'}, and less for "
            f"{', '.join(less) or 'nothing'}."
        )
    return " ".join(sentences)
