"""What a model takes and gives: names, shapes and types, and inputs checked against them.

Owns the signature and its errors. Leaves running the model to the runtimes. Imports numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError, did_you_mean


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a model.

    Args:
        name: by which it is asked for.
        shape: the first dimension is the batch's; None where any length is taken.
        dtype: as numpy names it, or `string`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def sample(self) -> tuple[int | None, ...]:
        """The shape of one sample: without the batch's dimension."""
        return self.shape[1:]

    def __str__(self) -> str:
        return f"{self.dtype}{shown(self.shape)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives, in the order in which it has them."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def input(self, name: str) -> Tensor:
        """Return the input of a name.

        Raises:
            InputError: the model has none of that name.
        """
        return _named(self.inputs, name, "input")

    def output(self, name: str) -> Tensor:
        """Return the output of a name.

        Raises:
            InputError: the model has none of that name.
        """
        return _named(self.outputs, name, "output")


Feed = dict[str, NDArray[Any]]
"""Arrays by the names of a model's inputs, or of its outputs; all with the same first dimension."""


def checked(signature: Signature, inputs: Any) -> Feed:
    """Return inputs as the model takes them, by name.

    Args:
        signature: of the model.
        inputs: an array, where the model has one input; else a mapping by name, or a sequence in
            the signature's order. What numpy can make an array of will do.

    Raises:
        InputError: a name, a number of inputs, a shape or a type is not the model's; says what was
            expected and what was found.
    """
    wanted = signature.inputs
    if isinstance(inputs, Mapping):
        return _together(
            {tensor.name: _array(tensor, part) for tensor, part in _by_name(wanted, inputs)}
        )
    if len(wanted) == 1:
        return {wanted[0].name: _array(wanted[0], inputs)}
    if not isinstance(inputs, Sequence) or len(inputs) != len(wanted):
        found = f"{len(inputs)}" if isinstance(inputs, Sequence) else type(inputs).__name__
        raise InputError(
            f"the model has {len(wanted)} inputs ({_listed(wanted)}), and was given {found}: give "
            "a dict by name, or a list in this order"
        )
    return _together(
        {tensor.name: _array(tensor, part) for tensor, part in zip(wanted, inputs, strict=True)}
    )


def shown(shape: Sequence[int | None]) -> str:
    """Return a shape for people: `?` where any length is taken."""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _array(tensor: Tensor, value: Any) -> NDArray[Any]:
    """Return a value as an input takes it: of its type, and of its shape but for the batch."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"{tensor.name}: expected {tensor}, and no array can be made of it: {error}"
        ) from None
    if array.ndim != len(tensor.shape) or any(
        size not in (None, found) for size, found in zip(tensor.shape, array.shape, strict=True)
    ):
        raise InputError(
            f"{tensor.name}: expected {tensor}, found {array.dtype}{shown(array.shape)}"
            f"{_way_out(tensor, array.shape)}"
        )
    return _typed(tensor, array)


def _typed(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name == tensor.dtype and array.dtype.isnative:
        return array
    if tensor.dtype == "string":
        if array.dtype.kind in "USO":
            return array.astype(object)
        raise InputError(f"{tensor.name}: expected texts, found {array.dtype}")
    wanted = _numpy(tensor.dtype)
    # A kind that holds less would change the numbers without a word.
    if _rank(array.dtype) > _rank(wanted):
        raise InputError(
            f"{tensor.name}: expected {tensor}, found {array.dtype}: convert it with "
            f"astype({tensor.dtype!r}) if that is what you mean"
        )
    if wanted.kind in "iu" and array.size:
        low, high = array.min(), array.max()
        limits = np.iinfo(wanted)
        if low < limits.min or high > limits.max:
            raise InputError(
                f"{tensor.name}: expected {tensor}, found numbers from {low} to {high}, which "
                f"{tensor.dtype} does not hold"
            )
    try:
        with np.errstate(over="raise"):
            return array.astype(wanted)
    except FloatingPointError:
        raise InputError(
            f"{tensor.name}: expected {tensor}, found numbers that {tensor.dtype} does not hold"
        ) from None


def _numpy(name: str) -> np.dtype[Any]:
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes  # it comes with whatever runs such a model

    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


def _rank(dtype: np.dtype[Any]) -> int:
    """Return how much a kind holds: truth, whole numbers, floats, anything else."""
    floats = dtype.kind == "f" or dtype.name == "bfloat16"
    return 2 if floats else {"b": 0, "i": 1, "u": 1}.get(dtype.kind, 3)


def _way_out(tensor: Tensor, shape: tuple[int, ...]) -> str:
    if len(shape) == len(tensor.sample) and all(
        size in (None, found) for size, found in zip(tensor.sample, shape, strict=True)
    ):
        return ": that is one sample; give a batch of one, x[None]"
    return ""


def _by_name(wanted: Sequence[Tensor], given: Mapping[str, Any]) -> list[tuple[Tensor, Any]]:
    names = [tensor.name for tensor in wanted]
    for name in given:
        if name not in names:
            raise InputError(
                f"the model has no input {name!r}{did_you_mean(str(name), names)}: it has "
                f"{_listed(wanted)}"
            )
    missing = [name for name in names if name not in given]
    if missing:
        raise InputError(f"{', '.join(missing)} was not given: the model takes {_listed(wanted)}")
    return [(tensor, given[tensor.name]) for tensor in wanted]


def _together(feed: Feed) -> Feed:
    lengths = {name: len(array) for name, array in feed.items() if array.ndim}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"the inputs are of different lengths: {found}")
    return feed


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.name} {tensor}" for tensor in tensors)


def _named(tensors: Sequence[Tensor], name: str, what: str) -> Tensor:
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    hint = did_you_mean(name, [tensor.name for tensor in tensors])
    raise InputError(f"the model has no {what} {name!r}{hint}: it has {_listed(tensors)}")
