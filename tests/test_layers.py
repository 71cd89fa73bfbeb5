"""Layers that Keras 3 no longer has: what they compute, keep, save and learn."""

import inspect
import itertools
import json

import keras
import numpy as np
import pytest

import holdfast.layers as own
from holdfast.formats.legacy import operations
from holdfast.layers import arithmetic, shapes


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def values(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def randomize(layer):
    for number, variable in enumerate(layer.weights):
        if "seed" not in variable.path:
            variable.assign(normal(*variable.shape, seed=number + 1))


def each_window(inside, kernel, strides, padding):
    """The places of the input that each place of the output sees, by the meaning of the words."""
    before = [size // 2 if padding == "same" else 0 for size in kernel]
    outside = [
        -(-size // stride) if padding == "same" else -(-(size - width + 1) // stride)
        for size, width, stride in zip(inside, kernel, strides, strict=True)
    ]
    for place in itertools.product(*map(range, outside)):
        yield (
            place,
            [
                seen
                for seen in itertools.product(*map(range, inside))
                if all(
                    0 <= at - (to * stride - back) < width
                    for at, to, stride, back, width in zip(
                        seen, place, strides, before, kernel, strict=True
                    )
                )
            ],
        )


def locally_connected(layer, inputs):
    """The layer computed place by place from the form in which Keras 2 kept its kernel."""
    first = layer.data_format == "channels_first"
    x = np.moveaxis(inputs, 1, -1) if first else inputs
    inside, channels = x.shape[1:-1], x.shape[-1]
    kernel, bias = values(layer.kernel), values(layer.bias)
    windows = list(
        each_window(inside, tuple(layer.kernel_size), tuple(layer.strides), layer.padding)
    )
    outside = tuple(max(axis) + 1 for axis in zip(*(place for place, _ in windows), strict=True))
    outputs = np.zeros((len(x), *outside, layer.filters), "float32")
    if first:
        bias = np.moveaxis(bias.reshape(layer.filters, *outside), 0, -1)
    listed = {}
    if layer.implementation == 3:
        pairs = []
        for (place, seen), filter_, channel in itertools.product(
            windows, range(layer.filters), range(channels)
        ):
            at = np.ravel_multi_index(place, outside)
            for each in seen:
                source = np.ravel_multi_index(each, inside)
                if first:
                    out = filter_ * np.prod(outside) + at
                    into = channel * np.prod(inside) + source
                else:
                    out = at * layer.filters + filter_
                    into = source * channels + channel
                pairs.append(((out, into), (place, each, channel, filter_)))
        listed = {what: kernel[number] for number, (_, what) in enumerate(sorted(pairs))}
    for at, (place, seen) in enumerate(windows):
        for number, each in enumerate(seen):
            for channel, filter_ in itertools.product(range(channels), range(layer.filters)):
                if layer.implementation == 1:
                    row = channel * len(seen) + number if first else number * channels + channel
                    weight = kernel[at, row, filter_]
                elif layer.implementation == 2:
                    index = (
                        (channel, *each, filter_, *place)
                        if first
                        else (*each, channel, *place, filter_)
                    )
                    weight = kernel[index]
                else:
                    weight = listed[place, each, channel, filter_]
                outputs[(slice(None), *place, filter_)] += weight * x[(slice(None), *each, channel)]
    outputs += bias
    return np.moveaxis(outputs, -1, 1) if first else outputs


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("implementation", "padding"), [(1, "valid"), (2, "valid"), (2, "same"), (3, "same")]
)
@pytest.mark.parametrize("rank", [1, 2])
def test_locally_connected(rank, implementation, padding, data_format):
    size = (7,) if rank == 1 else (5, 4)
    shape = (2, *size, 3) if data_format == "channels_last" else (2, 3, *size)
    layer = (own.LocallyConnected1D, own.LocallyConnected2D)[rank - 1](
        2,
        3 if rank == 1 else (3, 2),
        strides=2 if rank == 1 else (2, 1),
        padding=padding,
        implementation=implementation,
        data_format=data_format,
    )
    layer.build(shape)
    randomize(layer)
    inputs = normal(*shape)
    found = values(layer(inputs))
    np.testing.assert_allclose(found, locally_connected(layer, inputs), atol=1e-5)
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *found.shape[1:])


def test_locally_connected_says_what_it_needs():
    with pytest.raises(ValueError, match=r"it must know its input's size.*None"):
        own.LocallyConnected1D(2, 3).build((None, None, 4))
    with pytest.raises(ValueError, match="found 'same' with implementation 1"):
        own.LocallyConnected2D(2, 3, padding="same")


def test_old_hard_sigmoid():
    x = np.array([-4, -2.5, -1, 0, 1, 2.5, 4], "float32")
    expected = [0, 0, 0.3, 0.5, 0.7, 1, 1]
    np.testing.assert_allclose(values(own.old_hard_sigmoid(x)), expected, atol=1e-6)


def test_thresholded_relu():
    x = np.array([[-1, 0.2, 0.3, 0.31, 5]], "float32")
    np.testing.assert_allclose(
        values(own.ThresholdedReLU(0.3)(x)), [[0, 0, 0, np.float32(0.31), 5]]
    )


def test_highway():
    layer = own.Highway(activation="tanh")
    layer.build((None, 3))
    randomize(layer)
    kernel, carry, bias, carry_bias = map(values, layer.weights)
    x = normal(4, 3)
    gate = 1 / (1 + np.exp(-(x @ carry + carry_bias)))
    expected = np.tanh(x @ kernel + bias) * gate + (1 - gate) * x
    np.testing.assert_allclose(values(layer(x)), expected, atol=1e-5)


def test_maxout_dense():
    layer = own.MaxoutDense(2, nb_feature=3)
    layer.build((None, 4))
    randomize(layer)
    kernel, bias = map(values, layer.weights)
    x = normal(5, 4)
    expected = max_of = np.stack([x @ k + b for k, b in zip(kernel, bias, strict=True)]).max(0)
    assert max_of.shape == (5, 2)
    np.testing.assert_allclose(values(layer(x)), expected, atol=1e-5)


def test_parametric_softplus():
    layer = own.ParametricSoftplus(0.3, 2.0)
    x = normal(4, 3)
    np.testing.assert_allclose(values(layer(x)), 0.3 * np.log1p(np.exp(2 * x)), atol=1e-5)


def test_srelu():
    layer = own.SReLU()
    layer.build((None, 1))
    for variable, value in zip(layer.weights, (-1, 0.1, -3, 2), strict=True):
        variable.assign([value])
    x = np.array([[-3], [-1], [0], [2], [4]], "float32")
    expected = [[-1.2], [-1], [0], [2], [6]]  # the right threshold is -1 + |-3|
    np.testing.assert_allclose(values(layer(x)), expected, atol=1e-6)


def test_random_size_gives_what_it_is_given():
    images = normal(2, 4, 5, 3)
    for layer in (own.RandomHeight(0.3), own.RandomWidth((0.1, 0.2))):
        np.testing.assert_array_equal(values(layer(images)), images)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="others compute images of any size")
def test_random_size_refuses_to_train_where_it_cannot():
    with pytest.raises(NotImplementedError, match="JAX cannot compile"):
        own.RandomHeight(0.3)(normal(2, 4, 5, 3), training=True)


def test_random_crop():
    layer = own.RandomCrop(2, 2, seed=1)
    images = np.arange(2 * 4 * 4, dtype="float32").reshape(2, 4, 4, 1)
    cut = values(layer(images, training=True))
    top, left = divmod(int(cut[0, 0, 0, 0]), 4)
    np.testing.assert_array_equal(cut, images[:, top : top + 2, left : left + 2])
    halved = images.reshape(2, 2, 2, 2, 2, 1).mean((2, 4))
    np.testing.assert_allclose(values(layer(images)), halved, atol=1e-5)


def test_bidirectional_of_two_sizes():
    layer = own.Bidirectional(
        keras.layers.LSTM(2, return_sequences=True),
        backward_layer=keras.layers.GRU(3, return_sequences=True, go_backwards=True),
    )
    x = normal(2, 4, 3)
    found = values(layer(x))
    assert found.shape == (2, 4, 5)
    assert layer.compute_output_shape((None, 4, 3)) == (None, 4, 5)
    np.testing.assert_allclose(found[..., :2], values(layer.forward_layer(x)), atol=1e-6)


def test_attention_with_values_of_another_size_than_keys():
    layer = own.MultiHeadAttention(2, 3, value_dim=4)
    query, value = normal(2, 5, 6), normal(2, 7, 6, seed=1)
    found, scores = layer(query, value, return_attention_scores=True)
    np.testing.assert_allclose(values(layer(query, value)), values(found), atol=1e-6)
    assert scores.shape == (2, 2, 5, 7)
    plain = keras.layers.MultiHeadAttention(2, 3, value_dim=4)
    plain.build(query.shape, value.shape)
    plain.set_weights(layer.get_weights())
    expected, _ = plain(query, value, return_attention_scores=True)
    np.testing.assert_allclose(values(found), values(expected), atol=1e-6)


def test_causal_separable_convolution():
    layer = own.SeparableConv1D(2, 3, dilation_rate=2)
    x = normal(1, 9, 2)
    found = values(layer(x))
    assert found.shape == (1, 9, 2)
    x[:, 6:] += 1
    changed = values(layer(x))
    np.testing.assert_array_equal(changed[:, :6], found[:, :6])
    assert np.abs(changed[:, 6:] - found[:, 6:]).max() > 0


LAYERS = {
    "locally_connected": lambda: own.LocallyConnected2D(2, 2, activation=own.old_hard_sigmoid),
    "locally_connected_listed": lambda: own.LocallyConnected2D(2, 2, implementation=3),
    "thresholded": lambda: own.ThresholdedReLU(0.2),
    "softplus": lambda: own.ParametricSoftplus(shared_axes=[1, 2]),
    "srelu": lambda: own.SReLU(shared_axes=[1, 2]),
    "operation": lambda: own.Operation(
        "reduce_mean", {"input_tensor": {"tensor": 0}, "axis": [1], "keepdims": True}
    ),
    "slice": lambda: own.Operation(
        "getitem",
        {
            "tensor": {"tensor": 0},
            "slice_spec": [{"slice": [None, None, None]}, {"slice": [1, 3, None]}],
        },
    ),
    "crop": lambda: own.RandomCrop(3, 3),
    "height": lambda: own.RandomHeight(0.0),
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_saved_and_loaded_by_keras(name, tmp_path):
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, LAYERS[name]()(inputs))
    randomize(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = normal(3, 4, 4, 2)
    np.testing.assert_array_equal(values(again(x)), values(model(x)))
    json.dumps(again.get_config())


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_trains(policy):
    keras.utils.set_random_seed(0)  # not one of those with which all is below the threshold
    inputs = keras.Input((6, 2))
    x = own.LocallyConnected1D(3, 2, dtype=policy)(inputs)
    x = own.SReLU(dtype=policy)(x)
    x = own.ParametricSoftplus(dtype=policy)(x)
    x = own.SeparableConv1D(2, 2, dtype=policy)(x)
    x = own.Operation("reduce_sum", {"input_tensor": {"tensor": 0}, "axis": [1]}, dtype=policy)(x)
    x = own.Highway(dtype=policy)(x)
    x = own.MaxoutDense(3, dtype=policy)(x)
    x = own.ThresholdedReLU(0.1, dtype=policy)(x)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=policy)(x))
    before = [values(v).copy() for v in model.trainable_variables]
    model.compile("adam", "mse")
    history = model.fit(normal(8, 6, 2), normal(8, 1), epochs=2, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = [values(v) for v in model.trainable_variables]
    assert sum((a != b).any() for a, b in zip(before, after, strict=True)) > len(before) // 2


def test_masks_pass_layers_that_work_element_by_element():
    x = np.full((2, 3, 2), 2, "float32")
    x[0, 1:] = 0
    masked = keras.layers.Masking()(x)
    for layer in (own.ThresholdedReLU(), own.SReLU(), own.ParametricSoftplus()):
        seen = values(layer(x))[0, 0]
        averages = values(keras.layers.GlobalAveragePooling1D()(layer(masked)))
        np.testing.assert_allclose(averages[0], seen, atol=1e-6)


def test_operations_are_those_that_files_may_name():
    computed = {**arithmetic.OPERATIONS, **shapes.OPERATIONS}
    assert computed.keys() == operations.OPERATIONS.keys()
    for name, words in operations.OPERATIONS.items():
        assert set(words.split()) <= inspect.signature(computed[name]).parameters.keys(), name


def test_an_unknown_operation():
    with pytest.raises(ValueError, match="found 'eval'"):
        own.Operation("eval", {})


X = normal(2, 3, 4)
OPERATIONS = [
    ("add", {"x": X, "y": [1.0, 2.0, 3.0, 4.0]}, X + np.array([1, 2, 3, 4])),
    ("floormod", {"x": np.array([-3, 5]), "y": 2}, [1, 1]),
    ("floordiv", {"x": np.array([-3, 5]), "y": 2}, [-2, 2]),
    ("divide_no_nan", {"x": np.array([1.0, 2.0]), "y": np.array([0.0, 4.0])}, [0, 0.5]),
    ("reduce_mean", {"input_tensor": np.array([[1, 2], [4, 4]], "int32")}, 2),
    ("reduce_std", {"input_tensor": X, "axis": [1, 2]}, X.std((1, 2))),
    ("norm", {"tensor": X}, np.sqrt((X**2).sum())),
    ("norm", {"tensor": X, "order": 1, "axis": 1}, np.abs(X).sum(1)),
    ("l2_normalize", {"x": X, "axis": -1}, X / np.linalg.norm(X, axis=-1, keepdims=True)),
    ("cumsum", {"x": np.arange(4), "exclusive": True}, [0, 0, 1, 3]),
    ("cumsum", {"x": np.arange(4), "reverse": True}, [6, 6, 5, 3]),
    ("cumsum", {"x": np.arange(4), "reverse": True, "exclusive": True}, [6, 5, 3, 0]),
    ("cumprod", {"x": np.arange(1, 5), "exclusive": True}, [1, 1, 2, 6]),
    ("clip_by_value", {"t": X, "clip_value_min": -0.5, "clip_value_max": 0.1}, X.clip(-0.5, 0.1)),
    ("gather", {"params": X, "indices": [2, 0], "axis": 1}, X[:, [2, 0]]),
    ("gather", {"params": X, "indices": np.array([[2, 0], [1, 1]]), "axis": 1, "batch_dims": 1},
     np.stack([X[0, [2, 0]], X[1, [1, 1]]])),
    ("pad", {"tensor": X, "paddings": [[0, 0], [1, 0], [0, 2]]},
     np.pad(X, [(0, 0), (1, 0), (0, 2)])),
    ("pad", {"tensor": X, "paddings": [[0, 0], [0, 0], [0, 2]], "mode": "REFLECT"},
     np.pad(X, [(0, 0), (0, 0), (0, 2)], "reflect")),
    ("one_hot", {"indices": np.array([1, 3]), "depth": 3, "on_value": 2.0, "off_value": -1.0},
     [[-1, 2, -1], [-1, -1, -1]]),
    ("slice", {"input_": X, "begin": [0, 1, 1], "size": [-1, 2, -1]}, X[:, 1:3, 1:]),
    ("sort", {"values": X, "direction": "DESCENDING"}, -np.sort(-X)),
    ("squeeze", {"x": X[:, :1]}, X[:, 0]),
    ("fill", {"dims": [2, 3], "value": 5.0}, np.full((2, 3), 5)),
    ("range", {"start": 4}, [0, 1, 2, 3]),
    ("range", {"start": 1, "limit": 7, "delta": 2}, [1, 3, 5]),
    ("range", {"start": 0.0, "limit": 1.0, "delta": 0.5}, [0.0, 0.5]),
    ("diag", {"diagonal": np.array([1.0, 2.0])}, np.diag([1, 2])),
    ("matmul", {"a": X, "b": X, "transpose_b": True}, X @ X.transpose(0, 2, 1)),
    ("where", {"condition": X > 0, "x": X, "y": 0.0}, np.maximum(X, 0)),
    ("argmax", {"x": X, "axis": -1}, X.argmax(-1)),
    ("leaky_relu", {"features": X}, np.where(X > 0, X, 0.2 * X)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "expected"), OPERATIONS)
def test_operation(name, given, expected):
    tensors = [value for value in given.values() if isinstance(value, np.ndarray)]
    arguments = {
        key: {"tensor": next(i for i, t in enumerate(tensors) if t is value)}
        if isinstance(value, np.ndarray)
        else value
        for key, value in given.items()
    }
    if tensors:
        found = own.Operation(name, arguments)(tensors if len(tensors) > 1 else tensors[0])
    else:
        found = {**arithmetic.OPERATIONS, **shapes.OPERATIONS}[name](**given)
    np.testing.assert_allclose(values(found), expected, atol=1e-5)


def test_split_by_sizes_of_which_one_is_not_said():
    layer = own.Operation(
        "split", {"value": {"tensor": 0}, "num_or_size_splits": [1, -1, 1], "axis": 2}
    )
    for found, expected in zip(layer(X), np.split(X, [1, 3], axis=2), strict=True):
        np.testing.assert_array_equal(values(found), expected)
