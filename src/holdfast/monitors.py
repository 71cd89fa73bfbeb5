"""Which values of a metric are better, told by its name.

Owns the words. Leaves which metric is looked at to those who ask.
"""

from __future__ import annotations

# As Keras's own metrics are named, and as people name theirs.
_LARGER_IS_BETTER = (
    "acc",
    "auc",
    "correlation",
    "cosine_similarity",
    "f1",
    "fbeta",
    "io_u",
    "iou",
    "precision",
    "r2",
    "recall",
    "sensitivity",
    "specificity",
)


def larger_is_better(monitor: str, mode: str = "auto") -> bool:
    """Return whether larger values of a metric are better.

    Args:
        monitor: the metric's name.
        mode: `min`, `max`, or `auto`: `max` where the name says so (accuracy, auc, …).
    """
    if mode != "auto":
        return mode == "max"
    return any(word in monitor.lower() for word in _LARGER_IS_BETTER)
