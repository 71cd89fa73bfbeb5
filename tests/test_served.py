"""Graphs of SavedModels as models for inference: what TensorFlow computed is the oracle."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from saved_models import computed, small, special

from holdfast.errors import FormatError
from holdfast.formats import saved_model
from holdfast.formats.graph import operations
from holdfast.formats.live.graph_running import OPERATIONS
from holdfast.formats.live.served import serve

SMALL = ("arithmetic", "arrays", "layers", "flow", "flow_on_data", "same_names")
SPECIAL = (
    "export_image_classifier",
    "export_lstm",
    "export_several",
    "export_transformer",
    "module",
    "saved_dense",
    "saved_lstm_stacked",
    "saved_residual",
    "saved_subclassed",
)


def served(folder, signature=None):
    with saved_model.read(folder) as file:
        return serve(file, signature)


def arrays(outputs, names):
    """Outputs by name, whether there is one or there are several."""
    named = outputs if isinstance(outputs, dict) else {next(iter(names)): outputs}
    return {name: keras.ops.convert_to_numpy(value) for name, value in named.items()}


def distances(found, expected):
    assert found.keys() == expected.keys()
    assert {name: a.shape for name, a in found.items()} == {
        name: a.shape for name, a in expected.items()
    }
    return {
        name: np.max(np.abs(found[name].astype("float64") - array) / np.maximum(1, abs(array)))
        for name, array in expected.items()
        if array.size
    }


@pytest.mark.parametrize("name", SMALL)
def test_every_operation_computes_what_tensorflow_computes(name):
    inputs, expected = computed(small(name))
    found = arrays(served(small(name))(inputs), expected)
    assert {key: gap for key, gap in distances(found, expected).items() if not gap <= 2e-6} == {}


@pytest.mark.parametrize("name", SPECIAL)
def test_exported_models_predict_what_they_predicted(name):
    model = served(special(name))
    inputs, expected = computed(special(name))
    if len(model.input_names) == 1:
        inputs = next(iter(inputs.values()))
    elif set(inputs) != set(model.input_names):  # the corpus numbers the inputs of a list
        inputs = dict(zip(model.input_names, inputs.values(), strict=True))
    found = arrays(model.predict(inputs, verbose=0), expected)
    if set(found) != set(expected):
        found = dict(zip(expected, found.values(), strict=True))
    assert max(distances(found, expected).values()) <= 1e-5


def test_each_operation_is_compared_with_tensorflow():
    """What may run is what is built, and has been seen to compute the same."""
    assert set(OPERATIONS) == operations.COMPUTING
    seen = set()
    for name in SMALL:
        graph = saved_model.read(small(name)).graph.graph
        nodes = list(graph.nodes.values())
        called = {key for node in nodes for key in node.attributes.functions()}
        while called:
            more = graph.function(called.pop()).nodes.values()
            called |= {key for node in more for key in node.attributes.functions()}
            nodes += more
        seen |= {node.op for node in nodes}
    spellings = {  # of one that was compared, before or after a change that is none here
        *("BatchMatMul", "BatchMatMulV3", "BiasAddV1", "FusedBatchNorm", "FusedBatchNormV2"),
        *("CheckNumerics", "NoOp", "PreventGradient", "ShapeN", "Snapshot", "StopGradient"),
    }
    assert operations.COMPUTING - seen - spellings == {"Where"}


def test_variables_do_not_train():
    model = served(special("export_image_classifier"))
    assert model.trainable_variables == []
    assert model.non_trainable_variables
    with pytest.raises(FormatError, match="inference only"):
        model.fit(np.zeros((1, 8, 8, 1)), np.zeros(1))
    with pytest.raises(FormatError, match="inference only"):
        model.train_on_batch(np.zeros((1, 8, 8, 1)), np.zeros(1))


def test_it_cannot_be_saved(tmp_path):
    with pytest.raises(FormatError, match="cannot be saved"):
        served(special("module")).save(tmp_path / "model.keras")


def test_inputs_are_asked_for_by_name():
    model = served(small("arithmetic"))
    x = np.zeros((2, 4, 6, 3), "float32")
    with pytest.raises(ValueError, match=r"a dict of inputs by name \(i, x\), got a list of 2"):
        model([x, x])
    with pytest.raises(ValueError, match=r"\(i, x\), got x"):
        model({"x": x})


def test_a_loop_that_depends_on_the_data_is_run_eagerly():
    model = served(small("flow_on_data"))
    inputs, expected = computed(small("flow_on_data"))
    with pytest.warns(UserWarning, match="depends on its data"):
        found = model.predict(inputs, verbose=0)
    assert max(distances(found, expected).values()) <= 1e-5
    again = model.predict(inputs, verbose=0)
    np.testing.assert_array_equal(again["x"], found["x"])


def test_other_sizes_than_when_it_was_written():
    model = served(small("flow"))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    one = model.predict({"x": x}, verbose=0)
    assert one["stacked"].shape == (10, 3)
    np.testing.assert_allclose(one["x"], model({"x": x})["x"], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "operation", "reason"),
    [
        ("reads_a_file", "ReadFile", "reaches outside"),
        ("writes_a_file", "WriteFile", "reaches outside"),
        ("calls_python", "EagerPyFunc", "reaches outside"),
        ("changes_a_variable", "AssignAddVariableOp", "changes a variable"),
    ],
)
def test_operations_outside_the_list_are_named_before_any_runs(name, operation, reason):
    file = saved_model.read(small(name))
    with pytest.raises(FormatError, match=f"{operation} {reason}"):
        serve(file)


def test_an_unknown_signature_is_refused():
    file = saved_model.read(small("flow"))
    with pytest.raises(FormatError, match="found serving_default"):
        serve(file, "other")


def test_a_keras_model_can_be_served_too():
    """The graph of a model whose configuration is there computes the same."""
    from test_saved_model import path_of

    folder = path_of("conv2d")
    inputs, expected = computed(folder)
    found = served(folder).predict(next(iter(inputs.values())), verbose=0)
    found = dict(zip(expected, found.values(), strict=True))
    assert max(distances(found, expected).values()) <= 1e-5


def test_a_served_model_does_not_change_with_its_file(tmp_path):
    """Its graph is read as far as it is run: the file may be another by then."""
    folder = tmp_path / "saved_model"
    shutil.copytree(small("flow"), folder)
    inputs, expected = computed(small("flow"))
    model = served(folder)
    for path in (*folder.glob("*.pb"), *folder.glob("variables/*")):
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
    assert max(distances(arrays(model(inputs), expected), expected).values()) < 1e-5


def test_what_is_unsafe_does_not_follow_from_a_name(tmp_path):
    folder = tmp_path / "refused"
    shutil.copytree(small("flow"), folder)
    with saved_model.read(folder) as file:
        graph = file.graph
        assert graph.problem() is None
        outputs = [spec.tensor for spec in graph.signature().outputs.values()]
        node = graph.graph.nodes[operations.name_of(outputs[0])]
        unknown = dataclasses.replace(node, op="Frobnicate")
        graph.graph.nodes[node.name] = unknown
        unsafe, what = graph.problem()
    assert "Frobnicate is not one that Holdfast can run" in what
    assert "refused" in what
    assert not unsafe
