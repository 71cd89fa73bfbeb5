"""`from keras import backend as K`: the functions that today's `keras.backend` has no more.

Owns which they are and what is written today. Leaves what each did to `backend_functions` and
`backend_state`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from holdfast import keras_private
from holdfast.compat import backend_functions as then
from holdfast.compat import backend_state as state
from holdfast.compat import layer_seeds
from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches
from holdfast.layers import old_hard_sigmoid

_Function = Callable[..., Any]

# Those that `keras.ops` has with the same meaning, by the name that it has there.
SAME = {
    "abs": "abs",
    "all": "all",
    "any": "any",
    "cast": "cast",
    "categorical_crossentropy": "categorical_crossentropy",
    "cos": "cos",
    "dot": "dot",
    "elu": "elu",
    "equal": "equal",
    "exp": "exp",
    "eye": "eye",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "less": "less",
    "less_equal": "less_equal",
    "log": "log",
    "logsumexp": "logsumexp",
    "map_fn": "map",
    "max": "max",
    "maximum": "maximum",
    "mean": "mean",
    "min": "min",
    "minimum": "minimum",
    "not_equal": "not_equal",
    "one_hot": "one_hot",
    "permute_dimensions": "transpose",
    "pow": "power",
    "prod": "prod",
    "repeat_elements": "repeat",
    "reshape": "reshape",
    "round": "round",
    "shape": "shape",
    "sigmoid": "sigmoid",
    "sign": "sign",
    "sin": "sin",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "sparse_categorical_crossentropy": "sparse_categorical_crossentropy",
    "square": "square",
    "squeeze": "squeeze",
    "std": "std",
    "stop_gradient": "stop_gradient",
    "sum": "sum",
    "tanh": "tanh",
    "tile": "tile",
    "transpose": "transpose",
    "var": "var",
}
# What it calls their arguments.
_ARGUMENTS = {
    "permute_dimensions": {"pattern": "axes"},
    "repeat_elements": {"rep": "repeats"},
    "reshape": {"shape": "newshape"},
    "tile": {"n": "repeats"},
    "map_fn": {"fn": "f", "elems": "xs"},
}
# The others: what stands in, and what is written today.
_OTHERS: dict[str, tuple[_Function, str]] = {
    "arange": (then.arange, "keras.ops.arange"),
    "argmax": (then.argmax, "keras.ops.argmax(x, axis=-1)"),
    "argmin": (then.argmin, "keras.ops.argmin(x, axis=-1)"),
    "batch_dot": (then.batch_dot, "keras.layers.dot"),
    "batch_flatten": (then.batch_flatten, "keras.layers.Flatten()"),
    "batch_get_value": (state.batch_get_value, "keras.ops.convert_to_numpy of each"),
    "batch_normalization": (then.batch_normalization, "keras.ops.batch_normalization"),
    "batch_set_value": (state.batch_set_value, "variable.assign of each"),
    "bias_add": (then.bias_add, "x + bias"),
    "binary_crossentropy": (then.binary_crossentropy, "keras.ops.binary_crossentropy"),
    "cast_to_floatx": (state.cast_to_floatx, "keras.ops.cast(x, keras.config.floatx())"),
    "clip": (then.clip, "keras.ops.clip"),
    "concatenate": (then.concatenate, "keras.ops.concatenate(tensors, axis=-1)"),
    "constant": (state.constant, "keras.ops.convert_to_tensor"),
    "conv2d": (then.conv2d, "keras.ops.conv"),
    "count_params": (state.count_params, "math.prod(x.shape)"),
    "cumprod": (then.cumprod, "keras.ops.cumprod(x, axis=0)"),
    "cumsum": (then.cumsum, "keras.ops.cumsum(x, axis=0)"),
    "dropout": (state.dropout, "keras.random.dropout"),
    "dtype": (state.dtype, "keras.backend.standardize_dtype(x.dtype)"),
    "eval": (state.get_value, "keras.ops.convert_to_numpy"),
    "expand_dims": (then.expand_dims, "keras.ops.expand_dims(x, -1)"),
    "flatten": (then.flatten, "keras.ops.reshape(x, (-1,))"),
    "function": (state.function, "keras.Model(inputs, outputs), called"),
    "gather": (then.gather, "keras.ops.take(x, indices, axis=0)"),
    "get_session": (state.get_session, "nothing"),
    "get_value": (state.get_value, "keras.ops.convert_to_numpy"),
    "get_variable_shape": (state.int_shape, "x.shape"),
    "gradients": (state.gradients, "jax.grad, tf.GradientTape or backward() of PyTorch"),
    "hard_sigmoid": (old_hard_sigmoid, "keras.ops.clip(0.2 * x + 0.5, 0, 1)"),
    "identity": (state.identity, "the tensor itself"),
    "image_dim_ordering": (state.image_dim_ordering, "keras.config.image_data_format"),
    "in_test_phase": (state.in_test_phase, "the argument training= of call"),
    "in_top_k": (then.in_top_k, "keras.ops.in_top_k"),
    "in_train_phase": (state.in_train_phase, "the argument training= of call"),
    "int_shape": (state.int_shape, "x.shape"),
    "is_sparse": (state.is_sparse, "x.sparse"),
    "is_tensor": (state.is_tensor, "keras.ops.is_tensor"),
    "l2_normalize": (then.l2_normalize, "keras.ops.normalize"),
    "learning_phase": (state.learning_phase, "the argument training= of call"),
    "manual_variable_initialization": (state.nothing, "nothing"),
    "moving_average_update": (state.moving_average_update, "variable.assign"),
    "name_scope": (keras.name_scope, "keras.name_scope"),
    "ndim": (state.ndim, "len(x.shape)"),
    "ones": (state.ones, "keras.ops.ones"),
    "ones_like": (state.ones_like, "keras.ops.ones_like"),
    "placeholder": (state.placeholder, "keras.Input"),
    "pool2d": (then.pool2d, "keras.ops.max_pool, average_pool"),
    "print_tensor": (state.print_tensor, "print"),
    "random_bernoulli": (state.random_bernoulli, "keras.random.uniform(shape) < p"),
    "random_binomial": (state.random_bernoulli, "keras.random.uniform(shape) < p"),
    "random_normal": (state.random_normal, "keras.random.normal"),
    "random_normal_variable": (state.random_normal_variable, "keras.Variable"),
    "random_uniform": (state.random_uniform, "keras.random.uniform"),
    "random_uniform_variable": (state.random_uniform_variable, "keras.Variable"),
    "relu": (then.relu, "keras.activations.relu"),
    "repeat": (then.repeat, "keras.layers.RepeatVector(n)"),
    "reset_uids": (state.nothing, "keras.utils.clear_session"),
    "reverse": (then.reverse, "keras.ops.flip"),
    "set_image_dim_ordering": (state.set_image_dim_ordering, "keras.config.set_image_data_format"),
    "set_learning_phase": (state.nothing, "the argument training= of call"),
    "set_session": (state.nothing, "nothing"),
    "set_value": (state.set_value, "variable.assign"),
    "spatial_2d_padding": (then.spatial_2d_padding, "keras.ops.pad"),
    "sqrt": (then.sqrt, "keras.ops.sqrt(keras.ops.maximum(x, 0))"),
    "stack": (then.stack, "keras.ops.stack"),
    "switch": (then.switch, "keras.ops.cond, keras.ops.where"),
    "temporal_padding": (then.temporal_padding, "keras.ops.pad"),
    "truncated_normal": (state.truncated_normal, "keras.random.truncated_normal"),
    "update": (state.update, "variable.assign"),
    "update_add": (state.update_add, "variable.assign_add"),
    "update_sub": (state.update_sub, "variable.assign_sub"),
    "variable": (state.variable, "keras.Variable"),
    "zeros": (state.zeros, "keras.ops.zeros"),
    "zeros_like": (state.zeros_like, "keras.ops.zeros_like"),
}

# What Keras 2.15 did not have any more.
_SINCE = {
    "get_session": "Keras 2.13",
    "get_variable_shape": "Keras 2.4",
    "identity": "Keras 2.4",
    "image_dim_ordering": "Keras 2.4",
    "is_tensor": "Keras 2.4",
    "logsumexp": "Keras 2.4",
    "set_image_dim_ordering": "Keras 2.4",
    "set_session": "Keras 2.13",
}
# What is not the same as it was.
_DOES = {
    "dropout": "does the same, with Keras's random numbers",
    "function": "computes by a model of these tensors; updates= is an error that says so",
    "get_session": "an error that says so",
    "gradients": "an error that names them",
    "in_test_phase": "gives the second of its arguments where training= is true, else the first",
    "in_train_phase": "gives the first of its arguments where training= is true, else the second",
    "learning_phase": "gives 0; among the inputs of K.function it says whether to train",
    "placeholder": "makes one",
    "print_tensor": "prints the values when they are known",
    "random_bernoulli": "does the same, with Keras's random numbers",
    "random_binomial": "does the same, with Keras's random numbers",
    "random_normal": "does the same, with Keras's random numbers",
    "random_normal_variable": "does the same, with Keras's random numbers",
    "random_uniform": "does the same, with Keras's random numbers",
    "random_uniform_variable": "does the same, with Keras's random numbers",
    "truncated_normal": "does the same, with Keras's random numbers",
}


def put(patches: Patches) -> None:
    """Give `keras.backend` the functions that it has no more."""
    layer_seeds.put(patches)
    for module in keras_private.modules("backend"):
        for name, function in _FUNCTIONS.items():
            if _is_missing(module, name):
                patches.set(module, name, function)


def _is_missing(module: Any, name: str) -> bool:
    """Return whether a module has no such function, or one that needs TensorFlow for it."""
    there = getattr(module, name, None)
    if there is None:
        return True
    foreign = keras.backend.backend() != "tensorflow"
    return foreign and getattr(there, "__module__", "").endswith("legacy.backend")


def _of_ops(name: str) -> _Function:
    function: _Function = getattr(ops, SAME[name])
    words = _ARGUMENTS.get(name, {})

    def renamed(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{words.get(key, key): value for key, value in kwargs.items()})

    return functools.wraps(function)(renamed)


def _said(row: Old, function: _Function) -> _Function:
    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        met(row)
        return function(*args, **kwargs)

    return told


def _row(name: str, today: str) -> Old:
    function = _OTHERS.get(name, (None, ""))[0]
    does = "does nothing" if function is state.nothing else _DOES.get(name, "does the same")
    return Old(f"K.{name}", _SINCE.get(name, "Keras 3.0"), today, does)


_ROWS = {
    **{name: _row(name, f"keras.ops.{same}") for name, same in SAME.items()},
    **{name: _row(name, today) for name, (_, today) in _OTHERS.items()},
}
_FUNCTIONS = {
    **{name: _said(_ROWS[name], _of_ops(name)) for name in SAME},
    **{name: _said(_ROWS[name], function) for name, (function, _) in _OTHERS.items()},
}
ROWS = tuple(_ROWS[name] for name in sorted(_ROWS))
