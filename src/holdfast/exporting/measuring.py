"""What a narrower file has lost: accuracy where labels are known, else how much outputs differ.

Owns measuring it on given inputs, and how much is too much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ExportError
from holdfast.exporting.calibration import Calibration
from holdfast.judge.signature import Feed

_BATCH = 256
# Of the range that an output has on these inputs, how much it may change on the average.
_MOST_CHANGE = 0.1


@dataclass(frozen=True)
class Loss:
    """What was lost.

    Args:
        samples: how many inputs it was measured on.
        largest: the difference of each output by its name.
        change: the average difference of each, as a part of its range on these inputs.
        before, after: the accuracy of the model and of the file; None where no labels are known.
    """

    samples: int
    largest: dict[str, float]
    change: dict[str, float]
    before: float | None
    after: float | None


def measure(
    model: Callable[[Feed], Feed], file: Callable[[Feed], Feed], given: Calibration
) -> Loss:
    """Run both on all inputs and compare."""
    was, now = _all(model, given), _all(file, given)
    largest, change = {}, {}
    for name, before in was.items():
        gaps = np.abs(before.astype("float64") - now[name].astype("float64"))
        largest[name] = float(gaps.max())
        change[name] = float(gaps.mean() / max(np.ptp(before), 1e-9))
    first = next(iter(was))
    return Loss(
        len(given),
        largest,
        change,
        _accuracy(was[first], given.labels),
        _accuracy(now[first], given.labels),
    )


def check(loss: Loss, most_loss: float, where: str) -> None:
    """Refuse a file that has lost too much.

    Raises:
        ExportError: says how much, and what would be allowed.
    """
    wrong = {name: gap for name, gap in loss.largest.items() if not np.isfinite(gap)}
    if wrong:
        raise ExportError(
            f"{where} was not written: its output {', '.join(wrong)} is not finite on "
            "some of the calibration inputs",
            wrong,
        )
    before, after = loss.before, loss.after
    if before is not None and after is not None and before - after > most_loss:
        raise ExportError(
            f"{where} was not written: its accuracy on {loss.samples} inputs is {after:.4f}, and "
            f"the model's is {before:.4f}: more than {most_loss:g} was lost. Calibrate on more "
            "inputs like those to come, or allow more: --most-loss",
            loss.largest,
        )
    # The accuracy is of the first output alone.
    unlabelled = list(loss.change)[0 if before is None else 1 :]
    wrong = {name: loss.change[name] for name in unlabelled if loss.change[name] > _MOST_CHANGE}
    if wrong:
        each = ", ".join(f"{name} by {part:.0%}" for name, part in wrong.items())
        raise ExportError(
            f"{where} was not written: on {loss.samples} inputs its outputs differ from the "
            f"model's on the average by more than {_MOST_CHANGE:.0%} of their range: {each}",
            loss.largest,
        )


def _all(run: Callable[[Feed], Feed], given: Calibration) -> Feed:
    parts = [
        run({name: part[start : start + _BATCH] for name, part in given.feed.items()})
        for start in range(0, len(given), _BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _accuracy(outputs: NDArray[np.generic], labels: NDArray[np.int64] | None) -> float | None:
    if labels is None:
        return None
    scores = outputs.reshape(len(outputs), -1).astype("float64")
    # One number for each sample is the probability of the second class.
    chosen = scores[:, 0] > 0.5 if scores.shape[1] == 1 else scores.argmax(axis=1)
    return float(np.mean(chosen.astype(np.int64) == labels))
