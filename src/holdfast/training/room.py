"""Whether the disk has room for what a run will keep: asked before the first step.

Owns the estimate. Leaves what is kept to `store/retention`, and a disk that fills up later to
`keeper`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from rich.filesize import decimal

from holdfast.errors import NoRoomError
from holdfast.state import variables
from holdfast.store.layout import Layout
from holdfast.store.retention import Keep
from holdfast.training.cadence import Every
from holdfast.training.plan import Plan
from holdfast.types import Position


def check_room(
    layout: Layout,
    model: Any,
    values: Sequence[Any],
    keep: Keep,
    every: Every,
    plan: Plan,
    position: Position,
) -> None:
    """Refuse a training whose checkpoints the disk cannot hold.

    What is trained is in each checkpoint anew. What is not is counted once, since it is written
    once where it does not change. One checkpoint more than are kept is there while it is written.
    Files of callbacks and of the journal are not counted.

    Args:
        layout: of the run; what its packs take now is room, since they make way.
        model: whose variables are saved.
        values: of its variables, in the order of `variables.groups`.
        keep: which checkpoints stay.
        every: when they are taken.
        plan: of the training.
        position: where it begins.

    Raises:
        NoRoomError: there is not enough; what is needed, what is free and the ways out are named.
    """
    trainable, fixed, *_ = map(len, variables.groups(model))
    sizes = [value.nbytes for value in values]
    once = sum(sizes[trainable : trainable + fixed])
    each = sum(sizes) - once
    count = _most_at_once(keep, every, plan, position)
    needed = once + count * each
    usage = shutil.disk_usage(layout.root)
    room = usage.free + sum(path.stat().st_size for path in layout.all_packs())
    if usage.total and room < needed:  # some file systems do not say how large they are
        fewer = ""
        if once + 2 * each <= room:
            fewer = ", or keep fewer, such as keep=holdfast.Keep(last=1, best=0)"
        raise NoRoomError(
            f"{layout.root} will need {decimal(needed)} for {count} checkpoints of "
            f"{decimal(once + each)} (those that keep={keep} keeps, and the one being written), "
            f"and the disk has {decimal(room)} for them. Make room, or choose a directory on "
            f"another disk{fewer}."
        )


def _most_at_once(keep: Keep, every: Every, plan: Plan, position: Position) -> int:
    """Return how many checkpoints there will be at once.

    How many the clock will have taken nobody knows: one an epoch is counted.
    """
    epochs = max(plan.epochs - position.epoch, 0)
    taken = 2 + epochs
    if every.steps is not None:
        # How many steps an epoch has is not known of all data: then by the clock alone.
        steps = plan.train.schedule.steps(position.epoch) or 0
        taken += epochs * steps // every.steps
    count = min(keep.last, taken) + min(keep.best, epochs) + 1
    return count + (epochs // keep.every_epochs if keep.every_epochs else 0)
