"""What a part concludes: against each peer ahead, level or behind, and each goal kept or missed."""

from __future__ import annotations

from dataclasses import dataclass

LEVEL = 0.05
"""Within a twentieth two contenders are level: this is what the machine's drift leaves certain."""


@dataclass(frozen=True)
class Against:
    """Holdfast against one peer in one figure.

    Args:
        what: the figure, as "MLP, an epoch".
        peer: who, as "Keras on JAX".
        times: how many times as fast (or as small) as the peer Holdfast is; above 1 is better.
        reason: why it is behind, where it is.
    """

    what: str
    peer: str
    times: float
    reason: str = ""

    @property
    def place(self) -> str:
        """`ahead`, `level` or `behind`."""
        if self.times > 1 + LEVEL:
            return "ahead"
        return "behind" if self.times < 1 / (1 + LEVEL) else "level"


@dataclass(frozen=True)
class Goal:
    """A goal in numbers, and what was measured.

    Args:
        what: the figure, as "MLP, an epoch over the limit's".
        goal: the goal in words, as "at most 1.15".
        found: what was measured, in words, as "1.04".
        kept: whether the goal was reached.
        reason: why not, where it was not.
    """

    what: str
    goal: str
    found: str
    kept: bool
    reason: str = ""


@dataclass(frozen=True)
class Verdicts:
    """All that a part concludes."""

    against: tuple[Against, ...] = ()
    goals: tuple[Goal, ...] = ()
