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


def check_room(
    layout: Layout, model: Any, values: Sequence[Any], keep: Keep, epochs_left: int
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
        epochs_left: how many epochs are to be trained.

    Raises:
        NoRoomError: there is not enough; what is needed, what is free and the ways out are named.
    """
    trainable, fixed, *_ = map(len, variables.groups(model))
    sizes = [value.nbytes for value in values]
    once = sum(sizes[trainable : trainable + fixed])
    each = sum(sizes) - once
    count = keep.last + keep.best + 1
    if keep.every_epochs:
        count += epochs_left // keep.every_epochs
    needed = once + count * each
    usage = shutil.disk_usage(layout.root)
    room = usage.free + sum(path.stat().st_size for path in layout.all_packs())
    if usage.total and room < needed:  # some file systems do not say how large they are
        raise NoRoomError(
            f"{layout.root} will need {decimal(needed)} for {count} checkpoints of "
            f"{decimal(once + each)} ({keep} and the one being written), and the disk has "
            f"{decimal(room)} for them. Make room, choose a directory on another disk, or keep "
            "fewer, such as keep=holdfast.Keep(last=1, best=0)."
        )
