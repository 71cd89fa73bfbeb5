"""Every error Holdfast raises on purpose.

    HoldfastError
    ├── PlanError               the arguments of fit (also a ValueError)
    │   ├── UnknownArgumentError  an argument by a name there is not (also a TypeError)
    │   ├── UnsupportedError    a kind of data, backend or model this version does not take
    │   └── PlanChangedError    the run on disk was begun with another plan
    ├── RunError
    │   ├── DivergedError       the training broke more often than a Rollback may go back
    │   ├── NotARunError        the path holds no run
    │   └── RunLockedError      another process is writing this run
    ├── StoreError
    │   ├── DamagedError        bytes on disk are not what was written
    │   ├── NewerFormatError    written by a newer Holdfast
    │   ├── NoCheckpointError   nothing there to load
    │   ├── NoRoomError         the disk cannot hold what the run will keep
    │   └── NotSavedError       the last state could not be written
    ├── FormatError             a model's file is not sound, safe or known (also a ValueError)
    │   ├── CustomObjectError   it has a part that only `custom_objects` can give
    │   ├── MismatchError       its arrays are not those of the model
    │   ├── NotThereError       there is no such file (also a FileNotFoundError)
    │   └── ExportError         what was exported cannot be made, or computes something else
    ├── InputError              inputs are not what a model takes (also a ValueError)
    └── MissingExtraError       an optional dependency is not installed (also an ImportError)

    Interrupted                 outside the tree: a SystemExit, so that `except Exception` lets
                                it pass and an uncaught one ends the script with 128 + signal
    └── KeyboardInterrupted     the same for Ctrl-C (also a KeyboardInterrupt)

Owns the tree and the wording of suggestions. Imports nothing of Holdfast.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence


class HoldfastError(Exception):
    """The root of every error Holdfast raises on purpose."""


class PlanError(HoldfastError, ValueError):
    """An argument of `fit` cannot be used. Raised before the first step."""


class UnknownArgumentError(PlanError, TypeError):
    """An argument was given by a name there is not."""


class UnsupportedError(PlanError):
    """A kind of data, backend or model that this version does not take."""


class PlanChangedError(PlanError):
    """The run on disk was begun with another plan.

    `differences` lists each one as `(name, then, now)`.
    """

    def __init__(self, path: object, differences: Sequence[tuple[str, str, str]]) -> None:
        self.differences = list(differences)
        lines = [f"  {name}: was {then}, is {now}" for name, then, now in self.differences]
        super().__init__(
            f"The run in {path} was begun with another plan:\n"
            + "\n".join(lines)
            + "\nTo go on with it, call fit as it was called then. To train with the new plan, "
            "use another directory, or fresh=True to move this run aside and start over."
        )


class RunError(HoldfastError):
    """Something about a run as a whole."""


class DivergedError(RunError):
    """The loss or a gradient is no finite number, more often than `Rollback` may go back."""


class NotARunError(RunError):
    """The path holds no run."""


class RunLockedError(RunError):
    """Another living process is writing this run."""


class StoreError(HoldfastError):
    """Something about what is on disk."""


class DamagedError(StoreError):
    """Bytes on disk are not what was written."""


class NewerFormatError(StoreError):
    """The file was written by a newer Holdfast, in a format this one does not know."""


class NoCheckpointError(StoreError):
    """The run has no checkpoint of the kind asked for."""


class NoRoomError(StoreError):
    """The disk cannot hold what the run will keep. Raised before the first step."""


class NotSavedError(StoreError):
    """The last state of a training could not be written. The model in memory is still whole."""


class FormatError(HoldfastError, ValueError):
    """A file of a model is damaged, not safe to read, or of no kind that is known."""


class CustomObjectError(FormatError):
    """A file has a layer, function or class that only `custom_objects` can give."""


class MismatchError(FormatError):
    """A file's arrays are not those of the model.

    `differences` lists each one as `(name, expected, found)`: the shape the model expects, or
    `nothing`, and the shape the file has, or `nothing`.
    """

    def __init__(self, path: object, differences: Sequence[tuple[str, str, str]]) -> None:
        self.differences = list(differences)
        lines = [
            f"  {name}: expected {expected}, found {found}"
            for name, expected, found in self.differences
        ]
        super().__init__(
            f"{path} does not hold the weights of this model:\n"
            + "\n".join(lines)
            + "\nBuild the model as it was when the file was written, or pass strict=False to load "
            "what matches."
        )


class NotThereError(FormatError, FileNotFoundError):
    """There is no file of a model at the path."""


class ExportError(FormatError):
    """A model cannot be had in a format, or computes something else there.

    `differences` has the largest difference of each output by its name, where they were compared.
    """

    def __init__(self, message: str, differences: Mapping[str, float] | None = None) -> None:
        self.differences = dict(differences or {})
        super().__init__(message)


class InputError(HoldfastError, ValueError):
    """What a model was given to judge is not what its signature says it takes."""


class MissingExtraError(HoldfastError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, what: str) -> None:
        super().__init__(
            f"{what} needs {package}, which is not installed. "
            f'Install it with: pip install "holdfast[{extra}]"'
        )


class Interrupted(SystemExit):
    """Training stopped on a signal, after its state was saved.

    `signal` is the signal's number; the exit status of a script that does not
    catch this is 128 + `signal`.
    """

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__(128 + signal)


class KeyboardInterrupted(Interrupted, KeyboardInterrupt):
    """Training stopped on Ctrl-C, after its state was saved."""


ANEW = "To train anew, use fresh=True: this run is moved aside and kept."
"""The way out where a run cannot be gone on with."""


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest of `words`, or an empty string."""
    near = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
