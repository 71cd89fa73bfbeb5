"""How the pictures of the page look: one style, drawn with matplotlib, saved as PNG."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tables import number

OURS = "#2a7f8e"
PEER = "#b9b9b9"
LIMIT = "#edae49"
BEHIND = "#d1495b"


@contextmanager
def drawn(path: Path, width: float = 8, height: float = 4, columns: int = 1) -> Iterator[Any]:
    """Give a figure's axes (one, or a row of `columns`) to draw on, and save it to `path`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained")
        yield axes
        figure.savefig(path, dpi=120, metadata={"Software": None})
        plt.close(figure)


def bars(axes: Any, names: list[str], lengths: list[float], colours: list[str], unit: str) -> None:
    """Draw one bar a contender, the first on top, with its number at its end."""
    places = range(len(names))
    axes.barh(places, lengths, color=colours)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    for place, length in zip(places, lengths, strict=True):
        axes.annotate(f" {number(length)}", (length, place), va="center", fontsize=9)
