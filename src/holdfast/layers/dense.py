"""Densely connected layers of Keras 1 that Keras 2 dropped.

Owns Highway and MaxoutDense, with their variables in the order in which Keras 1 saved them.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class _Connected(keras.layers.Layer):  # type: ignore[misc]
    """What the layers of this family are told alike."""

    def __init__(
        self,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def _add_kernel(self, shape: tuple[int, ...]) -> Any:
        return self.add_weight(
            name="kernel",
            shape=shape,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def _add_bias(self, shape: tuple[int, ...]) -> Any:
        return self.add_weight(
            name="bias",
            shape=shape,
            initializer="zeros",
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


@keras.saving.register_keras_serializable(package="holdfast")
class Highway(_Connected):
    """Mixes its input with a dense layer of it, by a gate that it learns.

    Args:
        activation: of the dense layer.
        options: `use_bias`, the initializer, regularizers and constraints of the kernel and bias,
            and those of every layer.
    """

    def __init__(self, activation: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Any) -> None:
        """Make the variables."""
        size = input_shape[-1]
        self.kernel = self._add_kernel((size, size))
        self.carry_kernel = self.add_weight(
            name="carry_kernel", shape=(size, size), initializer=self.kernel_initializer
        )
        self.bias = self.carry_bias = None
        if self.use_bias:
            self.bias = self._add_bias((size,))
            self.carry_bias = self.add_weight(name="carry_bias", shape=(size,), initializer="ones")
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the layer."""
        carried = ops.matmul(inputs, self.carry_kernel)
        dense = ops.matmul(inputs, self.kernel)
        if self.use_bias:
            carried, dense = carried + self.carry_bias, dense + self.bias
        gate = ops.sigmoid(carried)
        return self.activation(dense) * gate + (1 - gate) * inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="holdfast")
class MaxoutDense(_Connected):
    """Gives the greatest of several dense layers, element by element.

    Args:
        units: the size of what comes out.
        nb_feature: how many dense layers there are.
        options: `use_bias`, the initializer, regularizers and constraints of the kernel and bias,
            and those of every layer.
    """

    def __init__(self, units: int, nb_feature: int = 4, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.nb_feature = int(units), int(nb_feature)

    def build(self, input_shape: Any) -> None:
        """Make the variables."""
        self.kernel = self._add_kernel((self.nb_feature, input_shape[-1], self.units))
        self.bias = self._add_bias((self.nb_feature, self.units)) if self.use_bias else None
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the layer."""
        outputs = ops.einsum("bi,fio->bfo", inputs, self.kernel)
        if self.bias is not None:
            outputs = outputs + self.bias
        return ops.max(outputs, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, int]:
        """Return the shape of what comes out."""
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "units": self.units, "nb_feature": self.nb_feature}
