"""The pictures of the files: what opens by age and by format, and the seconds of a large model."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures
from files.section import LOADED, WHO, age_of, counted

KINDS = {
    "right": ("right", pictures.OURS),
    "wrong": ("silently wrong", pictures.BEHIND),
    "not had": ("cannot be had", pictures.LIMIT),
    "fails": ("does not open", "#dddddd"),
}
FORMS = {
    "model in .h5": ("h5",),
    ".keras": ("keras", "keras_windows"),
    "SavedModel": ("saved_model", "saved_model_1"),
    "checkpoint": ("checkpoint", "name_checkpoint", "name_checkpoint_v1"),
    "weights in .h5": ("h5_weights",),
    ".weights.h5": ("weights_h5", "weights_json"),
}


def draw(found: dict[str, Any], folder: Path) -> None:
    """Draw what opens, and the loads."""
    rows = found["opened"]["files"]
    with pictures.drawn(folder / "files.png", width=10, height=6, columns=2) as (left, right):
        ages = _aged(rows)
        _stacked(left, ages)
        _stacked(right, [(n, [r for r in rows if r["form"] in some]) for n, some in FORMS.items()])
        left.set_title("by age (files)", loc="left", fontsize=10)
        right.set_title("by format (files)", loc="left", fontsize=10)
        marks = [right.barh(0, 0, color=colour) for _, colour in KINDS.values()]
        right.figure.legend(
            marks,
            [words for words, _ in KINDS.values()],
            loc="outside lower center",
            ncols=len(KINDS),
            frameon=False,
        )
    with pictures.drawn(folder / "files-loads.png", height=3.4) as axes:
        _loads(axes, found["loaded"]["seconds"])


def _aged(rows: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the files by groups of ages, between which formats changed."""
    groups: dict[str, Callable[[str], bool]] = {
        "Keras 0.3, 1": lambda age: age in ("Keras 0.3", "Keras 1.0", "Keras 1.2"),
        "Keras 2.0 to 2.3": lambda age: age in ("Keras 2.0", "Keras 2.1", "Keras 2.2", "Keras 2.3"),
        "TensorFlow 1.15": lambda age: age == "TensorFlow 1.15",
        "TensorFlow 2.0 to 2.8": lambda age: age.startswith("TensorFlow 2."),
        "Keras 2.11 to 2.13": lambda age: age in ("Keras 2.11", "Keras 2.12", "Keras 2.13"),
        "Keras 2.15": lambda age: age == "Keras 2.15",
        "Keras 3": lambda age: age.startswith("Keras 3."),
    }
    return [(name, [row for row in rows if test(age_of(row))]) for name, test in groups.items()]


def _stacked(axes: Any, groups: list[tuple[str, list[dict[str, Any]]]]) -> None:
    """Draw a bar for each library in each group, of a hundred files."""
    groups = [(name, rows) for name, rows in groups if rows]
    for place, (_, rows) in enumerate(groups):
        for step, (who, words) in enumerate(WHO.items()):
            counts, left, height = counted(rows, who), 0.0, place + (step - 1) * 0.27
            for kind, (_, colour) in KINDS.items():
                share = 100 * counts[kind] / len(rows)
                axes.barh(height, share, 0.24, left, color=colour)
                left += share
            axes.text(101, height, words, va="center", fontsize=7)
    axes.set_yticks(range(len(groups)), [f"{name} ({len(rows)})" for name, rows in groups])
    axes.invert_yaxis()
    axes.set_xlim(0, 122)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("of 100 files")


def _loads(axes: Any, loads: dict[str, Any]) -> None:
    who = {
        "read": ("its bytes read", pictures.LIMIT),
        "holdfast": ("Holdfast", pictures.OURS),
        "keras": ("Keras 3.15", pictures.PEER),
    }
    for step, (key, (words, colour)) in enumerate(who.items()):
        there = [(n, loads[form][key]) for n, form in enumerate(LOADED) if key in loads[form]]
        axes.barh(
            [place + (step - 1) * 0.27 for place, _ in there],
            [statistics.median(took) for _, took in there],
            0.24,
            color=colour,
            label=words,
        )
    axes.set_yticks(range(len(LOADED)), [words.replace("`", "") for words in LOADED.values()])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.figure.legend(loc="outside upper center", ncols=len(who), frameon=False)
