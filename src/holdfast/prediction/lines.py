"""JSON lines: one sample a line, from a file or as a pipe gives them.

Owns what a line may hold: a number, a list of numbers, flat or nested as the input is, or an object
by the inputs' names. Lines whose samples differ in shape, where the input leaves a size free, go in
batches of their own. What a pipe has ready goes together and waits for no more.
"""

from __future__ import annotations

import json
import math
import os
import select
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError, did_you_mean
from holdfast.judge.signature import Feed, Signature, Tensor, shown
from holdfast.prediction.bounds import largest

_PIECE = 1 << 16
_SHOWN = 40

_Line = tuple[int, bytes]


def batches(blocks: Iterable[list[_Line]], signature: Signature, what: str) -> Iterator[Feed]:
    """Give the samples of lines as unchecked batches.

    Args:
        blocks: lines with their numbers; those of one block go together if they can.
        signature: of the model.
        what: where the lines are from, for errors.

    Raises:
        InputError: a line is no JSON, or no sample; names the line.
    """
    for block in blocks:
        samples = [_samples(line, signature, f"{what}, line {number}") for number, line in block]
        for _, group in groupby(samples, lambda sample: [part.shape for part in sample.values()]):
            alike = list(group)
            yield {name: np.stack([sample[name] for sample in alike]) for name in alike[0]}


def of_file(stream: IO[bytes], most: int) -> Iterator[list[_Line]]:
    """Give the lines of a file, `most` at a time; empty ones not."""
    lines = ((number, line) for number, line in enumerate(stream, 1) if line.strip())
    while block := list(islice(lines, most)):
        yield block


def of_pipe(stream: IO[bytes], most: int) -> Iterator[list[_Line]]:
    """Give the lines of a pipe as they come, at most `most` at a time; empty ones not."""
    handle = stream.fileno()
    number = 0
    pieces: list[bytes] = []
    ready: list[_Line] = []
    while piece := os.read(handle, _PIECE):
        *ended, rest = piece.split(b"\n")
        for end in ended:
            number += 1
            line = b"".join([*pieces, end])
            pieces = []
            if line.strip():
                ready.append((number, line))
        pieces.append(rest)
        while len(ready) >= most:
            yield ready[:most]
            ready = ready[most:]
        if ready and not select.select([handle], [], [], 0)[0]:
            yield ready
            ready = []
    last = b"".join(pieces)
    if last.strip():
        ready.append((number + 1, last))
    if ready:
        yield ready


def _samples(line: bytes, signature: Signature, where: str) -> Feed:
    """Return a line's sample of each input."""
    try:
        value = json.loads(line, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected JSON, found: {error}") from None
    tensors = signature.inputs
    if isinstance(value, Mapping):
        return _by_name(tensors, value, where)
    if len(tensors) == 1:
        return {tensors[0].name: _sample(tensors[0], value, where)}
    if not isinstance(value, list) or len(value) != len(tensors):
        names = ", ".join(f'"{tensor.name}": …' for tensor in tensors)
        found = f"a list of {len(value)}" if isinstance(value, list) else repr(value)
        raise InputError(f"{where}: expected {{{names}}}, found {found}")
    return {
        tensor.name: _sample(tensor, part, where)
        for tensor, part in zip(tensors, value, strict=True)
    }


def _by_name(tensors: tuple[Tensor, ...], value: Mapping[str, Any], where: str) -> Feed:
    names = [tensor.name for tensor in tensors]
    strange = [name for name in value if name not in names]
    missing = [name for name in names if name not in value]
    if strange or missing:
        wrong = f"no {missing[0]!r}" if missing else repr(strange[0])
        hint = did_you_mean(strange[0], names) if strange else ""
        raise InputError(f"{where}: expected {', '.join(names)}, found {wrong}{hint}")
    return {tensor.name: _sample(tensor, value[tensor.name], where) for tensor in tensors}


def _sample(tensor: Tensor, value: Any, where: str) -> NDArray[Any]:
    """Return a value as a sample of an input, its shape the input's."""
    expected = f"{where}: {tensor.name}: expected {tensor.dtype}{shown(tensor.sample)}"
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise InputError(f"{expected}, found lists of different lengths") from None
    texts = tensor.dtype == "string"
    if array.dtype.kind not in ("U" if texts else "biuf"):
        found = {"U": "text", "O": "null, objects, or numbers too large"}
        what = found.get(array.dtype.kind, "numbers")
        raise InputError(f"{expected}, found {what}")
    if array.dtype.kind == "f" and tensor.dtype.startswith(("float", "bfloat")):
        beyond = np.abs(array) > largest(tensor.dtype)
        if (beyond & np.isfinite(array)).any():
            raise InputError(f"{expected}, found a number that {tensor.dtype} does not hold")
    sample = tensor.sample
    if len(array.shape) == len(sample) and all(
        size in (None, found) for size, found in zip(sample, array.shape, strict=True)
    ):
        return array
    # A flat list is unambiguous, and so is one that lacks dimensions of length 1.
    if None not in sample:
        size = math.prod(size or 0 for size in sample)
        if array.size == size and (array.ndim <= 1 or _solid(array.shape) == _solid(sample)):
            return array.reshape([size or 0 for size in sample])
    elif array.ndim == 0 and len(sample) == 1:
        return array.reshape(1)
    raise InputError(f"{expected}, found {shown(array.shape)}")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # a number, not the word Infinity
        raise ValueError(f"{text[:_SHOWN]}, which float64 does not hold")
    return number


def _solid(shape: Iterable[int | None]) -> list[int | None]:
    return [size for size in shape if size != 1]
