"""A batch of any length, run in blocks of few lengths.

Owns cutting a batch, filling up its last block, and putting answers together. A compiler makes a
program for each length that it meets: of blocks there are the powers of two up to the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError
from holdfast.judge.signature import Feed, Signature, shown

LONGEST = 512
"""Rows run together. More is hardly faster, and takes the memory of all at once."""


def is_free(signature: Signature) -> bool:
    """Return whether a model takes batches of any length."""
    return all(tensor.shape[:1] == (None,) for tensor in (*signature.inputs, *signature.outputs))


def in_blocks(run: Callable[[Feed], Feed], feed: Feed, longest: int = LONGEST) -> Feed:
    """Return the outputs for a batch of any length.

    Args:
        run: returns the outputs by name for a block.
        feed: the inputs by name.
        longest: the most rows of a block.

    Raises:
        InputError: the model does not give a row for each row.
    """
    length = len(next(iter(feed.values())))
    if length <= longest:
        return _block(run, feed, length)
    blocks = []
    for start in range(0, length, longest):
        part = {name: array[start : start + longest] for name, array in feed.items()}
        blocks.append(_block(run, part, min(longest, length - start)))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _block(run: Callable[[Feed], Feed], feed: Feed, length: int) -> Feed:
    room = 1 << max(0, length - 1).bit_length()
    outputs = run({name: _filled(array, room) for name, array in feed.items()})
    for name, array in outputs.items():
        if array.ndim == 0 or len(array) != room:
            raise InputError(
                f"the model gives {name} as {shown(array.shape)} for {room} rows: only models that "
                "give a row for each row can judge batches"
            )
    return outputs if room == length else {name: part[:length] for name, part in outputs.items()}


def _filled(array: NDArray[Any], room: int) -> NDArray[Any]:
    if len(array) == room:
        return array
    # With copies of a row that is there: zeros may be no class that an embedding knows.
    missing = room - len(array)
    more = array[-1:] if len(array) else np.zeros((1, *array.shape[1:]), array.dtype)
    return np.concatenate([array, np.repeat(more, missing, axis=0)])
