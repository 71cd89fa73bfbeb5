"""A model that judges: inputs in, outputs out, by whatever runtime its file is for.

Owns what all runtimes have in common: inputs checked, outputs by name, what is known of the model.
Leaves running to the runtimes, each in a module named after its file or library, and choosing one
to `judge/loading`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.judge.about import About
from holdfast.judge.signature import Feed, Signature, checked


class Runtime(Protocol):
    """Runs one model.

    Attributes:
        name: of the library, for people: `onnxruntime`, `LiteRT`, `Keras on JAX`, …
        signature: of the model.
    """

    name: str
    signature: Signature

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name. May be called from several threads at once."""

    def close(self) -> None:
        """Let go of what the model holds."""


class Judge:
    """A model loaded to judge with; see `holdfast.judge.load`.

    Args:
        path: the file or run it is from.
        runtime: what runs it.
        about: what is known of it.
    """

    def __init__(self, path: Path, runtime: Runtime, about: About) -> None:
        self.path = path
        self.about = about
        self._runtime = runtime
        self._at_once = _at_once(runtime)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self._runtime.signature

    @property
    def runtime(self) -> str:
        """The library that runs it, for people."""
        return self._runtime.name

    def __call__(self, inputs: Any) -> Any:
        """Return what the model gives for a batch.

        Args:
            inputs: an array, where the model has one input; else a dict by name or a list in the
                signature's order. The first dimension is the batch's.

        Returns:
            An array, where the model has one output; else a dict by name.

        Raises:
            InputError: a shape or a type is not the model's; says what was expected and found.
        """
        # To check an array takes longer than to run a small model.
        if self._at_once is not None and type(inputs) is np.ndarray:
            answer = self._at_once(inputs)
            if answer is not None:
                return answer
        outputs = self._runtime.run(checked(self._runtime.signature, inputs))
        return outputs if len(outputs) > 1 else outputs.popitem()[1]

    def outputs(self, feed: Feed) -> Feed:
        """Return the outputs by name for arrays that `signature.checked` has returned."""
        return self._runtime.run(feed)

    def close(self) -> None:
        """Let go of the model's memory. It cannot be called any more."""
        runtime, self._runtime = self._runtime, _Closed(self._runtime)
        self._at_once = None
        runtime.close()


class _Closed:
    """Stands in a runtime's place when it is closed."""

    def __init__(self, runtime: Runtime) -> None:
        self.name, self.signature = runtime.name, runtime.signature

    def run(self, feed: Feed) -> Feed:
        raise ValueError("the model was closed: load it again")

    def close(self) -> None: ...


def _at_once(runtime: Runtime) -> Callable[[NDArray[Any]], NDArray[Any] | None] | None:
    """Return a runtime's way without checks, if it has one that does for the model.

    It gives the only output for the only input, or None for an input that may not be right.
    """
    signature = runtime.signature
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        return None
    return getattr(runtime, "at_once", None)
