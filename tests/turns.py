"""What takes too long for every run of the tests is done by turns: a part of it each day.

`make test-turns`, which sets HOLDFAST_TURNS=all, does all of it.
"""

import os
from collections.abc import Sequence
from datetime import date
from typing import Any

ALL = os.environ.get("HOLDFAST_TURNS") == "all"


def today(things: Sequence[Any], one_in: int) -> Sequence[Any]:
    """One in so many of the things, others each day; or all."""
    return things if ALL else things[date.today().toordinal() % one_in :: one_in]


def at_most(few: int, many: int) -> int:
    """How often something is done that is better done more often."""
    return many if ALL else few
