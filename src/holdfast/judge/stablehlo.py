"""Runs `.stablehlo`, what `jax.export` has made of a model, by JAX.

Owns what JAX says of it in Holdfast's words, and running it. Leaves checking inputs to
`judge/signature`, and what the file says of itself to `judge/carried`.

The file is what `jax.export` serialized, with a zip after its end (see `judge/carried`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.errors import FormatError, MissingExtraError
from holdfast.judge.rows import in_blocks, is_free
from holdfast.judge.signature import Feed, Signature, Tensor


class StableHLO:
    """A model in JAX. It may be called from several threads at once.

    Args:
        path: of the file.

    Raises:
        FormatError: JAX refuses the file.
        MissingExtraError: JAX is not installed.
    """

    name = "JAX"

    def __init__(self, path: Path) -> None:
        try:
            import jax
            from jax import export
        except ModuleNotFoundError as error:
            raise MissingExtraError("jax", "jax", "Running a .stablehlo") from error
        try:
            exported = export.deserialize(bytearray(path.read_bytes()))
            given = jax.tree.unflatten(exported.in_tree, exported.in_avals)
            answers = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        except OSError:
            raise
        except Exception as error:  # a damaged file fails anywhere in there
            raise FormatError(f"{path}: JAX refuses it: {error or type(error).__name__}") from error
        arguments, words = given
        if words or not arguments:
            raise FormatError(f"{path}: expected a program of inputs by their places or in a dict")
        self._by_name = isinstance(arguments[0], Mapping)
        asked = arguments[0] if self._by_name else arguments
        self.signature = Signature(_tensors(asked, "input"), _tensors(answers, "output"))
        self._names = [tensor.name for tensor in self.signature.outputs]
        self._order = [tensor.name for tensor in self.signature.inputs]
        self._free = is_free(self.signature)
        self._call = jax.jit(exported.call)
        self._flat = jax.tree.leaves

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name."""
        return in_blocks(self._block, feed) if self._free else self._block(feed)

    def close(self) -> None:
        """Let go of the program."""
        self._call = None

    def _block(self, feed: Feed) -> Feed:
        if self._by_name:
            found = self._call(feed)
        else:
            found = self._call(*[feed[name] for name in self._order])
        if isinstance(found, Mapping):
            return {name: np.asarray(part) for name, part in found.items()}
        parts = self._flat(found)
        return {name: np.asarray(part) for name, part in zip(self._names, parts, strict=True)}


def _tensors(parts: Any, word: str) -> tuple[Tensor, ...]:
    if isinstance(parts, Mapping):
        return tuple(_tensor(name, part) for name, part in parts.items())
    if not isinstance(parts, Sequence):
        return (_tensor(word, parts),)
    if len(parts) == 1:
        return (_tensor(word, parts[0]),)
    return tuple(_tensor(f"{word}_{number}", part) for number, part in enumerate(parts))


def _tensor(name: str, part: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in part.shape)
    return Tensor(name, shape, np.dtype(part.dtype).name)
