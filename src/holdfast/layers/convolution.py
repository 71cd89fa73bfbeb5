"""Convolutions that Keras 3 takes fewer arguments of.

Owns SeparableConv1D that sees nothing of what comes later.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="holdfast")
class SeparableConv1D(keras.layers.SeparableConv1D):  # type: ignore[misc]
    """Keras's SeparableConv1D with `padding="causal"`: each output sees only what came before it.

    Its other arguments are those of Keras's.
    """

    def __init__(self, *arguments: Any, padding: str = "causal", **options: Any) -> None:
        if padding != "causal":
            raise ValueError(f"padding must be 'causal', found {padding!r}: use Keras's own layer")
        super().__init__(*arguments, padding="valid", **options)

    def call(self, inputs: Any) -> Any:
        """Compute the layer."""
        before = [[0, 0], [0, 0], [0, 0]]
        time = 2 if self.data_format == "channels_first" else 1
        before[time][0] = self._before
        return super().call(ops.pad(inputs, before))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of what comes out."""
        shape = list(input_shape)
        time = 2 if self.data_format == "channels_first" else 1
        if shape[time] is not None:
            shape[time] += self._before
        return super().compute_output_shape(tuple(shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "padding": "causal"}

    @property
    def _before(self) -> int:
        return int(self.dilation_rate[0] * (self.kernel_size[0] - 1))
