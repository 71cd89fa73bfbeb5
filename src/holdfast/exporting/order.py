"""One file to be exported, on its way, and what was found of it.

Owns the two values and the directory that a file is made in. Leaves the work to `export` and
`proving`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.exporting.calibration import Calibration
from holdfast.exporting.kinds import Kind
from holdfast.exporting.measuring import Loss
from holdfast.exporting.portable import Portable
from holdfast.judge.about import About
from holdfast.store import files, layout

Precision = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class Exported:
    """What was written, and what was found of it.

    Args:
        target: its path.
        format: of it.
        runtime: that ran it.
        size: in bytes.
        differences: the largest of each output on random inputs, relative where they are larger
            than 1; of int8 on the calibration inputs, as they are.
        tolerance: the largest that was allowed; None of int8.
        precision: of its numbers.
        loss: what a narrower precision has lost on the calibration inputs; None where there were
            none.
        size_before: of the same in float32; None where that is what was written.
        computed: what the model itself computes in.
        seconds: that it took.
    """

    target: Path
    format: str
    runtime: str
    size: int
    differences: Mapping[str, float]
    tolerance: float | None
    precision: Precision
    loss: Loss | None
    size_before: int | None
    computed: str
    seconds: float = 0.0


@dataclass
class Order:
    """One file to be written.

    Args:
        model, about, kind, target: what is to be written where.
        work: a directory beside the target, which goes when all is done.
        precision, given, most_loss, tolerance: as `export` has them.
        reason: why it could not be written.
    """

    model: Portable
    about: About
    kind: Kind
    target: Path
    work: Path
    precision: Precision
    given: Calibration | None
    most_loss: float
    tolerance: float | None
    reason: str | None = None

    def file(self, precision: Precision) -> Path:
        """Return the path of the file while it has no name yet; its ending is the format's."""
        ending = "" if self.kind.name == "saved_model" else f".{self.kind.name}"
        return self.work / f"{precision}{ending}"


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Make a directory that goes at the end; what a killed export has left is removed first."""
    target = target.absolute()
    files.make_directory(target.parent)
    for left in target.parent.glob(layout.temporary_names(target)):
        with _held(left) as ours:
            if ours:
                files.remove_tree(left)
    folder = layout.temporary(target)
    files.make_folder(folder)
    try:
        with _held(folder):
            yield folder
    finally:
        files.remove_tree(folder)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a directory as long as it is worked in; yield whether nobody else holds it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # it went in this moment
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # the file system has no locks
            pass
        yield True
    finally:
        os.close(handle)
