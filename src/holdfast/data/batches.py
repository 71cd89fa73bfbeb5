"""A batch, whoever made it, as numpy arrays packed as Keras packs them.

Owns what counts as a batch, and its description for fingerprints. Arrays whole are `arrays`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from blake3 import blake3
from keras import backend, tree
from numpy.typing import NDArray

from holdfast.data.source import Tree
from holdfast.errors import PlanError, UnsupportedError


def packed(batch: Any, kind: str) -> Tree:
    """Return a batch as Keras's steps take it: `x`, `(x,)`, `(x, y)` or `(x, y, weights)`.

    Its arrays are copies, which nobody else writes to.

    Args:
        batch: as the user's data gives it: a tuple or list of at most three, a dict or an array;
            its arrays of numpy or any backend.
        kind: what the data is, in words, for errors.

    Raises:
        PlanError: it is nothing that Keras takes for a batch.
    """
    if isinstance(batch, list):
        batch = tuple(batch)
    if isinstance(batch, tuple) and not 1 <= len(batch) <= 3:
        raise PlanError(
            f"{kind} should give (inputs,), (inputs, targets) or (inputs, targets, "
            f"sample_weights), found a tuple of {len(batch)}"
        )
    whole = tree.map_structure(lambda leaf: as_numpy(leaf, kind), batch, none_is_leaf=False)
    if not tree.flatten(whole):
        raise PlanError(f"{kind} gave a batch with nothing in it")
    return whole


def as_numpy(leaf: Any, kind: str) -> NDArray[Any]:
    """Return an array of a batch as numpy has it, of the type that a step is given.

    Raises:
        UnsupportedError: it is no array of numbers.
    """
    if type(leaf).__module__.partition(".")[0] == "torch":
        leaf = leaf.detach().cpu()
        if str(leaf.dtype) == "torch.bfloat16":  # numpy has none
            leaf = leaf.float()
    if hasattr(leaf, "todense"):
        leaf = leaf.todense()
    array = np.asarray(leaf)
    if array.dtype.kind in "OSUMm" or not array.ndim:
        raise UnsupportedError(
            f"{kind} gave a {type(leaf).__module__}.{type(leaf).__qualname__} of type "
            f"{array.dtype} and shape {array.shape}; expected arrays of numbers with a first "
            "dimension for the batch"
        )
    # A copy: some write the next batch into the same array.
    return np.array(array, dtype=_type(array.dtype, backend.floatx()))


def device_type(dtype: Any) -> str:
    """Return the type that samples have in training: Keras's, floats as `floatx`."""
    return _type(dtype, backend.floatx())


@functools.cache
def _type(dtype: Any, floatx: str) -> str:
    name: str = backend.standardize_dtype(dtype)
    return floatx if backend.is_float_dtype(name) else name


def described(batch: Tree) -> dict[str, Any]:
    """Return shapes without the batch's own dimension, and types."""
    leaves = [leaf for leaf in tree.flatten(batch) if leaf is not None]
    return {
        "shapes": [list(leaf.shape[1:]) for leaf in leaves],
        "types": [str(leaf.dtype) for leaf in leaves],
    }


def content_sum(batch: Tree) -> str:
    """Return the BLAKE3 of all bytes of a batch, in order."""
    total = blake3()
    for leaf in tree.flatten(batch):
        if leaf is not None:
            total.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
    digest: str = total.hexdigest()
    return digest


def rows(batch: Tree) -> int:
    """Return how many samples a batch has."""
    return int(next(leaf for leaf in tree.flatten(batch) if leaf is not None).shape[0])
