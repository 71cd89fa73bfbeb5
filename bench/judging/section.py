"""What is said of judging: the tables, what was found, and the verdicts.

Owns the words. Leaves the figures to the results, and the picture to `drawing`.
"""

from __future__ import annotations

import statistics
from typing import Any

import racing
from tables import number, seconds, table
from verdicts import Against, Goal, Verdicts

TITLE = "Judging"

MODELS = {
    "mlp": "MLP 784-64-10",
    "cnn": "CNN (8 filters 3x3, max pooling 4x4, Dense 10)",
}
SHORT = {"mlp": "MLP", "cnn": "CNN"}
FIGURES = {"row": "one row", "rows": "10,000 rows"}
BACKENDS = {"jax": "Keras on JAX", "tensorflow": "Keras on TensorFlow", "torch": "Keras on PyTorch"}
OURS = {
    "judge-onnx": "`judge`, `.onnx`",
    "judge-tflite": "`judge`, `.tflite`",
    "judge-keras": "`judge`, `.keras`",
}
BARE = {"judge-onnx": "onnxruntime", "judge-tflite": "litert"}
NAMES = {**OURS, "onnxruntime": "onnxruntime, bare", "litert": "LiteRT, bare"}
AT_MOST = 1.1

WORDS = """\
Two models, exported by Holdfast, on float32 rows in memory; answers are numpy arrays. `judge`
and the bare runtimes, which are the limit, take turns within one process, because microseconds
are compared: two processes differ by more. LiteRT is called in the faster of its two documented
ways, an interpreter whose tensors are made once for a shape; threads are as each runtime comes.
Keras runs in a process for each backend and round. Its documents name `predict` for many rows,
and calling the model for a few: `predict`, `predict_on_batch` and `model(x)` are measured for
one row, `predict` in batches of 32, 1,024 and 10,000 for many, and the best is named beside
`predict` as it comes. `judge` of a `.keras` file runs it by Keras on JAX, in that process."""

FIRST = """\
From the imports to the first answer of the MLP, in a new process, with the start of Python
itself left out; Keras is on JAX."""

BLOCKS = (
    "it cuts rows into blocks of 512 to 4,096, by the size of the layers, so that any number takes "
    "bounded memory; what is fastest depends on the model"
)
LATE = {
    "row": "two calls of Python, a lock and a look at the type stand before a few microseconds",
    "rows": "one call of the same runtime: what differs is the machine from one moment to the next",
}


def section(found: dict[str, Any]) -> str:
    """Return the part's section of the page."""
    tables = [_table(found, model) for model in MODELS if model in found]
    return "\n\n".join(
        [
            WORDS,
            "![Microseconds for one row and milliseconds for 10,000, of each contender, on a "
            "logarithmic scale](benchmarks/judging.png)",
            *tables,
            FIRST,
            _first(found["first"]),
        ]
    )


def _table(found: dict[str, Any], model: str) -> str:
    """Return a model's table: its limit and Holdfast above, Keras below."""
    lines = []
    for who in ("onnxruntime", "judge-onnx", "litert", "judge-tflite", "judge-keras"):
        words = f"**{NAMES[who]}**" if who in OURS else NAMES[who]
        cells = [words]
        for figure in FIGURES:
            times = found[model][figure]
            cells += [
                seconds(statistics.median(times[who])),
                number(racing.ratio(times[who], times[BARE[who]])) if who in BARE else "",
            ]
        lines.append(cells)
    for backend, words in BACKENDS.items():
        plain, best = [f"{words}, `predict`"], [f"{words}, its best"]
        for figure in FIGURES:
            times = found[model][figure]
            usual = f"{backend}: predict" if figure == "row" else f"{backend}: predict, 32"
            plain += [seconds(statistics.median(times[usual])), ""]
            name = fastest(times, backend)
            best += [seconds(statistics.median(times[name])), f"`{_way(name)}`"]
        lines += [plain, best]
    header = [MODELS[model], *(h for words in FIGURES.values() for h in (words, "over bare"))]
    return table(header, lines)


def fastest(times: dict[str, list[float]], backend: str) -> str:
    """Return the fastest of Keras's ways on a backend."""
    ways = [name for name in times if name.startswith(f"{backend}: ")]
    return min(ways, key=lambda name: statistics.median(times[name]))


def _way(name: str) -> str:
    way, _, size = name.partition(": ")[2].partition(", ")
    return f"{way}, batch_size={size}" if size else way


def _first(first: dict[str, list[float]]) -> str:
    names = {**NAMES, "keras": "Keras, `predict`"}
    lines = []
    for who, took in first.items():
        limit = first[BARE[who]] if who in BARE else None
        over = number(racing.ratio(took, limit)) if limit else ""
        words = f"**{names[who]}**" if who in OURS else names[who]
        some = racing.spread(took)
        lines.append(
            [words, seconds(some["median"]), seconds(some["least"]), seconds(some["most"]), over]
        )
    return table(["", "to the first answer", "least", "most", "over bare"], lines)


def verdicts(found: dict[str, Any]) -> Verdicts:
    """Return `judge` against the bare runtimes, and against Keras's `predict` and its best."""
    against, goals = [], []
    for model in MODELS:
        for figure, words in FIGURES.items():
            times = found[model][figure]
            for ours, bare in BARE.items():
                over = racing.ratio(times[ours], times[bare])
                what = f"judging, {SHORT[model]}, {words}"
                reason = LATE[figure] if over > 1 else ""
                against.append(Against(f"{what}, {_form(ours)}", NAMES[bare], 1 / over, reason))
                goals.append(
                    Goal(
                        f"{what}, {_form(ours)}, over the runtime bare",
                        f"at most {AT_MOST}",
                        number(over),
                        over <= AT_MOST,
                        LATE[figure],
                    )
                )
            against += _against_keras(times, model, figure)
    goals.append(_ahead(found))
    first = found["first"]
    against += [
        Against(
            f"to the first answer, {_form(ours)}",
            NAMES[bare],
            racing.ratio(first[bare], first[ours]),
            "`holdfast.judge` is imported besides",
        )
        for ours, bare in BARE.items()
    ]
    return Verdicts(tuple(against), tuple(goals))


def _form(who: str) -> str:
    return f"`.{who.partition('-')[2]}`"


def _against_keras(times: dict[str, list[float]], model: str, figure: str) -> list[Against]:
    """Return `judge` of a `.keras` file, its slowest, against the best of Keras on each backend."""
    return [
        Against(
            f"judging, {SHORT[model]}, {FIGURES[figure]}, `.keras`",
            f"{words} ({_way(name)})",
            racing.ratio(times[name], times["judge-keras"]),
            BLOCKS if backend == "jax" else "this backend is faster for this model than JAX",
        )
        for backend, words in BACKENDS.items()
        for name in (fastest(times, backend),)
    ]


def _ahead(found: dict[str, Any]) -> Goal:
    """Return whether every format of `judge` is ahead of `predict` as it comes, everywhere."""
    over, late = [], []
    for model in MODELS:
        for figure, rows in FIGURES.items():
            times = found[model][figure]
            for backend, words in BACKENDS.items():
                usual = f"{backend}: predict" if figure == "row" else f"{backend}: predict, 32"
                for ours in OURS:
                    times_as_fast = racing.ratio(times[usual], times[ours])
                    over.append(times_as_fast)
                    if times_as_fast <= 1:
                        late.append(f"{SHORT[model]}, {rows}, {_form(ours)}: {words}")
    return Goal(
        "judging against `predict`, every format on all backends",
        "ahead",
        f"{number(min(over))} to {number(max(over))} times as fast",
        not late,
        f"{'; '.join(late)}: {BLOCKS}",
    )
