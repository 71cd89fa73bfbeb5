"""Activations that Keras 3 no longer has, or has with other numbers.

Owns the functions and layers of the family. Leaves which file means which to `formats.legacy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="holdfast")  # type: ignore[untyped-decorator]
def old_hard_sigmoid(x: Any) -> Any:
    """Return `clip(0.2 x + 0.5, 0, 1)`: `hard_sigmoid` of Keras 1 and 2. Keras 3's is `x / 6`.

    Args:
        x: a tensor.
    """
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="holdfast")
class ThresholdedReLU(keras.layers.Layer):  # type: ignore[misc]
    """Gives `x` where it is above `theta`, else zero.

    Args:
        theta: the threshold, not below zero.
        options: of every layer.
    """

    def __init__(self, theta: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        if theta is None or theta < 0:
            raise ValueError(f"theta must be a number and not below zero, found {theta!r}")
        self.theta = float(theta)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the layer."""
        return ops.where(inputs > self.theta, inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "theta": self.theta}


class _PerElement(keras.layers.Layer):  # type: ignore[misc]
    """A layer with parameters for each element of a sample, or shared along some axes."""

    def __init__(self, shared_axes: Sequence[int] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.shared_axes = None if shared_axes is None else list(shared_axes)
        self.supports_masking = True

    def _add(self, name: str, input_shape: Any, initializer: Any) -> Any:
        shape = list(input_shape[1:])
        for axis in self.shared_axes or []:
            shape[axis - 1] = 1
        return self.add_weight(name=name, shape=tuple(shape), initializer=initializer)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "shared_axes": self.shared_axes}


@keras.saving.register_keras_serializable(package="holdfast")
class ParametricSoftplus(_PerElement):
    """Gives `alpha * log(1 + exp(beta * x))`, and learns both: a layer of Keras 1.

    Args:
        alpha_init: the value that each alpha starts with.
        beta_init: the value that each beta starts with.
        shared_axes: along which one parameter serves all elements.
        options: of every layer.
    """

    def __init__(
        self,
        alpha_init: float = 0.2,
        beta_init: float = 5.0,
        shared_axes: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(shared_axes, **options)
        self.alpha_init, self.beta_init = float(alpha_init), float(beta_init)

    def build(self, input_shape: Any) -> None:
        """Make the variables."""
        constant = keras.initializers.Constant
        self.alphas = self._add("alphas", input_shape, constant(self.alpha_init))
        self.betas = self._add("betas", input_shape, constant(self.beta_init))
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the layer."""
        return ops.softplus(self.betas * inputs) * self.alphas

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"alpha_init": self.alpha_init, "beta_init": self.beta_init}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="holdfast")
class SReLU(_PerElement):
    """Bends at two learned thresholds, with a learned slope outside each: a layer of Keras 1.

    Args:
        t_left_initializer: of the left threshold.
        a_left_initializer: of the slope left of it.
        t_right_initializer: of the distance to the right threshold.
        a_right_initializer: of the slope right of that.
        shared_axes: along which one parameter serves all elements.
        options: of every layer.
    """

    def __init__(
        self,
        t_left_initializer: Any = "zeros",
        a_left_initializer: Any = "glorot_uniform",
        t_right_initializer: Any = "glorot_uniform",
        a_right_initializer: Any = "ones",
        shared_axes: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(shared_axes, **options)
        self.t_left_initializer = keras.initializers.get(t_left_initializer)
        self.a_left_initializer = keras.initializers.get(a_left_initializer)
        self.t_right_initializer = keras.initializers.get(t_right_initializer)
        self.a_right_initializer = keras.initializers.get(a_right_initializer)

    def build(self, input_shape: Any) -> None:
        """Make the variables."""
        self.t_left = self._add("t_left", input_shape, self.t_left_initializer)
        self.a_left = self._add("a_left", input_shape, self.a_left_initializer)
        self.t_right = self._add("t_right", input_shape, self.t_right_initializer)
        self.a_right = self._add("a_right", input_shape, self.a_right_initializer)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the layer."""
        left = ops.convert_to_tensor(self.t_left)
        width = ops.abs(self.t_right)
        x = inputs - left
        between = ops.minimum(ops.relu(x), width) - self.a_left * ops.relu(-x)
        return left + between + ops.relu(x - width) * self.a_right

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        initializers = {
            name: keras.initializers.serialize(getattr(self, name))
            for name in (
                "t_left_initializer",
                "a_left_initializer",
                "t_right_initializer",
                "a_right_initializer",
            )
        }
        return {**super().get_config(), **initializers}
