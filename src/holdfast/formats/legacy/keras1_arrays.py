"""The arrays of Keras 1 in the form that Keras 2 and 3 have them.

Owns which layers' arrays changed, and how. Leaves configurations to `keras1`.

Source: `preprocess_weights_for_loading` of Keras 2, read for its facts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.formats.legacy.translation import Adapt
from holdfast.types import Json

CONVOLUTIONS = frozenset(["Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D"])
"""Layers whose kernels Theano turned around."""

_Arrays = Sequence[NDArray[Any]]

# Where each gate's three arrays begin, in the order in which Keras 2 joins them.
_GATES = {"LSTM": (0, 6, 3, 9), "ConvLSTM2D": (0, 6, 3, 9), "GRU": (0, 3, 6)}
_FIRST = "channels_first"


def changes(
    kind: str, config: Mapping[str, Json], ordering: str, *, turned: bool, real_std: bool
) -> tuple[Adapt, int | None] | None:
    """Return what makes a layer's arrays new ones, and how many old ones there are, or None.

    Args:
        kind: the layer's class by its name in Keras 2.
        config: its arguments, as Keras 1 named them.
        ordering: of an image's dimensions.
        turned: whether Theano turned the kernels around.
        real_std: whether BatchNormalization kept a standard deviation where it says so.
    """
    if kind in _GATES:
        apart = kind == "ConvLSTM2D" or config.get("consume_less") != "gpu"
        adapt = functools.partial(
            _recurrent, gates=_GATES[kind], first=ordering == _FIRST, turned=turned
        )
        return adapt, (3 * len(_GATES[kind]) if apart else None)
    if kind in CONVOLUTIONS:
        return functools.partial(
            _convolution, kind=kind, first=ordering == _FIRST, turned=turned
        ), None
    if kind == "SeparableConv2D" and ordering == _FIRST:
        return _separable, None
    if kind == "BatchNormalization" and real_std:
        return functools.partial(_variance, epsilon=float(config.get("epsilon", 1e-5))), None
    return None


def _recurrent(
    arrays: _Arrays, *, gates: Sequence[int], first: bool, turned: bool
) -> list[NDArray[Any]]:
    if len(arrays) != 3 * len(gates):
        return list(arrays)
    joined = []
    for part in range(3):
        of_gates = [arrays[gate + part] for gate in gates]
        image = of_gates[0].ndim == 4
        whole = np.concatenate(of_gates, axis=0 if image and first else -1)
        joined.append(_kernel(whole, first, turned) if image else whole)
    return joined


def _convolution(arrays: _Arrays, *, kind: str, first: bool, turned: bool) -> list[NDArray[Any]]:
    kernel, *rest = arrays
    if kind == "Conv1D":
        if kernel.ndim == 4:
            # The older order was (filters, channels, length, 1).
            if kernel.shape[1] != 1:
                kernel = kernel.transpose(2, 3, 1, 0)
            kernel = kernel[:, 0]
        return [kernel[::-1] if turned else kernel, *rest]
    if kind == "Conv2DTranspose":
        kernel = kernel.transpose(2, 3, 0, 1) if first else kernel.transpose(0, 1, 3, 2)
        return [kernel[::-1, ::-1] if turned else kernel, *rest]
    return [_kernel(kernel, first, turned), *rest]


def _kernel(kernel: NDArray[Any], first: bool, turned: bool) -> NDArray[Any]:
    """Return a kernel with its filters last, and the right way around."""
    places = kernel.ndim - 2
    if first:
        kernel = kernel.transpose(*range(2, kernel.ndim), 1, 0)
    return np.flip(kernel, tuple(range(places))) if turned else kernel


def _separable(arrays: _Arrays) -> list[NDArray[Any]]:
    depthwise, pointwise, *rest = arrays
    return [depthwise.transpose(2, 3, 1, 0), pointwise.transpose(2, 3, 1, 0), *rest]


def _variance(arrays: _Arrays, *, epsilon: float) -> list[NDArray[Any]]:
    *rest, deviation = arrays
    return [*rest, (deviation + epsilon) ** 2 - epsilon]
