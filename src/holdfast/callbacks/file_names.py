"""Names of model files: patterns with names of metrics in braces, and what their endings mean.

Owns which patterns there can be, and filling in. Leaves what endings mean and writing to
`formats/writing`.
"""

from __future__ import annotations

import string
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import FormatError, PlanError, UnsupportedError, did_you_mean
from holdfast.formats import writing
from holdfast.store import patterns


class FileName:
    """A pattern such as `{epoch:02d}-{val_loss:.2f}.keras`, as Keras's ModelCheckpoint takes it.

    Args:
        pattern: a path with names in braces.
        weights_only: whether the file is of weights, or of the whole model.
        after_batches: whether the file is written after batches; else at the end of epochs.
        judged: whether, all the same, it is written only where validation has been done.
        form: the file's format, whatever its ending; None for what the ending says.

    Raises:
        PlanError: no hook could fill it in; or its ending says another format than is asked for.
        UnsupportedError: a SavedModel, which is not written while a model trains.

    Attributes:
        format: of the files.
    """

    def __init__(
        self,
        pattern: str,
        *,
        weights_only: bool,
        after_batches: bool,
        judged: bool,
        form: str | None = None,
    ) -> None:
        self._pattern = pattern
        self.names = _names(pattern)
        self._given, self._weights_only, self._form = pattern, weights_only, form
        self.format = form or _format(pattern, weights_only)
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

    def rename(self, present: Callable[[str], str]) -> None:
        """Take other names of the same metrics; the files' names stay the same.

        Args:
            present: returns the name that the logs will have.
        """
        parts = []
        for text, name, spec, conversion in string.Formatter().parse(self._pattern):
            parts.append(text.replace("{", "{{").replace("}", "}}"))
            if name is not None:
                converted = f"!{conversion}" if conversion else ""
                parts.append(f"{{{present(name)}{converted}{f':{spec}' if spec else ''}}}")
        self._pattern = "".join(parts)
        self.names = _names(self._pattern)

    def follows(self, pattern: str) -> bool:
        """Return whether the files of another pattern may go by this one's names.

        Args:
            pattern: that files of the same kind had at an earlier start.
        """
        return (
            patterns.fields(pattern) == patterns.fields(self._given)
            and (self._form or _format(pattern, self._weights_only)) == self.format
        )

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
            # Not by keywords: logs may know a metric by more names than they show.
            known: ChainMap[str, Any] = ChainMap({"epoch": epoch + 1, **batches})
            known.maps.append(logs)  # type: ignore[arg-type]
            return self._pattern.format_map(known)
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


def _format(path: str, weights_only: bool) -> str:
    """Return the format that a name's ending says.

    Raises:
        PlanError: the ending and `weights_only` contradict each other, or it is no format's.
        UnsupportedError: a SavedModel, which is not written while a model trains.
    """
    name = Path(path.rpartition("/")[2])
    ending = ".weights.h5" if name.name.endswith(".weights.h5") else writing.ending_of(name)
    weights = ending in writing.WEIGHTS_ENDINGS
    whole = ending in writing.MODEL_ENDINGS and ending != ".weights.h5"
    if weights_only and whole and not weights:
        raise PlanError(
            f"{path!r} names a file of a whole model, and the weights alone were asked for: "
            "leave save_weights_only out, or end the name in "
            f"{writing.listed(writing.WEIGHTS_ENDINGS)}"
        )
    if not weights_only and weights and (not whole or ending == ""):
        if writing.WEIGHTS_ENDINGS[ending] == "checkpoint":
            what = f"ends in {ending!r}" if ending else "has no ending"
            raise UnsupportedError(
                f"{path!r} {what}: TensorFlow's SavedModels are not written while a model trains, "
                "and its checkpoints hold weights: pass save_weights_only=True, or end the name "
                f"in {writing.listed(writing.MODEL_ENDINGS)}"
            )
        raise PlanError(
            f"{path!r} names a file of weights, and the whole model was asked for: pass "
            f"save_weights_only=True, or end the name in {writing.listed(writing.MODEL_ENDINGS)}"
        )
    try:
        return (writing.weights_format if weights_only else writing.model_format)(name)
    except FormatError as error:
        raise PlanError(str(error)) from None
