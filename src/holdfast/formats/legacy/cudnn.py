"""Recurrent layers that only ran on CuDNN, as the plain ones that give the same numbers.

Owns their arguments and the form of their arrays. Leaves arrays within wrappers to `wrappers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.legacy.context import Context, Place
from holdfast.formats.legacy.translation import Adapt
from holdfast.types import Json

PLAIN = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}

_GATES = {"CuDNNLSTM": 4, "CuDNNGRU": 3}


def plain(class_name: str, config: Json, context: Context, place: Place) -> tuple[str, Json]:
    """Return the class that stands for a CuDNN layer, and its arguments; note how arrays change."""
    context.adapt[place.new] = adapting(class_name)
    config = {**config, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    if class_name == "CuDNNGRU":
        config["reset_after"] = True
    return PLAIN[class_name], config


def adapting(class_name: str) -> Adapt:
    """Return what makes the arrays of a CuDNN layer those of the plain one."""

    def adapt(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        gates = _GATES[class_name]
        if len(arrays) != 3:
            raise FormatError(f"a {class_name} has 3 arrays, and the file has {len(arrays)} of it")
        kernel, recurrent, bias = (np.asarray(array) for array in arrays)
        units = recurrent.shape[0]
        expected = (units, gates * units), (2 * gates * units,)
        if (recurrent.shape, bias.shape) != expected or kernel.shape[1:] != (gates * units,):
            raise FormatError(
                f"the arrays of a {class_name} of {units} units are of the shapes (inputs, "
                f"{gates * units}), {expected[0]} and {expected[1]}; the file's are "
                f"{kernel.shape}, {recurrent.shape} and {bias.shape}"
            )
        kernels = [
            gate.T.reshape(gate.shape, order="F") for gate in np.split(kernel, gates, axis=1)
        ]
        recurrents = [gate.T for gate in np.split(recurrent, gates, axis=1)]
        halves = bias.reshape(2, -1)
        return [
            np.hstack(kernels),
            np.hstack(recurrents),
            halves if class_name == "CuDNNGRU" else halves.sum(axis=0),
        ]

    return adapt
