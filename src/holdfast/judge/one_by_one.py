"""A model made for batches of one row, given batches of any length.

Owns running it row by row. Many files from elsewhere are so: their first dimension is 1.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.judge.judge import Runtime
from holdfast.judge.rows import in_blocks
from holdfast.judge.signature import Feed, Signature, Tensor


class OneByOne:
    """Runs each row of a batch on its own.

    Args:
        runtime: of a model for which `is_of_one` holds.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.name = runtime.name
        self.signature = Signature(
            tuple(map(_free, runtime.signature.inputs)),
            tuple(map(_free, runtime.signature.outputs)),
        )
        self._runtime = runtime

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name."""
        return in_blocks(self._runtime.run, feed, 1)

    def close(self) -> None:
        """Let go of what the model holds."""
        self._runtime.close()


def is_of_one(signature: Signature) -> bool:
    """Return whether all inputs and outputs are of one row."""
    return all(tensor.shape[:1] == (1,) for tensor in (*signature.inputs, *signature.outputs))


def _free(tensor: Tensor) -> Tensor:
    return replace(tensor, shape=(None, *tensor.sample))
