"""What Holdfast's callbacks and the run that trains say to each other.

Owns the two protocols: what a callback may ask of its run, and what the run asks of it. Outside
of a run, in Keras's own `fit`, nobody calls `check` and `join`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import keras
from numpy.typing import NDArray

from holdfast.store.kept import PutBack
from holdfast.store.patterns import Pattern
from holdfast.types import Position


class Host(Protocol):
    """What a run tells a callback, and does for it."""

    @property
    def position(self) -> Position:
        """Where the training stands."""
        ...

    def load_weights(self, step: int) -> None:
        """Give the model the weights of the checkpoint at a step that the callback pins."""
        ...

    def load_arrays(self, step: int) -> Mapping[str, NDArray[Any]] | None:
        """Return the model's and the optimizer's arrays at a step, by name; None if not kept."""
        ...

    def claim(self, pattern: str) -> None:
        """Say that a callback has this pattern of names."""
        ...

    def claimed(self, pattern: str) -> bool:
        """Return whether a callback has this pattern of names."""
        ...

    def score_of(self, pattern: Pattern, path: str, monitor: str) -> float | None:
        """Return the score of the model that an earlier attempt has saved at a path, if any."""
        ...

    def tell_saved(self, path: str, epoch: int, monitor: str, score: float) -> None:
        """Record that a file of the model stands at a path."""
        ...

    def keep(
        self,
        pattern: Pattern,
        path: str,
        found: Sequence[Path],
        stay: Collection[str],
        scores: Mapping[str, float],
    ) -> None:
        """Keep the files that stand at a path; see `store.kept`."""
        ...

    def let_go(self, pattern: Pattern, paths: Iterable[str]) -> None:
        """Keep the files of some paths no longer."""
        ...

    def forget(self, pattern: Pattern) -> None:
        """Keep no file of a pattern any longer."""
        ...

    def put_back(
        self,
        pattern: Pattern,
        place: Callable[[str], Path],
        standing: Callable[[str], Collection[Path]],
    ) -> PutBack:
        """Put kept files where they belong."""
        ...


class Hosted(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that knows of runs. Its state is what `get_state` says and nothing else."""

    host: Host | None = None
    _told: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made: Self = super().__new__(cls)
        made._told = {}
        with contextlib.suppress(TypeError):  # the constructor says better what is wrong
            signature = inspect.signature(cls.__init__)
            bound = signature.bind(made, *args, **kwargs)
            bound.apply_defaults()
            made._told = dict(bound.arguments)
        return made

    @property
    def judges(self) -> bool:
        """Whether it judges epochs, by its `monitor` and `mode`."""
        return False

    def settings(self) -> Mapping[str, Any]:
        """Return what the constructor was told, with its defaults, by name."""
        rest = self._told.get("kwargs", {})
        return {**self._told, **rest} if isinstance(rest, Mapping) else self._told

    def check(self, names: Collection[str] | None, *, validates: bool) -> None:
        """Refuse, before the first step, what cannot work.

        Args:
            names: of all metrics an epoch's logs will have, or None where that is not known.
            validates: whether there is validation data.

        Raises:
            PlanError: naming what there is instead.
        """

    def join(self, host: Host) -> None:
        """Hear of the run; called before the first step."""
        self.host = host

    def part(self) -> None:
        """Finish what is under way and forget the run; called when an attempt ends, anyhow."""
        with contextlib.suppress(Exception):
            self.settle()
        self.host = None

    def prepare(self, *, resumed: bool) -> None:
        """Called before `on_train_begin`; `resumed` where a checkpoint is gone on from."""

    def settle(self) -> None:
        """Wait until the disk has what the state speaks of, or could not take it.

        Called before a checkpoint.
        """

    def pins(self) -> Sequence[int]:
        """Return the steps of the checkpoints that the callback needs."""
        return ()

    def get_state(self) -> Any:
        """Return the state that decides what the callback does next."""
        return {}

    def set_state(self, state: Any) -> None:
        """Take the state of an earlier attempt; called after `on_train_begin`."""

    def put_back(self) -> Collection[str]:
        """Put the files that the callback wrote where they belong, if something else is there.

        Called before training goes on, or when it is at its end. Returns the paths of those that
        could not be put back.
        """
        return ()

    def carry(self) -> Any:
        """Return what going back in the training must not undo; see `set_carried`."""
        return None

    def set_carried(self, carried: Any) -> None:
        """Take what `carry` has returned, after the state of the point gone back to."""


def hosted(callbacks: Sequence[Any]) -> list[Hosted]:
    """Return those callbacks that know of runs."""
    return [callback for callback in callbacks if isinstance(callback, Hosted)]
