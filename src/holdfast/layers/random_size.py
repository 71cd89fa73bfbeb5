"""Layers that change the size of images, by chance while training, as Keras 2 did.

Owns RandomHeight and RandomWidth, which Keras 3 no longer has, and RandomCrop, which in Keras 3
leaves an image as large as it was when a model is used. Where shapes must be known before a step is
compiled, the first two refuse to train and say so; used, they give what they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class _RandomSize(keras.layers.Layer):  # type: ignore[misc]
    """Stretches one dimension of images by chance.

    `axis` is that of one image with its channels last.
    """

    axis: int

    def __init__(
        self,
        factor: float | Sequence[float],
        interpolation: str = "bilinear",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.factor = factor
        low, high = (-factor, factor) if isinstance(factor, (int, float)) else factor
        if low < -1 or high < -1 or high < low:
            raise ValueError(f"factor must be one or two numbers not below -1, found {factor!r}")
        self._low, self._high = low, high
        self.interpolation = interpolation
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the layer."""
        if not training:
            return inputs
        if keras.backend.backend() == "jax":
            raise NotImplementedError(
                f"{self.name} gives images of another size at each step, which JAX cannot compile. "
                "Train on another backend, or leave the layer out: used, the model is the same"
            )
        size = list(ops.shape(inputs)[-3:-1])
        stretch = keras.random.uniform((), 1 + self._low, 1 + self._high, seed=self.generator)
        size[self.axis] = int(float(size[self.axis]) * float(stretch))
        return ops.image.resize(
            inputs, size, interpolation=self.interpolation, data_format="channels_last"
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the input, with one dimension that is not known."""
        shape = list(input_shape)
        shape[self.axis - 3] = None
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"factor": self.factor, "interpolation": self.interpolation, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="holdfast")
class RandomHeight(_RandomSize):
    """Stretches the height of images by chance while training.

    Args:
        factor: by which part of the height at most: one number for both ways, or the least and the
            greatest.
        interpolation: `bilinear`, `nearest`, `bicubic`, `lanczos3`, `lanczos5`.
        seed: of the chance.
        options: of every layer.
    """

    axis = 0


@keras.saving.register_keras_serializable(package="holdfast")
class RandomWidth(_RandomSize):
    """Stretches the width of images by chance while training.

    Args:
        factor: by which part of the width at most: one number for both ways, or the least and the
            greatest.
        interpolation: `bilinear`, `nearest`, `bicubic`, `lanczos3`, `lanczos5`.
        seed: of the chance.
        options: of every layer.
    """

    axis = 1


@keras.saving.register_keras_serializable(package="holdfast")
class RandomCrop(keras.layers.Layer):  # type: ignore[misc]
    """Cuts images to a size: by chance while training, else from the middle, then made to fit.

    Args:
        height: of what comes out.
        width: of what comes out.
        seed: of the chance.
        options: of every layer.
    """

    def __init__(self, height: int, width: int, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.height, self.width, self.seed = int(height), int(width), seed
        self.generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the layer."""
        height, width = ops.shape(inputs)[-3:-1]
        if training and height >= self.height and width >= self.width:
            return self._cut(inputs, height - self.height, width - self.width)
        fitting = ops.image.resize(
            inputs,
            (self.height, self.width),
            crop_to_aspect_ratio=True,
            data_format="channels_last",
        )
        return ops.cast(fitting, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of what comes out."""
        return (*input_shape[:-3], self.height, self.width, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"height": self.height, "width": self.width, "seed": self.seed}
        return {**super().get_config(), **own}

    def _cut(self, inputs: Any, rows: int, columns: int) -> Any:
        top, left = (
            keras.random.randint((), 0, spare + 1, dtype="int32", seed=self.generator)
            for spare in (rows, columns)
        )
        first = [0] * (len(inputs.shape) - 3)
        start = ops.stack([*first, top, left, 0])
        leading = ops.shape(inputs)[:-3]
        return ops.slice(inputs, start, (*leading, self.height, self.width, inputs.shape[-1]))
