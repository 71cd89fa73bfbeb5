"""What is said of the files: the tables, what was found, and the verdicts.

Owns the words. Leaves the figures to the results, and the pictures to `drawing`.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from typing import Any

import racing
from tables import number, seconds, size, table
from verdicts import Against, Goal, Verdicts

TITLE = "Old files"

WHO = {"holdfast": "Holdfast", "keras": "Keras 3.15", "tensorflow": "TensorFlow 2.15"}
FORMS = {
    "h5": "model in `.h5`",
    "keras": "`.keras`",
    "keras_windows": "`.keras` with names of Windows",
    "saved_model": "SavedModel",
    "saved_model_1": "SavedModel of `export_saved_model`",
    "checkpoint": "checkpoint by objects",
    "name_checkpoint": "checkpoint by names",
    "name_checkpoint_v1": "checkpoint by names in one file",
    "h5_weights": "weights in `.h5`",
    "weights_h5": "`.weights.h5`",
    "weights_json": "`.weights.json`",
}
LOADED = {
    "keras": "`.keras`",
    "h5": "model in `.h5`",
    "safetensors": "`.safetensors`",
    "weights.h5": "`.weights.h5`",
    "weights in h5": "weights in `.h5`",
    "checkpoint": "TensorFlow checkpoint",
}
AT_MOST = 1.5
COPY = "arrays of the backend are made of the bytes, which is a copy more"
LATE = {"checkpoint": "the file's CRC32C of every array is compared"}

WORDS = """\
{files} files of the corpus in `tests/corpus`, which the real old libraries wrote: one in {every}
of each age and format, drawn by a fixed seed. Each library opens each file, with
`compile=False`, and answers the inputs that lie beside it; *right* are the outputs that the old
library computed, within the corpus's tolerance. Processes of up to {a_process} files; one that
dies or says nothing for {limit} s costs its file;
what differs is asked once more in a process of its own.

Holdfast runs on JAX, without TensorFlow, and is told the backend of Keras 1's files. Keras runs
on TensorFlow, where it has the most layers; SavedModels go to `TFSMLayer`, its documented way to
them, which answers and is no model; for weights alone the model is built by Keras, or where it
cannot by Holdfast, as a program's code would. TensorFlow 2.15 builds models from the whole files
beside the weights. SavedModels whose graphs the corpus left out to save room are not counted."""

COMMITTED = """\
*Cannot be had* are the models that need code, or layers of TensorFlow, that are not there; a
library that opens one all the same counts it as right. The whole corpus, by its own verdicts,
which compare every array too and were measured on JAX, not here: Holdfast {holdfast}; Keras 3.15
{keras} ([Files of models](formats.md#what-opens))."""

LOADING = """\
A Dense model of {weights} in {layers} arrays, from files that the system has in memory; each
load is a process of its own, without its imports. *Read* is Python's `read_bytes` of the file
that holds the arrays: it sums nothing and makes no array. Ratios are over *read*."""


def kind_of(row: dict[str, Any], who: str) -> str:
    """Return `right`, `wrong`, `not had` or `fails`."""
    said = row[who].partition(":")[0]
    if said == "equal":
        return "right"
    if said == "differs":
        return "wrong"
    return "not had" if row["refused"] else "fails"


def age_of(row: dict[str, Any]) -> str:
    """Return the library that wrote a file, without the last number of its version."""
    library, _, rest = row["age"].partition("-")
    version = ".".join(re.findall(r"\d+", rest)[:2])
    return f"{'TensorFlow' if library == 'tf' else 'Keras'} {version}"


def order_of(age: str) -> tuple[str, list[int]]:
    return age.split(maxsplit=1)[0], [int(part) for part in re.findall(r"\d+", age)]


def counted(rows: list[dict[str, Any]], who: str) -> Counter[str]:
    return Counter(kind_of(row, who) for row in rows)


def section(found: dict[str, Any]) -> str:
    """Return the part's section of the page."""
    from files import corpus

    rows, loads = found["opened"]["files"], found["loaded"]
    weights = loads["layers"] * 4096 * 4096 * 4
    return "\n\n".join(
        [
            WORDS.format(
                files=len(rows),
                every=found["opened"]["every"],
                a_process=corpus.A_PROCESS,
                limit=corpus.SECONDS,
            ),
            "![Of the files of each age and each format, how many the three libraries open with "
            "the right outputs](benchmarks/files.png)",
            _by(rows, "written by", [(age, age) for age in _ages(rows)], age_of),
            _by(rows, "format", list(FORMS.items()), lambda row: row["form"]),
            COMMITTED.format(**{who: _said(c) for who, c in found["opened"]["committed"].items()}),
            _ended(rows),
            LOADING.format(weights=size(weights), layers=loads["layers"]),
            _loads(loads),
            "![Seconds to load a large model from each format](benchmarks/files-loads.png)",
        ]
    ).replace("\n\n\n\n", "\n\n")


def _ages(rows: list[dict[str, Any]]) -> list[str]:
    return sorted({age_of(row) for row in rows}, key=order_of)


def _by(rows: list[dict[str, Any]], title: str, groups: list[tuple[str, str]], of: Any) -> str:
    """Return what each library made of the files, a line for each group and one for all."""
    lines = []
    for key, words in groups:
        some = [row for row in rows if of(row) == key]
        if some:
            lines.append([words, str(len(some)), *(_cell(some, who) for who in WHO)])
    lines.append(["**all**", str(len(rows)), *(f"**{_cell(rows, who)}**" for who in WHO)])
    return table([title, "files", *(f"{words}: right" for words in WHO.values())], lines)


def _cell(rows: list[dict[str, Any]], who: str) -> str:
    counts = counted(rows, who)
    words = [f"{counts['not had']} cannot be had"] if counts["not had"] else []
    words += [f"{counts['wrong']} silently wrong"] if counts["wrong"] else []
    return f"{counts['right']} ({', '.join(words)})" if words else str(counts["right"])


def _said(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    words = {"equal": "right", "refused": "refused", "differs": "silently wrong"}
    listed = ", ".join(f"{counts[key]:,} {said}" for key, said in words.items() if counts.get(key))
    return f"{listed} of {total:,}"


def _ended(rows: list[dict[str, Any]]) -> str:
    """Return in words whose processes died or hung, and on what."""
    lines = []
    for who, words in WHO.items():
        ended = [row for row in rows if row[who].startswith(("hangs", "crashes"))]
        listed = ", ".join(f"{row['name']} ({row['form']}: {row[who]})" for row in ended)
        if ended:
            lines.append(f"{words} did not come back from {len(ended)} files: {listed}.")
    return " ".join(lines)


def _loads(loads: dict[str, Any]) -> str:
    lines = []
    for form, words in LOADED.items():
        took = loads["seconds"][form]
        cells = [words, size(loads["bytes"][form])]
        for who in ("read", "holdfast", "keras"):
            if who not in took:
                cells += [""]
                continue
            cell = seconds(statistics.median(took[who]))
            if who != "read":
                cell += f" ({number(racing.ratio(took[who], took['read']))})"
            cells += [f"**{cell}**" if who == "holdfast" else cell]
        lines.append(cells)
    return table(["format", "bytes", "read", "**Holdfast**", "Keras 3.15"], lines)


def verdicts(found: dict[str, Any]) -> Verdicts:
    """Return who opens more, who loads faster, and the goals."""
    rows, loads = found["opened"]["files"], found["loaded"]["seconds"]
    right = {who: counted(rows, who)["right"] for who in WHO}
    against = [
        Against("old files opened right, in number", WHO[who], right["holdfast"] / right[who])
        for who in ("keras", "tensorflow")
    ]
    against += [
        Against(
            f"loading {LOADED[form]}", WHO["keras"], racing.ratio(took["keras"], took["holdfast"])
        )
        for form, took in loads.items()
        if "keras" in took
    ]
    return Verdicts(tuple(against), (*_opening(rows), _loading(loads)))


def _opening(rows: list[dict[str, Any]]) -> list[Goal]:
    ours = counted(rows, "holdfast")
    can = ours.total() - ours["not had"]
    failed = ", ".join(
        f"{row['name']} ({row['form']})" for row in rows if kind_of(row, "holdfast") == "fails"
    )
    return [
        Goal(
            "old files that Keras 3 can have",
            "every one opens",
            f"{can - ours['fails']} of {can}",
            not ours["fails"],
            f"these do not: {failed}",
        ),
        Goal(
            "old files that open",
            "none silently wrong",
            f"{ours['wrong']} of {ours['right'] + ours['wrong']}",
            not ours["wrong"],
        ),
    ]


def _loading(loads: dict[str, Any]) -> Goal:
    over = {form: racing.ratio(took["holdfast"], took["read"]) for form, took in loads.items()}
    late = "; ".join(
        f"{LOADED[form]} {number(times)}: {LATE.get(form, COPY)}"
        for form, times in over.items()
        if times > AT_MOST
    )
    return Goal(
        "loading a large model over reading its bytes",
        f"at most {AT_MOST}",
        f"{number(min(over.values()))} to {number(max(over.values()))}",
        not late,
        late,
    )
