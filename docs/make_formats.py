"""Writes the tables and the picture of docs/formats.md: `python docs/make_formats.py`.

Owns both. Leaves what opened to `tests/corpus/opens.py`, which tries every file, and the
words around the tables to the page.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "formats.md"
PICTURE = ROOT / "docs" / "opens.png"
CORPUS = ROOT / "tests" / "corpus"
_DRAWN = {
    "h5": "model in .h5",
    "keras": ".keras",
    "saved_model": "SavedModel",
    "checkpoint": "checkpoint",
    "h5_weights": "weights in .h5",
    "weights_h5": ".weights.h5",
}
_COLOURS = {
    "equal": "#2a7f8e",
    "differs": "#d1495b",
    "refused": "#edae49",
    "fails+no model": "#dddddd",
}
_KINDS = {
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
_AGES = {
    "keras-2.11.0-zip": "Keras 2.11",
    "keras-2.12.0-zip": "Keras 2.12",
    "keras-2.13.1-zip": "Keras 2.13",
    "keras-1.2.2-tensorflow": "Keras 1.2 on TensorFlow",
    "keras-1.2.2-theano": "Keras 1.2 on Theano",
    "keras-1.0.5-theano": "Keras 1.0 on Theano",
    "keras-0.3.3-theano": "Keras 0.3 on Theano",
}


def page(text: str) -> str:
    """Return the page with its tables as they should be."""
    for name, table in (("2.15", _newest()), ("ages", _ages())):
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end {name} -->"
        text = re.sub(
            f"{re.escape(begin)}.*?{re.escape(end)}",
            lambda _, part=f"{begin}\n{table}\n{end}": part,
            text,
            flags=re.DOTALL,
        )
    return text


def _newest() -> str:
    """Return the table of Keras 2.15: by format, what Holdfast and plain Keras make of it."""
    ours, theirs = _counted("holdfast.json"), _counted("plain_keras.json")
    rows = [
        "| format | files | Holdfast: right | refused | plain Keras 3.15: right | silently wrong "
        "| fails, or cannot open the model either |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, words in _KINDS.items():
        mine = ours.get(("Keras 2.15", kind), Counter())
        if not mine:
            continue
        plain = theirs[("Keras 2.15", kind)]
        rows.append(
            f"| {words} | {mine.total()} | {mine['equal']} | {mine['refused']} | {plain['equal']} "
            f"| {plain['differs']} | {plain['fails'] + plain['no model']} |"
        )
    return "\n".join(rows)


def _ages() -> str:
    """Return the table of all other ages."""
    ours, theirs = _counted("holdfast.json"), _counted("plain_keras.json")
    rows = [
        "| written by | formats | files | Holdfast: right | refused | plain Keras 3.15: right |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ages = sorted({age for age, _ in ours if age != "Keras 2.15"}, key=_order)
    for age in ages:
        mine: Counter[str] = sum((ours[a, k] for a, k in ours if a == age), Counter())
        plain: Counter[str] = sum((theirs[a, k] for a, k in theirs if a == age), Counter())
        kinds = ", ".join(words for kind, words in _KINDS.items() if (age, kind) in ours)
        rows.append(
            f"| {age} | {kinds} | {mine.total()} | {mine['equal']} | {mine['refused']} "
            f"| {plain['equal']} |"
        )
    return "\n".join(rows)


def _counted(name: str) -> dict[tuple[str, str], Counter[str]]:
    """Return how often each was found, by age and format."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for model, kinds in json.loads((CORPUS / name).read_text()).items():
        for kind, said in kinds.items():
            verdict = said.partition(":")[0]
            found.setdefault((_age(model), kind), Counter())[verdict] += 1
    return found


def _age(model: str) -> str:
    age, slash, _ = model.partition("/")
    if not slash:
        return "Keras 2.15"
    if age in _AGES:
        return _AGES[age]
    library, _, version = age.partition("-")
    short = ".".join(version.split(".")[:2])
    return f"{'TensorFlow' if library == 'tf' else 'Keras'} {short}"


def _order(age: str) -> tuple[list[int], str]:
    library = 0 if age.startswith("Keras") else 1
    return [library, *(int(part) for part in re.findall(r"\d+", age))], age


def draw(path: Path) -> None:
    """Draw what opens, of each hundred files: Holdfast above plain Keras, by format."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    ours, theirs = _counted("holdfast.json"), _counted("plain_keras.json")
    rows = [(words, _of(ours, kind), _of(theirs, kind)) for kind, words in _DRAWN.items()]
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for place, (_, mine, plain) in enumerate(rows):
        for offset, counts in ((-0.2, mine), (0.2, plain)):
            left = 0.0
            for verdict, colour in _COLOURS.items():
                share = 100 * sum(counts[name] for name in verdict.split("+")) / counts.total()
                axes.barh(place + offset, share, 0.36, left, color=colour)
                left += share
            who = "Holdfast" if offset < 0 else "Keras 3.15"
            axes.text(101, place + offset, who, va="center", fontsize=8)
    names = [f"{words} ({mine.total()})" for words, mine, _ in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("of 100 files")
    axes.spines[["top", "right"]].set_visible(False)
    labels = ("right", "silently wrong", "refused by name", "fails")
    marks = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in _COLOURS.values()]
    figure.legend(marks, labels, loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)


def _of(counted: dict[tuple[str, str], Counter[str]], kind: str) -> Counter[str]:
    """Return the counts of a format over all ages."""
    return sum((counts for (_, k), counts in counted.items() if k == kind), Counter())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw(PICTURE)
