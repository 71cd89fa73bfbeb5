"""What an engine is.

Owns the protocol. An engine executes steps it is told to; it decides nothing about epochs,
hooks, stopping or checkpoints (`training/loop` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from holdfast.data.order import Reshuffle
from holdfast.data.source import State

Logs = dict[str, Any]


class Stretch(NamedTuple):
    """Steps that were executed.

    Args:
        logs: of the last; empty where there was none.
        steps: how many.
        ended: whether the data ended before as many as were asked for.
        waited: for how many seconds nothing was executed since the data was not there.
    """

    logs: Logs
    steps: int
    ended: bool
    waited: float


class Engine(Protocol):
    """Executes steps on one model.

    While the engine works, the state lies with it and the model's variables are not to be
    read; `attach` gives them back, and the next step takes them again, with whatever was
    assigned to them meanwhile.

    Attributes:
        name: `fused` or `stepwise`.
        reason: why that one, in words.
        looks: whether hooks look at each execution though no callback asks for it, as they do
            where a step is code that may stop the training.
        names: of all metrics that steps will log, those of validation with `val_` before them;
            None where that is not known before the first step.
        seen: loss and gradient norm of each step of the last stretch, of shape (steps, 2);
            None unless the engine was made to watch.
    """

    name: str
    reason: str
    looks: bool
    names: frozenset[str] | None
    seen: NDArray[Any] | None

    def train(self, epoch: int, step: int, steps: int) -> Stretch:
        """Execute `steps` training steps from a position, or those up to the end of the data."""
        ...

    def test(self, number: int, step: int, steps: int) -> Stretch:
        """Execute `steps` evaluation steps from step `step` of validation `number`, from 0."""
        ...

    def fetch(self, epoch: int, step: int) -> bool:
        """Have the training batch of a position ready; returns whether there is one.

        What is wrong with it is raised here, before hooks hear of its step.

        Raises:
            Stopped: the training was told to stop on a long way there.
        """
        ...

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Take training samples in another order from now on, where they have indices."""
        ...

    def place(self, epoch: int, step: int) -> State:
        """Return what `go_on` takes for the training data to go on from a position."""
        ...

    def go_on(self, place: State) -> None:
        """Go on with the training data from a place, of this process or another."""
        ...

    def attach(self) -> None:
        """Give the model its variables' values."""
        ...

    def values(self) -> Sequence[Any]:
        """Return the values of all variables, as immutable arrays, without copying."""
        ...

    def intact(self) -> bool:
        """Return whether the values are whole: after an error within a stretch they may not be."""
        ...

    def copy(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """Copy values to memory of the host that nothing else uses."""
        ...

    def close(self) -> None:
        """Give up threads and device memory."""
        ...
