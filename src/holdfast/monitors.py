"""Which values of a metric are better, told by its name.

Owns the words. Leaves which metric is looked at to those who ask.
"""

from __future__ import annotations

import re

# As Keras's own metrics are named, and as people name theirs: whole words, between underscores.
_LARGER_IS_BETTER = re.compile(
    r"(^|_)(acc|accuracy|auc|correlation|similarity|f1|fbeta|iou|io_u|precision|r2|recall"
    r"|sensitivity|specificity)(_|\d|$)"
)


def larger_is_better(monitor: str, mode: str = "auto") -> bool:
    """Return whether larger values of a metric are better.

    Args:
        monitor: the metric's name.
        mode: `min`, `max`, or `auto`: `max` where a word of the name says so (accuracy, auc, …)
            and it is no loss.
    """
    if mode != "auto":
        return mode == "max"
    name = monitor.lower()
    return not name.endswith("loss") and bool(_LARGER_IS_BETTER.search(name))
