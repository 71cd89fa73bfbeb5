"""Names of model files: patterns with names of metrics in braces, and what their endings mean.

Owns which patterns and endings can be, and filling in. Leaves writing to `model_files`.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import PlanError, UnsupportedError, did_you_mean

WEIGHTS = ".weights.h5"
HDF5 = (".h5", ".hdf5")
_TENSORFLOW = (".ckpt", ".tf", ".pb", "")


class FileName:
    """A pattern such as `{epoch:02d}-{val_loss:.2f}.keras`, as Keras's ModelCheckpoint takes it.

    Args:
        pattern: a path with names in braces.
        weights_only: whether the file is of weights, or of the whole model.
        after_batches: whether the file is written after batches; else at the end of epochs.
        judged: whether, all the same, it is written only where validation has been done.

    Raises:
        PlanError: no hook could fill it in; or its ending says another format than is asked for.
        UnsupportedError: a format of TensorFlow's, which this version does not write.
    """

    def __init__(
        self, pattern: str, *, weights_only: bool, after_batches: bool, judged: bool
    ) -> None:
        self._pattern = pattern
        self.names = _names(pattern)
        _check_ending(pattern, weights_only)
        for name in self.names:
            early = after_batches and name.startswith("val_") and not judged
            if early or (name == "batch" and not after_batches):
                when = "a batch" if after_batches else "an epoch"
                raise PlanError(
                    f"ModelCheckpoint: {pattern!r} has {name!r} in it, which is not known at the "
                    f"end of {when}, when save_freq has it saved"
                )
        try:
            pattern.format(**dict.fromkeys(self.names, 0.5) | {"epoch": 1, "batch": 1})
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise PlanError(
                f"ModelCheckpoint: {pattern!r} cannot be filled in ({error}); write {{epoch:02d}} "
                "and {val_loss:.2f}"
            ) from None

    def check(self, logged: Collection[str]) -> None:
        """Refuse a name that no log will have.

        Args:
            logged: the names of all metrics there will be.
        """
        for name in self.names - {"epoch", "batch"}:
            if name not in logged:
                raise PlanError(
                    f"ModelCheckpoint: {self._pattern!r} has {name!r} in it, which is in no log"
                    f"{did_you_mean(name, logged)}; there are: {', '.join(sorted(logged))}"
                )

    def fill(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> str:
        """Return the name at the end of an epoch or a batch, both counted from 0.

        Raises:
            PlanError: the logs lack a name.
        """
        batches = {} if batch is None or "batch" in logs else {"batch": batch + 1}
        try:
            return self._pattern.format(epoch=epoch + 1, **batches, **logs)
        except (KeyError, ValueError, TypeError) as error:
            name = str(error.args[0]) if isinstance(error, KeyError) else ""
            names = ["epoch", *batches, *logs]
            raise PlanError(
                f"ModelCheckpoint: {self._pattern!r} cannot be filled in ({error})"
                f"{did_you_mean(name, names)}; there are: {', '.join(names)}"
            ) from None


def _names(pattern: str) -> set[str]:
    try:
        parts = string.Formatter().parse(pattern)
        found = {field for _, field, _, _ in parts if field is not None}
    except ValueError as error:
        raise PlanError(
            f"ModelCheckpoint: {pattern!r} is no pattern for a name ({error})"
        ) from None
    if "" in found:
        raise PlanError(
            f"ModelCheckpoint: {pattern!r} has braces without a name, such as {{epoch}}"
        )
    return found


def _check_ending(path: str, weights_only: bool) -> None:
    """Refuse a name whose ending says another format than can be written.

    Raises:
        PlanError: the ending and `weights_only` contradict each other, or it is no format's.
        UnsupportedError: a format of TensorFlow's, which this version does not write.
    """
    name = path.rpartition("/")[2]
    can = f"'{WEIGHTS}', '.h5' or '.hdf5'" if weights_only else "'.keras', '.h5' or '.hdf5'"
    if name.endswith(WEIGHTS):
        if not weights_only:
            raise PlanError(
                f"{path!r} names a file of weights, and the whole model was asked for: pass "
                f"save_weights_only=True, or end the name in {can}"
            )
    elif name.endswith(".keras"):
        if weights_only:
            raise PlanError(
                f"{path!r} names a file of a whole model, and the weights alone were asked for: "
                f"leave save_weights_only out, or end the name in {can}"
            )
    elif not name.endswith(HDF5):
        # A number's point in the name, as in `{val_loss:.2f}`, begins no ending.
        ending = Path(name).suffix if "}" not in Path(name).suffix else ""
        if ending in _TENSORFLOW:
            what = f"ends in {ending!r}" if ending else "has no ending"
            raise UnsupportedError(
                f"{path!r} {what}: TensorFlow's checkpoints and SavedModels are not written by "
                f"this version. End the name in {can}"
            )
        raise PlanError(f"{path!r} ends in {ending!r}, which is no format of Keras's: use {can}")
