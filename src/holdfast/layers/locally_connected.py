"""Convolutions whose kernel is another at each place, which Keras 3 no longer has.

Owns LocallyConnected1D and LocallyConnected2D with the three forms in which Keras 2 kept their
kernels, so that arrays of old files fit as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


class _LocallyConnected(keras.layers.Layer):  # type: ignore[misc]
    """A locally connected layer over any number of dimensions.

    `implementation` says how the kernel is kept: 1 by output places, the inputs within its window,
    and filters; 2 for all pairs of inputs and outputs, of which those not connected do not count;
    3 as a list of the connected pairs, outputs first.
    """

    rank: int

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if padding not in ("valid", "same") or (padding == "same" and implementation == 1):
            raise ValueError(
                "padding must be 'valid', or with implementation 2 or 3 'same', found "
                f"{padding!r} with implementation {implementation}"
            )
        if implementation not in (1, 2, 3):
            raise ValueError(f"implementation must be 1, 2 or 3, found {implementation!r}")
        self.filters = int(filters)
        self.kernel_size = _each(kernel_size, self.rank)
        self.strides = _each(strides, self.rank)
        self.padding = padding
        self.data_format = data_format or keras.config.image_data_format()
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.implementation = implementation

    @property
    def _first(self) -> bool:
        return bool(self.data_format == "channels_first")

    def build(self, input_shape: Any) -> None:
        """Make the variables; the input's size must be known."""
        inside, channels = self._split(input_shape)
        if None in inside or channels is None:
            raise ValueError(
                f"{self.name} has a kernel for each place, so it must know its input's size; "
                f"found the shape {tuple(input_shape)}"
            )
        outside = self._outside(inside)
        if min(outside) <= 0:
            raise ValueError(
                f"{self.name} has a window of {self.kernel_size}, and its input is {inside}"
            )
        self._inside, self._channels, self._places = inside, channels, outside
        self._windows = _windows(inside, outside, self.kernel_size, self.strides, self.padding)
        self.kernel = self.add_weight(
            name="kernel",
            shape=self._kernel_shape(),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(*outside, self.filters),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the layer."""
        if self.implementation == 1:
            outputs = self._by_windows(inputs)
        else:
            matrix = self._masked() if self.implementation == 2 else self._scattered()
            flat = ops.reshape(inputs, (-1, math.prod(self._inside) * self._channels))
            outputs = ops.reshape(ops.matmul(flat, matrix), (-1, *self._sample()))
        if self.bias is not None:
            # Keras 2 gave the bias the channels' place by a reshape, not by a transposition.
            shape = (self.filters, *self._places) if self._first else (*self._places, self.filters)
            outputs = outputs + ops.reshape(self.bias, (1, *shape))
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of what comes out."""
        outside = self._outside(self._split(input_shape)[0])
        sample = (self.filters, *outside) if self._first else (*outside, self.filters)
        return (input_shape[0], *sample)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "implementation": self.implementation,
        }

    def _split(self, shape: Any) -> tuple[tuple[int, ...], int]:
        if len(shape) != self.rank + 2:
            raise ValueError(
                f"{self.name} takes an input of {self.rank + 2} dimensions, found {tuple(shape)}"
            )
        return (tuple(shape[2:]), shape[1]) if self._first else (tuple(shape[1:-1]), shape[-1])

    def _outside(self, inside: Sequence[int]) -> tuple[int, ...]:
        short = (0,) * self.rank if self.padding == "same" else (k - 1 for k in self.kernel_size)
        return tuple(
            -((missing - size) // stride) if size is not None else None
            for size, missing, stride in zip(inside, short, self.strides, strict=True)
        )

    def _sample(self) -> tuple[int, ...]:
        return (self.filters, *self._places) if self._first else (*self._places, self.filters)

    def _kernel_shape(self) -> tuple[int, ...]:
        window = math.prod(self.kernel_size) * self._channels
        if self.implementation == 1:
            return (math.prod(self._places), window, self.filters)
        if self.implementation == 3:
            return (len(self._pairs()),)
        if self._first:
            return (self._channels, *self._inside, self.filters, *self._places)
        return (*self._inside, self._channels, *self._places, self.filters)

    def _by_windows(self, inputs: Any) -> Any:
        """Compute from the kernel of each place and the inputs in its window."""
        places = len(self._windows)
        size = math.prod(self._inside)
        shape = (-1, self._channels, size) if self._first else (-1, size, self._channels)
        seen = ops.take(
            ops.reshape(inputs, shape),
            np.array(self._windows, "int32"),
            axis=2 if self._first else 1,
        )
        if self._first:
            seen = ops.transpose(seen, (0, 2, 1, 3))
        seen = ops.reshape(seen, (-1, places, self.kernel.shape[1]))
        outputs = ops.einsum("bpk,pkf->bpf", seen, self.kernel)
        if self._first:
            outputs = ops.transpose(outputs, (0, 2, 1))
        return ops.reshape(outputs, (-1, *self._sample()))

    def _masked(self) -> Any:
        """Return the matrix from inputs to outputs, of a kernel that has all pairs."""
        size, places = math.prod(self._inside), len(self._windows)
        mask = np.zeros((size, places), "float32")
        for place, window in enumerate(self._windows):
            mask[list(window), place] = 1
        first = self._first
        matrix = (
            (self._channels, size, self.filters, places)
            if first
            else (size, self._channels, places, self.filters)
        )
        wide = mask[None, :, None, :] if first else mask[:, None, :, None]
        kernel = ops.reshape(self.kernel, matrix)
        connected = kernel * ops.cast(wide, kernel.dtype)
        return ops.reshape(connected, (size * self._channels, places * self.filters))

    def _scattered(self) -> Any:
        """Return the matrix from inputs to outputs, of a kernel that lists the pairs."""
        shape = (
            math.prod(self._places) * self.filters,
            math.prod(self._inside) * self._channels,
        )
        pairs = np.array(self._pairs(), "int32")
        return ops.transpose(ops.scatter(pairs, ops.convert_to_tensor(self.kernel), shape))

    def _pairs(self) -> list[tuple[int, int]]:
        """Return the connected (output, input) in the order of the kernel's elements."""
        size, places = math.prod(self._inside), len(self._windows)
        found = []
        for place, window in enumerate(self._windows):
            for seen, channel, made in itertools.product(
                window, range(self._channels), range(self.filters)
            ):
                if self._first:
                    found.append((made * places + place, channel * size + seen))
                else:
                    found.append((place * self.filters + made, seen * self._channels + channel))
        return sorted(found)


@keras.saving.register_keras_serializable(package="holdfast")
class LocallyConnected1D(_LocallyConnected):
    """A convolution over one dimension with a kernel of its own at each place.

    Its arguments are those of Keras 2's.
    """

    rank = 1


@keras.saving.register_keras_serializable(package="holdfast")
class LocallyConnected2D(_LocallyConnected):
    """A convolution over two dimensions with a kernel of its own at each place.

    Its arguments are those of Keras 2's.
    """

    rank = 2


def _each(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"expected {rank} whole numbers above zero, found {value!r}")
    return sizes


def _windows(
    inside: Sequence[int],
    outside: Sequence[int],
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
) -> list[list[int]]:
    """Return for each place of the output the places of the input that it sees, all in order."""
    sights = []
    for size, places, width, stride in zip(inside, outside, kernel_size, strides, strict=True):
        before = width // 2 if padding == "same" else 0
        sights.append(
            [
                range(max(0, at * stride - before), min(size, at * stride - before + width))
                for at in range(places)
            ]
        )
    steps = [math.prod(inside[axis + 1 :]) for axis in range(len(inside))]
    return [
        [sum(map(int.__mul__, place, steps)) for place in itertools.product(*sight)]
        for sight in itertools.product(*sights)
    ]
