"""SavedModels that lie, and graphs that would never end: each is refused with the reason."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import FormatError
from holdfast.formats import saved_model
from holdfast.formats.graph.definition import Graph
from holdfast.formats.graph.operations import check
from holdfast.formats.graph.tensor import read_tensor
from holdfast.formats.live.graph_running import Running
from holdfast.formats.saved_objects import read_objects
from holdfast.formats.wire import Message, bytes_field, integer_field, join, text_field

FLOAT, INT, STRING, BOOL = 1, 3, 7, 10
HUGE = 1 << 40


def tensor(kind, shape, values=b""):
    """A TensorProto; `values` are its fields."""
    dimensions = join(bytes_field(2, integer_field(1, size)) for size in shape)
    return integer_field(1, kind) + bytes_field(2, dimensions) + values


def ints(*values):
    return tensor(INT, (len(values),), bytes_field(4, np.array(values, "<i4").tobytes()))


def number(value):
    return tensor(INT, (), bytes_field(4, np.array(value, "<i4").tobytes()))


def truth(value):
    return tensor(BOOL, (), bytes_field(4, bytes([value])))


def attribute(key, value):
    return bytes_field(5, text_field(1, key) + bytes_field(2, value))


def constant(name, value):
    return node(name, "Const", value=bytes_field(8, value))


def calls(name):
    return bytes_field(10, text_field(1, name))


def node(name, op, *inputs, **attributes):
    fields = [text_field(1, name), text_field(2, op)]
    fields += [text_field(3, source) for source in inputs]
    return join(fields + [attribute(key, value) for key, value in attributes.items()])


def function(name, arguments, results, *nodes):
    """A function; its results are inputs by name, as nodes name them."""
    fields = [text_field(1, name)]
    fields += [bytes_field(2, text_field(1, argument)) for argument in arguments]
    fields += [bytes_field(3, text_field(1, f"r{k}")) for k in range(len(results))]
    returned = [
        bytes_field(4, text_field(1, f"r{k}") + text_field(2, source))
        for k, source in enumerate(results)
    ]
    return join([bytes_field(1, join(fields)), *(bytes_field(3, n) for n in nodes), *returned])


def graph(*nodes, functions=()):
    library = join(bytes_field(1, one) for one in functions)
    data = join(bytes_field(1, one) for one in nodes) + bytes_field(2, library)
    return Graph(data, "made")


def run(made, output="out"):
    check(made, [output])
    (found,) = Running(made, lambda name: None, {}).run({}, [output])
    return found


def edges(*pairs):
    return join(
        bytes_field(1, integer_field(1, number) + text_field(2, name)) for name, number in pairs
    )


def write(folder, *, objects=b"", metadata=None, graph_def=b"", more=b""):
    """Write a real SavedModel of what is said."""
    meta = bytes_field(1, text_field(4, "serve") + text_field(5, "2.15.1"))
    data = meta + bytes_field(2, graph_def) + more + bytes_field(7, objects)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(bytes_field(2, data))
    if metadata is not None:
        (folder / "keras_metadata.pb").write_bytes(
            join(
                bytes_field(
                    1, integer_field(2, at) + text_field(4, kind) + bytes_field(5, text.encode())
                )
                for at, kind, text in metadata
            )
        )
    return folder


def said(config, **more):
    return json.dumps({"class_name": "Functional", "config": config, "name": "m", **more})


def user(identifier="_tf_keras_layer", *pairs):
    return bytes_field(1, edges(*pairs) + bytes_field(4, text_field(1, identifier)))


# objects and what Keras says of them


@pytest.mark.parametrize("number", [2, -1, 1 << 62])
def test_objects_outside_the_list(tmp_path, number):
    objects = user("_tf_keras_network", ("layer-0", number)) + user()
    with pytest.raises(FormatError, match="there are 2 objects"):
        saved_model.read(write(tmp_path, objects=objects))
    metadata = [(number, "_tf_keras_layer", "{}")]
    with pytest.raises(FormatError, match="there are 2"):
        saved_model.read(write(tmp_path, objects=user() + user(), metadata=metadata))


def test_objects_in_a_circle(tmp_path):
    layers = [{"class_name": "Dense", "config": {"name": "a"}}]
    objects = user("_tf_keras_network", ("layer-0", 1), ("self", 0))
    objects += user("_tf_keras_layer", ("layer", 1), ("cell", 0))
    metadata = [
        (0, "_tf_keras_network", said({"layers": layers})),
        (1, "_tf_keras_layer", json.dumps({"name": "a"})),
    ]
    file = saved_model.read(write(tmp_path, objects=objects, metadata=metadata))
    (only,) = file.weights.layers
    assert (only.name, only.entries) == ("a", ())


def test_a_model_that_is_its_own_layer_ends_with_its_configuration(tmp_path):
    config = {"name": "m", "layers": []}
    for _ in range(30):
        config = {"name": "m", "layers": [{"class_name": "Functional", "config": config}]}
    objects = user("_tf_keras_network", ("layer-0", 0))
    metadata = [(0, "_tf_keras_network", said(config))]
    file = saved_model.read(write(tmp_path, objects=objects, metadata=metadata))
    depth, layers = 0, file.weights.layers
    while layers:
        depth, layers = depth + 1, layers[0].layers
    assert depth == 30


def test_json_nested_too_deep(tmp_path):
    text = "[" * 100_000 + "]" * 100_000
    metadata = [(0, "_tf_keras_network", f'{{"config": {text}}}')]
    with pytest.raises(FormatError, match="deep"):
        saved_model.read(write(tmp_path, objects=user(), metadata=metadata))


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", '"{}"', "NaN", "1"])
def test_metadata_that_is_none(tmp_path, text):
    metadata = [(0, "_tf_keras_network", text)]
    with pytest.raises(FormatError):
        saved_model.read(write(tmp_path, objects=user(), metadata=metadata))


@pytest.mark.parametrize(
    "config",
    [
        {"layers": 3},
        {"layers": [3, None, [], "a", {"config": 1}, {"config": {"name": 7}}]},
        {"layers": [{"config": {"name": "a", "layer": {"config": {"layers": [[]]}}}}]},
        [],
        "text",
    ],
)
def test_configurations_of_another_shape(tmp_path, config):
    objects = user("_tf_keras_network", ("layer-0", 1)) + user()
    metadata = [
        (0, "_tf_keras_network", said(config)),
        (1, "_tf_keras_layer", json.dumps({"name": "a", "config": 3})),
    ]
    assert saved_model.read(write(tmp_path, objects=objects, metadata=metadata)).weights


def test_a_short_configuration_cannot_walk_many_objects_again_and_again(tmp_path):
    names = [f"l{k}" for k in range(3000)]
    layers = [{"class_name": "Dense", "config": {"name": name}} for name in names]
    many = 3000
    objects = user("_tf_keras_network", *((f"layer-{k}", k + 1) for k in range(many)))
    objects += b"".join(user("_tf_keras_layer", ("a", k % many + 1)) for k in range(1, many + 1))
    metadata = [(0, "_tf_keras_network", said({"layers": layers}))]
    metadata += [
        (k + 1, "_tf_keras_layer", json.dumps({"name": name})) for k, name in enumerate(names)
    ]
    with pytest.raises(FormatError, match="layers within layers"):
        saved_model.read(write(tmp_path, objects=objects, metadata=metadata))


def test_more_objects_than_bytes_allow():
    with pytest.raises(FormatError, match="too many objects"):
        read_objects(bytes_field(1, b"") * 200_000, "made")


@pytest.mark.parametrize("name", ["saved_model.pb", "keras_metadata.pb"])
@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"{}"])
def test_files_that_are_no_messages(tmp_path, name, data):
    write(tmp_path, objects=user(), metadata=[(0, "_tf_keras_model", said({}))])
    Path(tmp_path, name).write_bytes(data)
    if name == "keras_metadata.pb" and not data:
        assert saved_model.read(tmp_path).config is None
        return
    with pytest.raises(FormatError):
        saved_model.read(tmp_path)


def test_a_vocabulary_outside_the_assets(tmp_path):
    """A table that is filled from a file: the file is one of the assets, or none is read."""
    secret = tmp_path / "secret"
    secret.write_text("words\n")
    fill = node(
        "fill",
        "InitializeTableFromTextFileV2",
        "table",
        "file",
        key_index=integer_field(3, -2),
        value_index=integer_field(3, -1),
    )
    library = bytes_field(2, bytes_field(1, function("f", ("table", "file"), (), fill)))
    objects = user("_tf_keras_network", ("layer-0", 1))
    objects += user("_tf_keras_layer", ("lookup_table", 2))
    objects += bytes_field(1, edges(("_initializer", 3), ("_initialize", 5)) + bytes_field(10, b""))
    objects += user("x", ("_filename", 4))
    objects += bytes_field(1, bytes_field(5, b""))
    objects += bytes_field(1, bytes_field(6, text_field(1, "f")))
    layers = [{"class_name": "StringLookup", "config": {"name": "a"}}]
    metadata = [
        (0, "_tf_keras_network", said({"layers": layers})),
        (1, "_tf_keras_layer", json.dumps({"name": "a"})),
    ]

    def read(name):
        folder = write(
            tmp_path / "model",
            objects=objects,
            metadata=metadata,
            graph_def=library,
            more=bytes_field(6, text_field(2, name)),
        )
        (folder / "assets").mkdir(exist_ok=True)
        (folder / "assets" / "words.txt").write_text("one\ntwo\n")
        return saved_model.read(folder)

    assert read("words.txt").weights.layers[0].vocabulary == (b"one", b"two")
    for name in ("../../secret", str(secret), ".."):
        with pytest.raises(FormatError, match="outside its assets"):
            read(name)


# tensors within a graph


def peak(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        tensor(FLOAT, (HUGE,)),
        tensor(FLOAT, (HUGE,), bytes_field(5, b"\0\0\0\0")),
        tensor(FLOAT, (1 << 31, 1 << 31, 1 << 31)),
        tensor(STRING, (HUGE,), text_field(8, "a")),
        tensor(INT, (1 << 30,), bytes_field(7, b"\1\2")),
        tensor(FLOAT, (4,), bytes_field(4, b"\0" * 15)),
        tensor(FLOAT, (1,), bytes_field(5, b"\0" * 8)),
        tensor(FLOAT, (-1,)),
        tensor(STRING, (1,), bytes_field(4, b"abcd")),
        tensor(20, (), b""),
        integer_field(1, FLOAT) + bytes_field(2, integer_field(3, 1)),
    ],
)
def test_tensors_that_claim_more_than_they_are(data):
    def read():
        with pytest.raises(FormatError):
            read_tensor(Message(data, "made"), "made")

    assert peak(read) < 1 << 20


def test_a_tensor_of_equal_elements_takes_no_room():
    data = tensor(FLOAT, (4096, 4096), bytes_field(5, np.float32(1.5).tobytes()))
    found = []
    assert peak(lambda: found.append(read_tensor(Message(data, "made"), "made"))) < 1 << 20
    assert found[0].shape == (4096, 4096)
    assert found[0][7, 9] == 1.5


def test_lists_that_are_too_short_repeat_their_last_element():
    data = tensor(INT, (2, 3), bytes_field(7, bytes([1, 2, 7])))
    np.testing.assert_array_equal(
        read_tensor(Message(data, "made"), "made"), [[1, 2, 7], [7, 7, 7]]
    )


# graphs


def test_what_makes_huge_arrays_of_nothing():
    one = tensor(FLOAT, (), bytes_field(4, b"\0\0\0\0"))
    shape = constant("shape", ints(1 << 20, 1 << 20))
    for op in ("Fill", "BroadcastTo"):
        inputs = ("shape", "one") if op == "Fill" else ("one", "shape")
        with pytest.raises(FormatError, match="makes an array of shape"):
            run(graph(shape, constant("one", one), node("out", op, *inputs)))
    with pytest.raises(FormatError, match="makes an array of shape"):
        run(
            graph(
                constant("start", number(0)),
                constant("end", number(2_000_000_000)),
                constant("step", number(1)),
                node("out", "Range", "start", "end", "step"),
            )
        )
    with pytest.raises(FormatError, match="makes an array of shape"):
        run(
            graph(
                constant("what", ints(1, 2, 3)),
                constant("times", ints(1 << 30)),
                node("out", "Tile", "what", "times"),
            )
        )
    with pytest.raises(FormatError, match="makes an array of shape"):
        run(
            graph(
                constant("column", tensor(FLOAT, (1 << 24, 1))),
                constant("row", tensor(FLOAT, (1, 1 << 24))),
                node("out", "AddV2", "column", "row"),
            )
        )


def test_lists_of_a_million_million():
    with pytest.raises(FormatError, match="a list of"):
        run(
            graph(
                constant("shape", ints(1)),
                constant("count", number(2_000_000_000)),
                node("list", "TensorListReserve", "shape", "count"),
                node("out", "TensorListLength", "list"),
            )
        )


def loop(condition):
    body = function("body", ("i",), ("i",))
    return graph(
        constant("zero", number(0)),
        node("out", "While", "zero", cond=calls("cond"), body=calls("body")),
        functions=[body, condition],
    )


def test_loops_without_end(monkeypatch):
    monkeypatch.setattr("holdfast.formats.live.graph_running._MOST_OPERATIONS", 10_000)
    with pytest.raises(FormatError, match="not come to its end"):
        run(loop(function("cond", ("i",), ("yes:output:0",), constant("yes", truth(True)))))
    # Not even an operation in it.
    endless = graph(
        constant("yes", truth(True)),
        node("out", "While", "yes", cond=calls("same"), body=calls("same")),
        functions=[function("same", ("i",), ("i",))],
    )
    with pytest.raises(FormatError, match="not come to its end"):
        run(endless)


def test_functions_that_call_themselves():
    one = function("one", (), ("c:output:0",), node("c", "PartitionedCall", f=calls("two")))
    two = function("two", (), ("c:output:0",), node("c", "PartitionedCall", f=calls("one")))
    made = graph(node("out", "PartitionedCall", f=calls("one")), functions=[one, two])
    with pytest.raises(FormatError, match="never ends"):
        run(made)


def test_functions_that_double(monkeypatch):
    """Each calls the next twice: two to the power of how many there are."""
    monkeypatch.setattr("holdfast.formats.live.graph_running._MOST_OPERATIONS", 10_000)
    functions = [
        function(
            f"f{k}",
            (),
            ("b:output:0",),
            node("a", "PartitionedCall", f=calls(f"f{k + 1}")),
            node("b", "PartitionedCall", "a:output:0", f=calls(f"g{k + 1}")),
        )
        for k in range(40)
    ]
    functions += [
        function(f"g{k}", ("x",), ("a:output:0",), node("a", "PartitionedCall", f=calls(f"f{k}")))
        for k in range(1, 41)
    ]
    functions.append(function("f40", (), ("c:output:0",), constant("c", number(1))))
    made = graph(node("out", "PartitionedCall", f=calls("f0")), functions=functions)
    with pytest.raises(FormatError, match=r"not come to its end|never ends"):
        run(made)


def test_operations_that_need_each_other():
    with pytest.raises(FormatError, match="needs its own value"):
        run(graph(node("a", "Neg", "out"), node("out", "Neg", "a")))
    with pytest.raises(FormatError, match="needs its own value"):
        run(graph(node("out", "Neg", "out")))


def test_a_chain_of_ten_thousand_operations():
    nodes = [constant("n0", number(7))]
    nodes += [node(f"n{k}", "Neg", f"n{k - 1}") for k in range(1, 10_001)]
    assert run(graph(*nodes), "n10000") == 7


@pytest.mark.parametrize(
    "nodes",
    [
        [node("out", "Neg", "nowhere")],
        [node("out", "Neg")],
        [constant("a", number(1)), node("out", "Neg", "a:5")],
        [constant("a", number(1)), node("out", "Neg", "a:-1")],
        [constant("a", number(1)), node("out", "Neg", "a:x:y:z")],
        [node("out", "Const")],
        [constant("out", tensor(STRING, (), text_field(8, "a")))],
        [node("out", "Placeholder")],
        [node("out", "ReadVariableOp", "a"), constant("a", number(1))],
        [node("out", "PartitionedCall", f=calls("nothing"))],
        [node("out", "PartitionedCall")],
        [node("out", "TensorListStack", "a"), constant("a", number(1))],
        [
            constant("a", ints(1, 2, 3)),
            constant("b", ints(-5, 9)),
            node("out", "Reshape", "a", "b"),
        ],
        [constant("a", ints(1)), constant("b", ints(9, 9)), node("out", "Transpose", "a", "b")],
        [constant("a", ints(1)), node("out", "Einsum", "a", equation=text_field(2, "ij->" * 90))],
        [constant("a", ints(1)), node("out", "Cast", "a", DstT=integer_field(6, STRING))],
        [constant("a", ints(1)), node("out", "Cast", "a", DstT=integer_field(6, 999))],
        [node("out", "NoOp")],
    ],
)
def test_graphs_that_are_not_sound(nodes):
    with pytest.raises(FormatError):
        run(graph(*nodes))


def test_two_operations_of_one_name():
    with pytest.raises(FormatError, match="twice"):
        graph(constant("a", number(1)), constant("a", number(2)))


def test_more_operations_than_bytes_allow():
    with pytest.raises(FormatError, match="too many parts"):
        graph(*(node(f"{k:x}", "") for k in range(60_000)))


@pytest.mark.parametrize("op", ["PyFunc", "EagerPyFunc", "ReadFile", "WriteFile", "SaveV2"])
def test_what_only_comes_before_may_not_reach_outside_either(op):
    made = graph(node("bad", op), constant("a", number(1)), node("out", "Neg", "a", "^bad"))
    with pytest.raises(FormatError, match=f"{op} reaches outside"):
        check(made, ["out"])
    inside = function("f", (), ("a:output:0",), constant("a", number(1)), node("bad", op))
    made = graph(node("out", "PartitionedCall", f=calls("f")), functions=[inside])
    with pytest.raises(FormatError, match=f"{op} reaches outside"):
        check(made, ["out"])
