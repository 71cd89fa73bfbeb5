"""Calls of Keras 2's backend functions, and what Keras 2.15 itself returned for them.

`python tests/old_backend_calls.py tests/data/backend_of_keras_2.json`, in an environment with
Keras 2.15, writes what `tests/test_old_backend.py` compares with.
"""

import json
import sys

import numpy as np

_X = np.array([[1.0, -2.0, 3.0], [4.0, 0.5, -6.0]], "float32")
_Y = np.array([[0.5, 2.0, -1.0], [3.0, 0.25, 1.0]], "float32")
_T = np.arange(12, dtype="float32").reshape(2, 2, 3) / 10
_U = np.arange(18, dtype="float32").reshape(2, 3, 3) / 7
_B = np.array([[True, False, True], [False, False, True]])
_I = np.array([2, 0], "int32")
_P = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], "float32")
_Q = np.array([[0.0, 1, 0], [1, 0, 0]], "float32")
_IMAGE = np.arange(32, dtype="float32").reshape(1, 4, 4, 2)
_KERNEL = np.arange(36, dtype="float32").reshape(3, 3, 2, 2) / 36

_REDUCING = ("sum", "mean", "max", "min", "prod", "std", "var", "logsumexp")
_BY_ELEMENT = (
    "square",
    "abs",
    "sqrt",
    "exp",
    "round",
    "sign",
    "sin",
    "cos",
    "sigmoid",
    "hard_sigmoid",
    "tanh",
    "softmax",
    "softplus",
    "softsign",
    "relu",
    "elu",
    "flatten",
    "batch_flatten",
    "transpose",
    "l2_normalize",
    "argmax",
    "argmin",
    "cumsum",
    "cumprod",
    "zeros_like",
    "ones_like",
    "cast_to_floatx",
)
_OF_TWO = (
    "equal",
    "not_equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "maximum",
    "minimum",
)


def calls(K):  # noqa: N803
    """Return a name for each call, and what makes it."""

    def c(array):
        return K.constant(array, dtype=str(array.dtype))

    x, y, t, u, b, p, q = map(c, (_X, _Y, _T, _U, _B, _P, _Q))
    numbers, image, kernel = map(c, (_I, _IMAGE, _KERNEL))
    found = {}
    for name in _REDUCING:
        f = getattr(K, name)
        found[f"{name} of all"] = lambda f=f: f(x)
        found[f"{name} by axis"] = lambda f=f: f(x, axis=1)
        found[f"{name} kept"] = lambda f=f: f(x, axis=-1, keepdims=True)
        found[f"{name} of two axes"] = lambda f=f: f(t, axis=[0, 1])
    for name in _BY_ELEMENT:
        found[name] = lambda name=name: getattr(K, name)(x)
    for name in _OF_TWO:
        found[name] = lambda name=name: getattr(K, name)(x, y)
    return found | {
        "mean of bool": lambda: K.mean(b),
        "any": lambda: [K.any(b, axis=0), K.any(b)],
        "all": lambda: K.all(b, axis=1),
        "log": lambda: K.log(p),
        "round halves": lambda: K.round(K.constant([0.5, 1.5, 2.5, -0.5])),
        "softmax by axis": lambda: K.softmax(x, axis=0),
        "relu": lambda: [
            K.relu(x, alpha=0.1),
            K.relu(x, max_value=2.0),
            K.relu(x, threshold=1.0),
            K.relu(x, 0.2, 3.0, 0.5),
        ],
        "elu": lambda: K.elu(x, 0.5),
        "l2_normalize by axis": lambda: K.l2_normalize(x, axis=1),
        "argmax by axis": lambda: K.argmax(x, 0),
        "cumsum by axis": lambda: K.cumsum(x, 1),
        "pow": lambda: K.pow(x, 2),
        "clip": lambda: [
            K.clip(x, -1, 1),
            K.clip(x, 0, None),
            K.clip(x, None, 1.0),
            K.clip(x, 2, 1),
        ],
        "cast": lambda: [K.cast(x, "int32"), K.cast(b, "float32")],
        "concatenate": lambda: [K.concatenate([x, y]), K.concatenate([x, y], axis=0)],
        "reshape": lambda: K.reshape(x, shape=(3, 2)),
        "permute_dimensions": lambda: K.permute_dimensions(t, pattern=(2, 0, 1)),
        "gather": lambda: K.gather(t, numbers[1:]),
        "repeat_elements": lambda: K.repeat_elements(x, rep=2, axis=1),
        "repeat": lambda: K.repeat(x, 3),
        "arange": lambda: [K.arange(3), K.arange(1, 6, 2), K.arange(-2)],
        "tile": lambda: K.tile(x, n=(1, 2)),
        "expand_dims": lambda: [K.expand_dims(x), K.expand_dims(x, 0)],
        "squeeze": lambda: K.squeeze(K.expand_dims(x, 1), 1),
        "stack": lambda: [K.stack([x, y]), K.stack([x, y], axis=-1)],
        "one_hot": lambda: K.one_hot(numbers, 3),
        "reverse": lambda: K.reverse(x, axes=1),
        "dot": lambda: [K.dot(x, K.transpose(y)), K.dot(t, K.constant(np.ones((3, 2))))],
        "dot of three dimensions": lambda: K.dot(t, u),
        "batch_dot": lambda: [
            K.batch_dot(t, u),
            K.batch_dot(x, y, axes=1),
            K.batch_dot(t, u, axes=[2, 1]),
            K.batch_dot(x, y),
            K.batch_dot(x, u, axes=(1, 1)),
            K.batch_dot(x, u),
            K.batch_dot(t, x),
            K.batch_dot(u, u, axes=2),
        ],
        "shape": lambda: [int(size) for size in K.shape(x)],
        "of a tensor": lambda: [K.int_shape(x), K.ndim(x), K.dtype(x), K.count_params(x)],
        "made": lambda: [K.zeros((2,)), K.ones((1, 2)), K.eye(2), K.zeros((1,), "int32")],
        "constant": lambda: [
            K.constant(2.0, shape=(2, 2)),
            K.constant([1, 2]),
            K.constant([1, 2, 3, 4], shape=(2, 2)),
        ],
        "variable": lambda: _variable(K),
        "categorical_crossentropy": lambda: [
            K.categorical_crossentropy(q, p),
            K.categorical_crossentropy(q, x, from_logits=True),
        ],
        "sparse_categorical_crossentropy": lambda: [
            K.sparse_categorical_crossentropy(numbers, p),
            K.sparse_categorical_crossentropy(numbers, x, from_logits=True),
        ],
        "binary_crossentropy": lambda: [
            K.binary_crossentropy(q, p),
            K.binary_crossentropy(q, x, from_logits=True),
        ],
        "switch": lambda: [
            K.switch(b, x, y),
            K.switch(K.constant(1) > 0, x, y),
            K.switch(K.constant(1) < 0, lambda: x, lambda: y),
        ],
        "phase": lambda: [
            K.in_train_phase(x, y, training=1),
            K.in_train_phase(x, y, training=0),
            K.in_train_phase(x, y),
            K.in_test_phase(x, y),
        ],
        "in_top_k": lambda: K.in_top_k(p, numbers, 1),
        "bias_add": lambda: [
            K.bias_add(x, K.constant([1.0, 2.0, -3.0])),
            K.bias_add(t, K.constant([1.0, 2.0]), data_format="channels_first"),
        ],
        "batch_normalization": lambda: K.batch_normalization(
            x,
            K.constant([1.0, 2.0, 3.0]),
            K.constant([1.0, 4.0, 9.0]),
            K.constant([0.0, 1.0, 0.0]),
            K.constant([1.0, 1.0, 2.0]),
        ),
        "conv2d": lambda: [K.conv2d(image, kernel), K.conv2d(image, kernel, (2, 2), "same")],
        "pool2d": lambda: [
            K.pool2d(image, (2, 2)),
            K.pool2d(image, (2, 2), (2, 2), "same", pool_mode="avg"),
        ],
        "padding": lambda: [
            K.temporal_padding(t),
            K.spatial_2d_padding(image, ((0, 1), (1, 0))),
        ],
        "map_fn": lambda: K.map_fn(lambda part: part * 2, x),
        "learning_phase": lambda: int(K.learning_phase()),
    }


def plain(K, found):  # noqa: N803
    """Return what a call returned as lists and numbers."""
    if isinstance(found, (list, tuple)):
        return [plain(K, part) for part in found]
    return np.asarray(K.get_value(found)).tolist() if hasattr(found, "shape") else found


def _variable(K):  # noqa: N803
    made = K.variable([1.0, 2.0])
    K.set_value(made, [3.0, 4.0])
    K.update_add(made, [1.0, 1.0])
    K.update_sub(made, [0.5, 0.5])
    found = [K.get_value(made)]
    K.batch_set_value([(made, [7.0, 8.0])])
    found += K.batch_get_value([made, made])
    K.moving_average_update(made, K.constant([1.0, 1.0]), 0.9)
    return [*found, made, K.eval(made * 2)]


if __name__ == "__main__":
    from keras.src import backend  # noqa: TID251  Keras 2 does not name all of them elsewhere

    results = {name: plain(backend, call()) for name, call in calls(backend).items()}
    with open(sys.argv[1], "w") as file:
        file.write("{\n")
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in results.items()]
        file.write(",\n".join(lines) + "\n}\n")
