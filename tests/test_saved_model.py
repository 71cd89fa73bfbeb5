"""SavedModels of every age: whose each array is, and what Keras wrote beside them."""

import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from corpus_models import digest
from saved_models import manifest, small, special

import holdfast
from holdfast.errors import FormatError
from holdfast.formats import saved_model
from holdfast.formats.model_file import ByLayer, ByObject
from holdfast.formats.saved_vocabulary import asset_path
from holdfast.formats.writing import has_tensorflow

CASES = manifest()
CORPUS = Path(__file__).parent / "corpus" / "files"


def path_of(name):
    return CASES[name][1]


def read(name):
    return saved_model.read(path_of(name))


def entries(layers):
    """All arrays of layers, each once, as a shared layer is in several models."""
    found = {}
    for layer in layers:
        for entry in [*layer.entries, *entries(layer.layers)]:
            found[id(entry)] = entry
    return list(found.values())


def layer(file, *path):
    layers = file.weights.layers
    for name in path:
        found = {layer.name: layer for layer in layers}[name]
        layers = found.layers
    return found


@pytest.mark.parametrize("name", CASES)
def test_all_arrays_of_a_model_are_there_in_its_layers(name):
    file = read(name)
    theirs = Counter(row[3] for row in CASES[name][0]["weights"])
    if isinstance(file.weights, ByLayer):
        ours = Counter(digest(entry.read()) for entry in entries(file.weights.layers))
    else:
        nodes = file.weights.nodes
        ours = Counter(digest(node.value.read()) for node in nodes if node.value is not None)
    missing = [row[0] for row in CASES[name][0]["weights"] if row[3] in theirs - ours]
    # How many documents TF-IDF has seen is no array that a layer computes with.
    assert [name for name in missing if name != "Variable:0"] == []
    if isinstance(file.weights, ByLayer):
        assert not ours - theirs
        names = [config["config"]["name"] for config in file.config["config"]["layers"]]
        assert [layer.name for layer in file.weights.layers] == names


def test_a_layer_has_its_arrays_in_the_order_of_keras_2():
    file = read("frozen_some_inner_layers")
    for part in file.weights.layers:
        for inner in part.layers or (part,):
            kinds = [entry.name.rpartition("/")[2] for entry in inner.entries]
            if "gamma" in kinds:
                assert kinds == ["gamma", "beta", "moving_mean", "moving_variance"]
            elif kinds:
                assert kinds == ["kernel", "bias"]


def test_layers_without_traces_are_read_through_what_they_wrap():
    file = read("bidirectional")
    for part in file.weights.layers[1:]:
        kinds = [entry.name.split("/", 1)[1].split("/")[-1] for entry in part.entries]
        sides = [entry.name.split("/")[1].split("_")[0] for entry in part.entries]
        assert kinds == ["kernel", "recurrent_kernel", "bias"] * 2
        assert sides == ["forward"] * 3 + ["backward"] * 3


def test_cells_of_a_stack_keep_their_order():
    file = read("cells")
    (cells,) = (part for part in file.weights.layers if part.name == "rnn_4")
    assert [entry.name.split("/")[2] for entry in cells.entries] == (
        ["lstm_cell_1"] * 3 + ["lstm_cell_2"] * 3
    )


def test_a_model_within_a_wrapper_keeps_its_layers():
    inner = layer(read("time_distributed"), "time_distributed")
    assert [part.name for part in inner.layers if part.entries] == ["conv2d"]
    assert inner.entries == ()


@pytest.mark.parametrize("age", ["2.0.4", "2.2.3", "2.4.4", "2.6.5", "2.8.4"])
def test_metadata_of_every_age_is_found(age):
    file = read(f"old/tf-{age}/nested")
    assert file.config["class_name"] in ("Model", "Functional")
    assert file.major == 2
    assert file.backend == "tensorflow"
    assert any(part.layers for part in file.weights.layers)


def test_tensorflow_1_kept_the_configuration_among_the_assets(tmp_path):
    file = read("old/tf-1.15.5/trained_adam_1")
    assert file.config["class_name"] == "Sequential"
    assert isinstance(file.weights, ByObject)
    # What is needed is there even where only these parts of the directory were kept.
    source = path_of("old/tf-1.15.5/trained_adam_1")
    shutil.copytree(source, tmp_path / "kept")
    (tmp_path / "kept" / "saved_model.pb").unlink()
    kept = saved_model.read(tmp_path / "kept")
    assert kept.config == file.config
    assert len(kept.weights.nodes) == len(file.weights.nodes)


def test_the_arguments_of_compile_are_there():
    assert read("trained_adam").training["optimizer_config"]["class_name"]
    assert read("lstm").training is None


def test_the_optimizer_is_in_the_graph_of_objects():
    objects = read("trained_adam").objects
    optimizer = objects.nodes[objects.nodes[0].children["optimizer"]]
    listed = objects.nodes[optimizer.children["_variables"]].children
    assert all(objects.nodes[number].value is not None for number in listed.values())
    assert len(listed) > 4


def test_slots_of_older_optimizers_are_there():
    objects = read("old/tf-2.0.4/trained_adam").objects
    optimizer = objects.nodes[objects.nodes[0].children["optimizer"]]
    assert {name for _, name, _ in optimizer.slots} == {"m", "v"}
    for original, _, slot in optimizer.slots:
        assert objects.nodes[slot].value.shape == objects.nodes[original].value.shape


def test_vocabularies_come_in_the_order_of_their_indices():
    layers = {part.name: part for part in read("string_lookup_adapted").weights.layers}
    found = [part.vocabulary for part in layers.values() if part.vocabulary]
    assert found
    assert all(isinstance(word, bytes) for words in found for word in words)
    numbers = [p.vocabulary for p in read("integer_lookup_adapted").weights.layers if p.vocabulary]
    assert numbers
    assert all(isinstance(word, int) for words in numbers for word in words)
    (texts,) = (p.vocabulary for p in read("text_vectorization").weights.layers if p.vocabulary)
    assert len(texts) == len(set(texts)) > 2


def test_a_subclassed_model_is_given_by_its_attributes():
    file = read("trained_subclassed")
    assert isinstance(file.weights, ByObject)
    assert file.config["class_name"] == "Small"
    assert {"optimizer", "variables"} <= set(file.weights.nodes[0].children)


def test_what_is_no_keras_model_has_its_arrays_by_object_and_a_graph():
    file = saved_model.read(special("saved_dense"))
    assert file.config is None
    assert file.keras_version is None
    names = {node.full_name for node in file.weights.nodes if node.value is not None}
    assert names == {node.value.name for node in file.weights.nodes if node.value is not None}
    assert "serving_default" in file.graph.signatures
    assert file.problems == ()


def test_what_cannot_be_served_is_a_problem_of_the_file():
    (problem,) = saved_model.read(small("reads_a_file")).problems
    assert problem.kind == "unsafe"
    assert "ReadFile" in problem.what
    (problem,) = saved_model.read(small("changes_a_variable")).problems
    assert problem.kind == "unsupported"


def test_variables_of_one_name_keep_their_keys():
    file = saved_model.read(small("same_names"))
    names = [node.value.name for node in file.weights.nodes if node.value is not None]
    assert len(set(names)) == len(names) == 2


def test_where_there_is_no_saved_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved_model\.pb"):
        saved_model.read(tmp_path)
    (tmp_path / "saved_model.pbtxt").write_text("meta_graphs {}")
    with pytest.raises(FormatError, match="text form"):
        saved_model.read(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    shutil.copytree(path_of("dense_sequential"), tmp_path / "model")
    (shard,) = (tmp_path / "model" / "variables").glob("*.data-*")
    shard.unlink()
    with pytest.raises(FormatError, match=shard.name):
        saved_model.read(tmp_path / "model")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/b", "C:\\x", "a\0b", ""])
def test_assets_lie_in_their_folder(tmp_path, name):
    (tmp_path / "assets").mkdir()
    (tmp_path / "secret").write_text("words")
    with pytest.raises(FormatError):
        asset_path(tmp_path, name)


def test_an_asset_is_no_link(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "secret").write_text("words")
    Path(tmp_path, "assets", "vocabulary.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="is no file"):
        asset_path(tmp_path, "vocabulary.txt")


@pytest.mark.skipif(has_tensorflow(), reason="TensorFlow runs it itself")
def test_a_saved_model_judges_without_tensorflow(tmp_path):
    with zipfile.ZipFile(CORPUS / "attention_causal.zip") as files:
        files.extractall(tmp_path)
    (path,) = (found.parent for found in tmp_path.rglob("saved_model.pb"))
    model = holdfast.judge.load(path)
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    expected = np.asarray(holdfast.load_model(path)(x))
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
