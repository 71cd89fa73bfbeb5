"""Configurations of Keras 2 made into those of Keras 3: the traps, one by one."""

import inspect

import keras
import numpy as np
import pytest

import holdfast.layers as own
from holdfast.errors import FormatError
from holdfast.formats.legacy import arguments
from holdfast.formats.legacy.keras2 import translate


def layer(class_name, **config):
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


def sequential(*layers, **more):
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(layers)}, **more}


def entrance(name, *shape, **config):
    config = {"name": name, "batch_input_shape": [None, *shape], "dtype": "float32", **config}
    return {"class_name": "InputLayer", "config": config, "name": name, "inbound_nodes": []}


def called(spec, *calls):
    return {**spec, "name": spec["config"]["name"], "inbound_nodes": list(calls)}


def functional(layers, inputs, outputs, name="model", class_name="Functional"):
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": class_name, "config": config}


def build(config, version="2.15.0", **custom):
    translation = translate(config, version, list(custom))
    assert translation.problems == ()
    return keras.saving.deserialize_keras_object(translation.config, custom_objects=custom)


def only(config, version="2.15.0"):
    """The layer that a model of one layer gets."""
    return build(sequential(config, build_input_shape=None), version).layers[-1]


def problem(config, version="2.15.0"):
    (found,) = translate(config, version).problems
    return found


def values(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# What a configuration may name.


def takes(cls):
    names = set()
    for each in cls.__mro__:
        if "__init__" in each.__dict__:
            parameters = inspect.signature(each.__init__).parameters.values()
            names |= {parameter.name for parameter in parameters}
            if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
                break
    return names


def test_arguments_are_those_that_layers_take():
    for table, space in ((arguments.LAYERS, keras.layers), (arguments.OWN_LAYERS, own)):
        for name, words in table.items():
            assert words <= takes(getattr(space, name)), name


def test_objects_are_those_that_keras_has():
    for space, table in (
        (keras.initializers, arguments.INITIALIZERS),
        (keras.regularizers, arguments.REGULARIZERS),
        (keras.constraints, arguments.CONSTRAINTS),
    ):
        for name, words in table.items():
            assert set(words.split()) <= takes(getattr(space, name)), name
    for name in arguments.ACTIVATIONS.values():
        assert callable(keras.activations.get(name))


def test_other_names_are_of_something():
    assert set(arguments.OTHER_NAMES.values()) <= arguments.LAYERS.keys()
    objects = {**arguments.INITIALIZERS, **arguments.REGULARIZERS, **arguments.CONSTRAINTS}
    assert set(arguments.OTHER_OBJECT_NAMES.values()) <= objects.keys()


def test_what_a_file_says_of_modules_is_not_looked_at():
    spec = layer("Dense", units=2, batch_input_shape=[None, 3])
    spec |= {
        "module": "os",
        "registered_name": "os>system",
        "build_config": {"input_shape": ["x"]},
        "compile_config": {"optimizer": "x"},
    }
    config = translate(sequential(spec, module="subprocess"), "2.15.0").config
    assert config["module"] == "keras"
    dense = config["config"]["layers"][1]
    assert dense.keys() == {"module", "class_name", "config", "registered_name"}
    assert (dense["module"], dense["registered_name"]) == ("keras.layers", None)


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        (layer("Lambda", function=["4wEA", None, None]), "unsafe", "custom_objects={'lambda'"),
        (layer("Mine", size=3), "unsupported", "custom_objects={'Mine': Mine}"),
        (layer("pkg>Mine"), "unsupported", "custom_objects={'Mine': Mine}"),
        (layer("TFSMLayer", filepath="/tmp"), "unsupported", "class 'TFSMLayer'"),
        (layer("DenseFeatures"), "unsupported", "feature columns"),
        (layer("Dense", units=2, activation="mine"), "unsupported", "activation 'mine'"),
        (layer("Dense", units=2, kernel_initializer="mine"), "unsupported", "initializer 'mine'"),
        (layer("LSTM", units=2, time_major=True), "unsupported", "time_major=True"),
        (layer("Dense", units=2, sharpness=3), "unsupported", "sharpness=3"),
        (layer("BatchNormalization", axis=[1, 3]), "unsupported", "axes [1, 3]"),
        (layer("UpSampling2D", size=[2, 2], interpolation="area"), "unsupported", "'area'"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "unsafe", "another file"),
        (layer("Conv2DTranspose", filters=2, kernel_size=2, groups=2), "unsupported", "groups=2"),
        (entrance("ragged", None, ragged=True), "unsupported", "ragged"),
    ],
    ids=lambda value: value["class_name"] if isinstance(value, dict) else None,
)
def test_what_is_refused(spec, kind, words):
    found = problem(sequential(spec))
    assert (found.kind, found.where) == (kind, spec["config"]["name"])
    assert words in found.what


def test_a_subclassed_model():
    found = problem({"class_name": "TwoTowers", "config": {}})
    assert found.where == "the model"
    assert "load_weights" in found.what


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {"class_name": 3},
        {"class_name": "Sequential", "config": None},
        {"class_name": "Sequential", "config": {"layers": [3]}},
        {"class_name": "Functional", "config": {"layers": []}},
        functional([3], [], []),
        functional([{"class_name": "Dense"}], [], []),
        functional([entrance("x", 3)], [], []),
        functional([entrance("x", 3)], [["y", 0, 0]], [["x", 0, 0]]),
        functional([entrance("x", 3)] * 2, [["x", 0, 0]], [["x", 0, 0]]),
        functional(
            [entrance("x", 3), called(layer("ReLU"), [[["gone", 0, 0, {}]]])],
            [["x", 0, 0]],
            [["relu", 0, 0]],
        ),
        sequential(layer("Dense", units=2), layer("Dense", units=2)),
    ],
)
def test_what_is_no_configuration(config):
    with pytest.raises(FormatError):
        translate(config, "2.15.0")


def test_too_deep():
    config = {"class_name": "Sequential", "config": None}
    for _ in range(300):
        config = {"class_name": "Sequential", "config": [config]}
    with pytest.raises(FormatError, match="deep"):
        translate(config, "2.2.0")


# What meant something else.


@pytest.mark.parametrize("name", ["Dense", "Activation"])
def test_hard_sigmoid(name):
    config = layer(name, activation="hard_sigmoid", **({"units": 2} if name == "Dense" else {}))
    assert only(config).activation is own.old_hard_sigmoid


@pytest.mark.parametrize("version", ["2.0.8", "2.2.4", "2.15.0"])
def test_recurrent_activation_that_is_not_said(version):
    old = version != "2.15.0"
    for name in ("LSTM", "GRU"):
        expected = own.old_hard_sigmoid if old else keras.activations.sigmoid
        assert only(layer(name, units=2), version).recurrent_activation is expected
    conv = only(layer("ConvLSTM2D", filters=2, kernel_size=[2, 2]), version)
    assert conv.cell.recurrent_activation is own.old_hard_sigmoid


def test_recurrent_activation_that_is_said():
    spec = layer("LSTM", units=2, recurrent_activation="hard_sigmoid")
    assert only(spec).recurrent_activation is own.old_hard_sigmoid
    wrapped = layer("Bidirectional", layer=spec, merge_mode="sum")
    assert only(wrapped).backward_layer.recurrent_activation is own.old_hard_sigmoid


def test_hard_sigmoid_computes_what_it_did():
    x = normal(4, 3) * 3
    spec = layer("Activation", activation="hard_sigmoid", batch_input_shape=[None, 3])
    found = values(build(sequential(spec))(x))
    np.testing.assert_allclose(found, np.clip(0.2 * x + 0.5, 0, 1), atol=1e-6)


def test_gru_that_does_not_say_whether_it_resets_after():
    assert only(layer("GRU", units=2)).reset_after is False
    assert only(layer("GRU", units=2, reset_after=True)).reset_after is True
    cell = only(layer("RNN", cell=layer("GRUCell", units=2))).cell
    assert cell.reset_after is False


@pytest.mark.parametrize("name", ["BatchNormalizationV1", "BatchNormalizationV2"])
def test_batch_normalization_axis(name):
    assert only(layer(name, axis=[3], fused=True, virtual_batch_size=None)).axis == 3


def test_leaky_relu():
    assert only(layer("LeakyReLU", alpha=0.25)).negative_slope == 0.25
    assert only(layer("LeakyReLU", alpha={"type": "ndarray", "value": 0.5})).negative_slope == 0.5
    assert only(layer("LeakyReLU")).negative_slope == 0.3


def test_an_activation_that_is_a_layer():
    inner = {"class_name": "LeakyReLU", "config": {"name": "leaky", "alpha": 0.5}}
    dense = only(layer("Dense", units=2, activation=inner))
    assert dense.activation.negative_slope == 0.5


def test_names_of_functions_in_tensorflow():
    assert (
        only(layer("Activation", activation="softmax_v2")).activation is keras.activations.softmax
    )


def test_policies():
    policy = {"class_name": "Policy", "config": {"name": "mixed_bfloat16"}}
    spec = layer("Dense", units=2, dtype=policy, batch_input_shape=[None, 3])
    model = build(sequential(spec))
    assert model.layers[-1].dtype_policy.name == "mixed_bfloat16"
    assert model.inputs[0].dtype == "float32"
    assert only(layer("Dense", units=2, dtype="float16")).dtype_policy.name == "float16"


def test_objects_of_older_names():
    dense = only(
        layer(
            "Dense",
            units=2,
            kernel_initializer={
                "class_name": "VarianceScaling",
                "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "normal", "dtype": "x"},
            },
            bias_initializer="zero",
            kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}},
            kernel_constraint={"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}},
        )
    )
    assert dense.kernel_initializer.distribution == "truncated_normal"
    assert isinstance(dense.bias_initializer, keras.initializers.Zeros)
    assert dense.kernel_regularizer.l2 == 0.5
    assert dense.kernel_constraint.max_value == 2


@pytest.mark.parametrize(
    "spec",
    [
        layer("LSTM", units=2, implementation=2, time_major=False, return_runtime=False),
        layer("Embedding", input_dim=3, output_dim=2, input_length=4, sparse=False),
        layer("DepthwiseConv2D", kernel_size=[2, 2], groups=1, kernel_initializer="zeros"),
        layer("SeparableConv2D", filters=2, kernel_size=[2, 2], groups=1, kernel_regularizer=None),
        layer("Conv2DTranspose", filters=2, kernel_size=[2, 2], groups=1),
        layer("SpatialDropout1D", rate=0.1, noise_shape=None, trainable=True),
        layer("Discretization", bin_boundaries=[0.0, 1.0], trainable=True),
        layer("MultiHeadAttention", num_heads=2, key_dim=2, query_shape=[None, 2, 3]),
        layer("Attention", use_scale=False, causal=False),
        layer("MaxPool2D", pool_size=[2, 2], strides=[2, 2]),
    ],
    ids=lambda spec: spec["class_name"],
)
def test_arguments_that_keras_3_does_not_take(spec):
    only(spec)


# Models that are a list of layers.


def test_a_sequential_that_is_a_list():
    config = {
        "class_name": "Sequential",
        "config": [
            layer("Dense", units=3, batch_input_shape=[5, 4]),
            layer("Activation", activation="relu", batch_input_shape=[None, 9]),
        ],
    }
    model = build(config, "2.1.6")
    assert model.name == "sequential"
    assert model.input_shape == (5, 4)
    assert [each.name for each in model.layers] == ["dense", "activation"]


def test_a_sequential_that_begins_with_a_model():
    first = sequential(layer("Dense", units=3, batch_input_shape=[None, 4]))
    first["config"]["name"] = "first"
    model = build(sequential(first, layer("ReLU")))
    assert model.input_shape == (None, 4)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    "more",
    [
        {"build_input_shape": {"class_name": "TensorShape", "items": [None, 4]}},
        {"build_config": {"input_shape": {"class_name": "__tuple__", "items": [None, 4]}}},
    ],
)
def test_a_sequential_that_was_built_later(more):
    assert build(sequential(layer("Dense", units=3), **more)).output_shape == (None, 3)


@pytest.mark.parametrize("shape", [[], "x", [-1, 4], [None, 10**18], [None, True], {"a": [1]}])
def test_a_shape_that_is_none(shape):
    config = translate(
        sequential(layer("Dense", units=3), build_input_shape=shape), "2.15.0"
    ).config
    assert config["config"]["build_input_shape"] is None


# Graphs.


def test_shared_layers_and_an_order_that_is_not_that_of_calls():
    # The second call of `dense` needs `add`, which comes after it and needs the first.
    config = functional(
        [
            entrance("x", 3),
            called(layer("Dense", units=3), [["x", 0, 0, {}]], [["add", 0, 0, {}]]),
            called(layer("Add"), [["x", 0, 0, {}], ["dense", 0, 0, {}]]),
        ],
        [["x", 0, 0]],
        [["dense", 1, 0]],
    )
    model = build(config, "2.4.0")
    kernel, bias = normal(3, 3), normal(3, seed=1)
    model.get_layer("dense").set_weights([kernel, bias])
    x = normal(2, 3)
    expected = (x + x @ kernel + bias) @ kernel + bias
    np.testing.assert_allclose(values(model(x)), expected, atol=1e-4)


def inner_model(first=1):
    inner = functional(
        [
            entrance("a", 3),
            called(layer("Dense", units=3), [["a", 0, 0, {}]]),
            called(layer("ReLU"), [["dense", 0, 0, {}]]),
        ],
        [["a", 0, 0]],
        [["relu", 0, 0], ["dense", 0, 0]],
        name="inner",
    )
    return functional(
        [
            entrance("x", 3),
            called(inner, [["x", 0, 0, {}]], [["inner", first, 1, {}]]),
            called(layer("Subtract"), [["inner", first, 0, {}], ["inner", first + 1, 1, {}]]),
        ],
        [["x", 0, 0]],
        [["subtract", 0, 0], ["inner", first + 1, 0]],
        class_name="Model",
    )


@pytest.mark.parametrize("first", [0, 1])
def test_calls_of_a_model_within_are_counted_from_one(first):
    model = build(inner_model(first))
    kernel, bias = normal(3, 3), normal(3, seed=1)
    model.get_layer("inner").set_weights([kernel, bias])
    x = normal(2, 3)
    once = x @ kernel + bias
    twice = once @ kernel + bias
    expected = [np.maximum(once, 0) - twice, np.maximum(twice, 0)]
    for found, right in zip(model(x), expected, strict=True):
        np.testing.assert_allclose(values(found), right, atol=1e-4)


def test_inputs_and_outputs_by_name():
    config = functional(
        [
            entrance("a", 3),
            entrance("b", 3),
            called(layer("Subtract"), [["b", 0, 0, {}], ["a", 0, 0, {}]]),
        ],
        {"second": ["b", 0, 0], "first": ["a", 0, 0]},
        {"out": ["subtract", 0, 0]},
    )
    a, b = normal(2, 3), normal(2, 3, seed=1)
    found = build(config)({"first": a, "second": b})
    np.testing.assert_allclose(values(found["out"]), b - a, atol=1e-6)


def test_one_output_is_no_list():
    config = functional(
        [entrance("x", 3), called(layer("ReLU"), [["x", 0, 0, {}]])],
        [["x", 0, 0]],
        [["relu", 0, 0]],
    )
    assert build(config).predict(normal(2, 3), verbose=0).shape == (2, 3)


def test_state_that_a_layer_begins_with():
    config = functional(
        [
            entrance("x", 4, 3),
            entrance("h", 2),
            entrance("c", 2),
            called(
                layer("LSTM", units=2, recurrent_activation="sigmoid"),
                [["x", 0, 0, {}], ["h", 0, 0, {}], ["c", 0, 0, {}]],
            ),
        ],
        [["x", 0, 0], ["h", 0, 0], ["c", 0, 0]],
        [["lstm", 0, 0]],
    )
    model = build(config)
    x, h, c = normal(2, 4, 3), normal(2, 2, seed=1), normal(2, 2, seed=2)
    expected = model.get_layer("lstm")(x, initial_state=[h, c])
    np.testing.assert_allclose(values(model([x, h, c])), values(expected), atol=1e-6)


def test_tensors_among_what_a_layer_is_told():
    config = functional(
        [
            entrance("q", 4, 3),
            entrance("v", 5, 3),
            called(
                layer("MultiHeadAttention", num_heads=1, key_dim=2),
                [["q", 0, 0, {"value": ["v", 0, 0], "key": None, "training": False}]],
            ),
        ],
        [["q", 0, 0], ["v", 0, 0]],
        [["multiheadattention", 0, 0]],
    )
    assert build(config).output_shape == (None, 4, 3)


def test_attention_that_does_not_look_ahead():
    config = functional(
        [
            entrance("x", 4, 3),
            called(layer("Attention", causal=True), [["x", 0, 0, {}], ["x", 0, 0, {}]]),
        ],
        [["x", 0, 0]],
        [["attention", 0, 0]],
    )
    x = normal(1, 4, 3)
    found = values(build(config, "2.6.0")(x))
    np.testing.assert_allclose(found[:, 0], x[:, 0], atol=1e-6)


def test_names_that_keras_3_does_not_take():
    inner = sequential(layer("Dense", units=3))
    inner["config"]["name"] = "net/inner"
    inner["config"]["layers"][0]["config"]["name"] = "deep/dense"
    config = functional(
        [
            entrance("net/x", 3),
            entrance("net_x", 3),
            called(inner, [["net/x", 0, 0, {}]]),
            called(layer("Add"), [["net/inner", 1, 0, {}], ["net_x", 0, 0, {}]]),
        ],
        [["net/x", 0, 0], ["net_x", 0, 0]],
        [["add", 0, 0]],
        name="a/model",
    )
    assert dict(translate(config, "2.15.0").renamed) == {
        ("net/x",): "net_x_1",
        ("net/inner",): "net_inner",
        ("net/inner", "deep/dense"): "deep_dense",
        (): "a_model",
    }
    model = build(config)
    assert {each.name for each in model.layers} == {"net_x_1", "net_x", "net_inner", "add"}
    assert model.name == "a_model"


# What the caller gives.


class Scale(keras.layers.Layer):
    def __init__(self, start=1.0, kernel_initializer="ones", **options):
        super().__init__(**options)
        self.start = start
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def call(self, inputs):
        return inputs * self.start


@pytest.mark.parametrize("class_name", ["Scale", "corpus>Scale", "Custom>Scale"])
def test_a_layer_of_the_callers(class_name):
    spec = layer(
        class_name,
        start=2.0,
        dtype={"class_name": "Policy", "config": {"name": "float32"}},
        batch_input_shape=[None, 3],
        kernel_initializer={"class_name": "Ones", "config": {}, "module": "os"},
    )
    spec["registered_name"] = "corpus>Scale"
    model = build(sequential(spec), Scale=Scale)
    assert model.input_shape == (None, 3)
    np.testing.assert_allclose(values(model(np.ones((1, 3)))), [[2, 2, 2]])


def test_a_function_of_the_callers():
    def squared(x):
        return x * x

    spec = layer("Dense", units=2, activation="corpus>squared", batch_input_shape=[None, 2])
    model = build(sequential(spec), squared=squared)
    model.layers[-1].set_weights([np.eye(2), np.zeros(2)])
    np.testing.assert_allclose(values(model(np.array([[-2.0, 3.0]]))), [[4, 9]])


def test_what_lies_within_a_layer_of_the_callers_is_not_let_through():
    spec = layer("Scale", kernel_initializer={"class_name": "system", "config": {"command": "ls"}})
    (found,) = translate(sequential(spec), "2.15.0", ["Scale"]).problems
    assert "'system'" in found.what


# Layers whose arrays have another form.


def gates(arrays, count):
    return [np.split(array, count, axis=1) for array in arrays]


@pytest.mark.parametrize(("name", "count"), [("CuDNNLSTM", 4), ("CuDNNGRU", 3)])
def test_cudnn(name, count):
    translation = translate(sequential(layer(name, units=2, batch_input_shape=[1, 4, 3])), "2.2.4")
    kernel, recurrent, bias = normal(3, 2 * count), normal(2, 2 * count), normal(4 * count)
    found = translation.adapt[name.lower(),]([kernel, recurrent, bias])
    for new, old in zip(*gates([found[0], kernel], count), strict=True):
        np.testing.assert_array_equal(new.ravel(order="F"), old.ravel())
    for new, old in zip(*gates([found[1], recurrent], count), strict=True):
        np.testing.assert_array_equal(new, old.T)
    halves = np.split(bias, 2)
    expected = np.sum(halves, axis=0) if name == "CuDNNLSTM" else np.stack(halves)
    np.testing.assert_allclose(found[2], expected)
    plain = keras.saving.deserialize_keras_object(translation.config).layers[-1]
    plain.set_weights(found)
    assert plain.recurrent_activation is keras.activations.sigmoid
    with pytest.raises(FormatError, match="3 arrays"):
        translation.adapt[name.lower(),]([kernel])
    with pytest.raises(FormatError, match="of 2 units are of the shapes"):
        translation.adapt[name.lower(),]([kernel, recurrent, bias[1:]])


def test_cudnn_both_ways():
    wrapped = layer("Bidirectional", layer=layer("CuDNNLSTM", units=2), merge_mode="concat")
    translation = translate(sequential(wrapped), "2.2.4")
    one = [normal(3, 8), normal(2, 8), normal(16)]
    found = translation.adapt["bidirectional",]([*one, *one])
    assert [array.shape for array in found] == [(3, 8), (2, 8), (8,)] * 2
    np.testing.assert_array_equal(found[1], found[4])


# TensorFlow's operations.


def operation(function, *calls, name="operation", class_name="TFOpLambda"):
    config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
    return called({"class_name": class_name, "config": config}, *calls)


def of_operations(*layers, outputs=None, shape=(4, 3)):
    last = layers[-1]["name"]
    return functional([entrance("x", *shape), *layers], [["x", 0, 0]], outputs or [[last, 0, 0]])


X = normal(2, 4, 3)


@pytest.mark.parametrize(
    ("function", "call", "expected"),
    [
        ("math.multiply", ["x", 0, 0, {"y": 2.0, "name": None}], X * 2),
        ("math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0]}], 1 - X),
        ("__operators__.add", ["x", 0, 0, {"y": ["x", 0, 0], "name": "sum"}], X + X),
        ("math.reduce_mean", ["x", 0, 0, {"axis": [1, 2], "keepdims": True}],
         X.mean((1, 2), keepdims=True)),
        ("compat.v1.transpose", ["x", 0, 0, {"perm": [0, 2, 1], "conjugate": False}],
         X.transpose(0, 2, 1)),
        ("concat", [["x", 0, 0, {"axis": -1}], ["x", 0, 0, {"axis": -1}]],
         np.concatenate([X, X], -1)),
        ("nn.relu", ["x", 0, 0, {}], np.maximum(X, 0)),
        ("cast", ["x", 0, 0, {"dtype": "int32"}], X.astype("int32")),
        ("linalg.matmul", ["x", 0, 0, {"b": [[1.0], [2.0], [3.0]]}], X @ np.array([[1], [2], [3]])),
    ],
)  # fmt: skip
def test_operation(function, call, expected):
    model = build(of_operations(operation(function, call)))
    np.testing.assert_allclose(values(model(X)), expected, atol=1e-5)


def test_slices():
    bounds = {"start": 1, "stop": 3, "step": None}
    whole = {"start": None, "stop": None, "step": None}
    specs = [[whole, bounds], [{"class_name": "__ellipsis__"}, -1], [whole, -1, None]]
    layers = [
        operation(
            "__operators__.getitem",
            ["x", 0, 0, {"slice_spec": spec}],
            name=f"slice_{number}",
            class_name="SlicingOpLambda",
        )
        for number, spec in enumerate(specs)
    ]
    outputs = [[f"slice_{number}", 0, 0] for number in range(3)]
    found = build(of_operations(*layers, outputs=outputs))(X)
    for one, expected in zip(found, [X[:, 1:3], X[..., -1], X[:, -1, None]], strict=True):
        np.testing.assert_array_equal(values(one), expected)


def test_outputs_of_an_operation_that_gives_several():
    layers = [
        operation("split", ["x", 0, 0, {"num_or_size_splits": 3, "axis": 2}], name="split"),
        operation("squeeze", ["split", 0, 1, {"axis": 2}], name="squeeze"),
    ]
    np.testing.assert_array_equal(values(build(of_operations(*layers))(X)), X[..., 1])


def test_sizes_that_come_from_a_shape():
    layers = [
        operation("compat.v1.shape", ["x", 0, 0, {"out_type": "int32"}], name="shape"),
        operation(
            "__operators__.getitem",
            ["shape", 0, 0, {"slice_spec": 0}],
            name="batch",
            class_name="SlicingOpLambda",
        ),
        operation("unstack", ["shape", 0, 0, {}], name="sizes"),
        operation("math.multiply", ["sizes", 0, 1, {"y": 3}], name="flat"),
        operation("reshape", ["x", 0, 0, {"shape": [["batch", 0, 0], ["flat", 0, 0]]}]),
    ]
    model = build(of_operations(*layers, shape=(None, 3)))
    assert [each.name for each in model.layers] == ["x", "operation"]
    np.testing.assert_array_equal(model.predict(X, verbose=0), X.reshape(2, 12))
    np.testing.assert_array_equal(model.predict(X[:1, :2], verbose=0), X[:1, :2].reshape(1, 6))


@pytest.mark.parametrize(
    ("function", "call", "words"),
    [
        ("py_function", ["x", 0, 0, {}], "'py_function'"),
        ("io.read_file", ["x", 0, 0, {}], "'io.read_file'"),
        ("numpy_function", ["x", 0, 0, {}], "'numpy_function'"),
        ("compat.v1.image.resize", ["x", 0, 0, {"size": [2, 2]}], "'compat.v1.image.resize'"),
        ("nn.relu", ["x", 0, 0, {"sharp": 3}], "sharp=3"),
        ("einsum", ["_CONSTANT_VALUE", -1, "bij,bjk->bik", {}], "did not save the operands"),
        ("math.exp", ["_CONSTANT_VALUE", -1, 1.0, {}], "on what tensors"),
    ],
)
def test_operations_that_are_not_let_through(function, call, words):
    found = problem(of_operations(operation(function, call)))
    assert (found.kind, found.where) == ("unsupported", "operation")
    assert words in found.what


def node(op, constants=(), **attributes):
    config = {
        "name": "node",
        "node_def": {"name": op, "op": op, "input": ["a", "b"], "attr": attributes},
        "constants": {str(number): value for number, value in constants},
    }
    return {
        "class_name": "TensorFlowOpLayer",
        "config": config,
        "name": "tf_op_layer_node",
        "inbound_nodes": [[["x", 0, 0, {}]]],
    }


@pytest.mark.parametrize(
    ("layer_of_node", "expected"),
    [
        (node("Mul", [(1, 2.0)], T={"type": "DT_FLOAT"}), X * 2),
        (node("Sub", [(0, 1.0)]), 1 - X),
        (node("Mean", [(1, [1])], keep_dims={"b": True}), X.mean(1, keepdims=True)),
        (node("Relu"), np.maximum(X, 0)),
        (node("Cast", DstT={"type": "DT_INT32"}), X.astype("int32")),
        (
            node(
                "StridedSlice",
                [(1, [0, 1]), (2, [0, 2]), (3, [1, 1])],
                begin_mask={"i": "1"},
                end_mask={"i": "1"},
                shrink_axis_mask={"i": "2"},
            ),
            X[:, 1],
        ),
    ],
    ids=["mul", "sub", "mean", "relu", "cast", "slice"],
)
def test_nodes_of_tensorflows_graph(layer_of_node, expected):
    model = build(of_operations(layer_of_node), "2.2.4-tf")
    np.testing.assert_allclose(values(model(X)), expected, atol=1e-5)


def test_nodes_that_are_not_let_through():
    assert "'PyFunc'" in problem(of_operations(node("PyFunc"))).what
    broken = node("Mul")
    broken["config"]["node_def"] = "not JSON"
    assert "cannot be read" in problem(of_operations(broken)).what


def test_what_was_added_to_the_loss_is_left_out():
    layers = [
        called(layer("ReLU"), [["x", 0, 0, {}]]),
        operation("math.reduce_mean", ["relu", 0, 0, {}], name="mean"),
        called(layer("AddLoss", unconditional=False), [["mean", 0, 0, {}]]),
    ]
    model = build(of_operations(*layers, outputs=[["relu", 0, 0]]))
    np.testing.assert_array_equal(values(model(X)), np.maximum(X, 0))
