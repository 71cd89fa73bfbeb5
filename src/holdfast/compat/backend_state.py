"""What the functions of older `keras.backend` did to values, variables and graphs.

Owns making, getting and setting them, random numbers, and what stood for training and for a graph.
Leaves tensors alone to `backend_functions`, and which are gone to `old_backend`.
"""

# ruff: noqa: D103  Each does what its name says.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from holdfast.compat.layer_seeds import current
from holdfast.errors import PlanError, UnsupportedError


def zeros(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    return ops.zeros(shape, dtype or keras.config.floatx())


def ones(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    return ops.ones(shape, dtype or keras.config.floatx())


def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    return ops.zeros_like(x, dtype)


def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    return ops.ones_like(x, dtype)


def identity(x: Any, name: str | None = None) -> Any:
    return ops.convert_to_tensor(x)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    tensor = ops.convert_to_tensor(value, dtype or keras.config.floatx())
    if shape is None:
        return tensor
    if len(tensor.shape) == 0:
        return ops.broadcast_to(tensor, shape)
    return ops.reshape(tensor, shape)


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Any:
    made = keras.Variable(value, dtype=dtype or keras.config.floatx(), name=name)
    made.constraint = constraint
    return made


def get_value(x: Any) -> Any:
    """Return a variable's or a tensor's value as numpy has it; a number as it is."""
    if isinstance(x, (int, float)) or x is None:
        return x
    value = ops.convert_to_numpy(x)
    return value[()] if value.ndim == 0 else value


def set_value(x: Any, value: Any) -> None:
    """Give a variable a value.

    Raises:
        PlanError: it is no variable, such as a rate that follows a schedule.
    """
    if not hasattr(x, "assign"):
        raise PlanError(
            f"K.set_value sets a variable, found {x!r:.80}. A learning rate with decay= or a "
            "schedule cannot be set: leave decay= out, or what sets it"
        )
    x.assign(value)


def batch_get_value(tensors: Sequence[Any]) -> list[Any]:
    return [get_value(tensor) for tensor in tensors]


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    for x, value in tuples:
        set_value(x, value)


def update(x: Any, new_x: Any) -> Any:
    x.assign(new_x)
    return x


def update_add(x: Any, increment: Any) -> Any:
    x.assign_add(increment)
    return x


def update_sub(x: Any, decrement: Any) -> Any:
    x.assign_sub(decrement)
    return x


def moving_average_update(x: Any, value: Any, momentum: float) -> Any:
    x.assign(x * momentum + value * (1 - momentum))
    return x


def cast_to_floatx(x: Any) -> Any:
    if ops.is_tensor(x) or isinstance(x, (keras.Variable, keras.KerasTensor)):
        return ops.cast(x, keras.config.floatx())
    return np.asarray(x, dtype=keras.config.floatx())


def dtype(x: Any) -> str:
    return str(keras.backend.standardize_dtype(x.dtype))


def int_shape(x: Any) -> tuple[int | None, ...]:
    return tuple(x.shape)


def ndim(x: Any) -> int:
    return len(x.shape)


def count_params(x: Any) -> int:
    return math.prod(x.shape)


def is_tensor(x: Any) -> bool:
    return ops.is_tensor(x) or isinstance(x, keras.KerasTensor)


def is_sparse(tensor: Any) -> bool:
    return bool(getattr(tensor, "sparse", False))


def print_tensor(x: Any, message: str = "") -> Any:
    print(message, x)
    return x


def placeholder(
    shape: Any = None,
    ndim: int | None = None,
    dtype: Any = None,
    sparse: bool = False,
    name: str | None = None,
) -> Any:
    shape = shape if shape is not None else (None,) * (ndim or 0)
    return keras.Input(batch_shape=shape, dtype=dtype, sparse=sparse, name=name)


def dropout(x: Any, level: float, noise_shape: Any = None, seed: Any = None) -> Any:
    return keras.random.dropout(x, level, noise_shape, _seed(seed))


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    return keras.random.normal(shape, mean, stddev, dtype, _seed(seed))


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    return keras.random.truncated_normal(shape, mean, stddev, dtype, _seed(seed))


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    return keras.random.uniform(shape, minval, maxval, dtype, _seed(seed))


def random_bernoulli(shape: Any, p: float = 0.0, dtype: Any = None, seed: Any = None) -> Any:
    below = ops.less(keras.random.uniform(shape, seed=_seed(seed)), p)
    return ops.cast(below, dtype or keras.config.floatx())


def random_normal_variable(
    shape: Any, mean: float, scale: float, dtype: Any = None, name: Any = None, seed: Any = None
) -> Any:
    return variable(keras.random.normal(shape, mean, scale, dtype, _seed(seed)), dtype, name)


def random_uniform_variable(
    shape: Any, low: float, high: float, dtype: Any = None, name: Any = None, seed: Any = None
) -> Any:
    return variable(keras.random.uniform(shape, low, high, dtype, _seed(seed)), dtype, name)


def _seed(seed: Any) -> Any:
    return current() if seed is None else seed


class _Phase(int):
    """What `learning_phase()` returns: 0, told apart from a number where it is an input."""


_PHASE = _Phase(0)


def learning_phase() -> Any:
    return _PHASE


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """Return `x` in training and `alt` otherwise, where no `training` is given."""
    return _chosen(x if training is not None and bool(training) else alt)


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    return in_train_phase(alt, x, training)


def _chosen(value: Any) -> Any:
    return value() if callable(value) else value


def function(inputs: Sequence[Any], outputs: Any, updates: Any = None, **kwargs: Any) -> Any:
    """Return what computes the values of a model's tensors from those of its inputs.

    Args:
        inputs: tensors of a model's inputs, and `learning_phase()` where it may train.
        outputs: one tensor, or several.
        updates: must be none.
        kwargs: of TensorFlow's session; they have no effect.

    Raises:
        UnsupportedError: it has updates.
    """
    if updates:
        raise UnsupportedError(
            "K.function(updates=…) was for graphs of TensorFlow 1: override train_step of "
            "keras.Model, or use its train_on_batch"
        )
    given = [isinstance(part, _Phase) for part in inputs]
    tensors = [part for part, phase in zip(inputs, given, strict=True) if not phase]
    several = isinstance(outputs, (list, tuple))
    model = keras.Model(tensors, list(outputs) if several else [outputs])

    def compute(values: Sequence[Any]) -> Any:
        trains = any(bool(value) for value, phase in zip(values, given, strict=True) if phase)
        parts = [value for value, phase in zip(values, given, strict=True) if not phase]
        arrays = [ops.convert_to_tensor(part) for part in parts]
        tensors = keras.tree.flatten(model(arrays, training=trains))
        found = [ops.convert_to_numpy(tensor) for tensor in tensors]
        return found if several else found[0]

    return compute


def gradients(loss: Any, variables: Any) -> Any:
    raise UnsupportedError(
        "K.gradients was of graphs of TensorFlow 1: take jax.grad of a function, loss.backward() "
        "of PyTorch or tf.GradientTape, as the backend has it"
    )


def get_session() -> Any:
    raise UnsupportedError("K.get_session: today's Keras has no session of TensorFlow 1")


def image_dim_ordering() -> str:
    return "th" if keras.config.image_data_format() == "channels_first" else "tf"


def set_image_dim_ordering(dim_ordering: str) -> None:
    orderings = {"th": "channels_first", "tf": "channels_last"}
    if dim_ordering not in orderings:
        raise PlanError(f"the ordering must be 'th' or 'tf', found {dim_ordering!r}")
    keras.config.set_image_data_format(orderings[dim_ordering])


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing: there is no graph and no session, and `training=` says what a call is for."""
