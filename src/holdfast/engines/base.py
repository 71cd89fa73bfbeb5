"""What an engine is.

Owns the protocol. An engine executes steps it is told to; it decides nothing about epochs,
hooks, stopping or checkpoints (`training/loop` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from holdfast.data.order import Reshuffle

Logs = dict[str, Any]


class Engine(Protocol):
    """Executes steps on one model.

    While the engine works, the state lies with it and the model's variables are not to be
    read; `attach` gives them back, and the next step takes them again, with whatever was
    assigned to them meanwhile.

    Attributes:
        name: `fused` or `stepwise`.
        reason: why that one, in words.
        names: of all metrics that steps will log, those of validation with `val_` before them;
            None where that is not known before the first step.
        seen: loss and gradient norm of each step of the last stretch, of shape (steps, 2);
            None unless the engine was made to watch.
    """

    name: str
    reason: str
    names: frozenset[str] | None
    seen: NDArray[Any] | None

    def train(self, epoch: int, step: int, steps: int) -> Logs:
        """Execute `steps` training steps from a position; returns the last step's logs."""
        ...

    def test(self, step: int, steps: int) -> Logs:
        """Execute `steps` evaluation steps on the validation data; returns the last's logs."""
        ...

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Take training batches in another order from now on."""
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
