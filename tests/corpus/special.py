"""Files of rarer kinds, by Keras 2.15 and TensorFlow: `python tests/corpus/special.py [NAME ...]`.

Each is `files/special/NAME.zip` with a folder NAME; `special.json` says what lies in it. Where a
file belongs to a model of the corpus, its weights are that model's.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from archive import named, save_arrays, zip_folder
from case import normal
from make import array_record, optimizer_variables, train
from models import build, tensors

HERE = Path(__file__).parent
FILES = HERE / "files" / "special"
MANIFEST = HERE / "special.json"
L = tf.keras.layers


def export(name):
    """`model.export()`: a serving function and variables, no Keras config."""

    def write(folder):
        case = build(name)
        case.model.export(str(folder / "saved_model"))
        return _served(case, folder) | {"model": name}

    return write


def saved_by_tensorflow(name):
    """`tf.saved_model.save` of a Keras model: no keras_metadata.pb."""

    def write(folder):
        case = build(name)
        tf.saved_model.save(case.model, str(folder / "saved_model"))
        return _served(case, folder) | {"model": name}

    return write


def _served(case, folder):
    outputs = case.model(tensors(case.inputs), training=False)
    outputs = tf.nest.map_structure(lambda t: t.numpy(), outputs)
    save_arrays(folder / "io.npz", named("inputs", case.inputs) | named("outputs", outputs))
    signature = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    return {
        "path": "saved_model",
        "kind": "graph",
        "signature_inputs": sorted(signature.structured_input_signature[1]),
        "signature_outputs": sorted(signature.structured_outputs),
        "arrays": [array_record(w.name, w.numpy()) for w in case.model.weights],
    }


class Line(tf.Module):
    def __init__(self):
        super().__init__(name="line")
        self.slope = tf.Variable(normal(3, 2), name="slope")
        self.offset = tf.Variable(normal(2, seed=1), name="offset")
        self.steps = tf.Variable(7, dtype=tf.int64, trainable=False, name="steps")

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def __call__(self, x):
        return {"y": tf.nn.relu(x @ self.slope) + self.offset}


def module(folder):
    line = Line()
    tf.saved_model.save(line, str(folder / "saved_model"), signatures=line.__call__)
    x = normal(4, 3, seed=2)
    save_arrays(folder / "io.npz", named("inputs", {"x": x}) | named("outputs", line(x)))
    return {
        "path": "saved_model",
        "kind": "graph",
        "signature_inputs": ["x"],
        "signature_outputs": ["y"],
        "arrays": [array_record(v.name, v.numpy()) for v in line.variables],
    }


def module_without_signature(folder):
    tf.saved_model.save(Line(), str(folder / "saved_model"))
    return {
        "path": "saved_model",
        "kind": "graph",
        "signature_inputs": None,
        "signature_outputs": None,
        "arrays": [array_record(v.name, v.numpy()) for v in Line().variables],
    }


def zipped_saved_model(folder):
    case = build("nested")
    with tempfile.TemporaryDirectory() as place:
        case.model.save(str(Path(place) / "mine"), save_format="tf")
        zip_folder(place, folder / "in_a_folder.zip")
        zip_folder(Path(place) / "mine", folder / "at_the_root.zip")
    return {"path": ["in_a_folder.zip", "at_the_root.zip"], "kind": "model", "model": "nested"}


# --- checkpoints --------------------------------------------------------------------------------


def checkpoint_arrays(prefix):
    """Every numeric array of a checkpoint as TensorFlow's own reader gives it."""
    reader = tf.train.load_checkpoint(str(prefix))
    names = sorted(reader.get_variable_to_shape_map())
    types = reader.get_variable_to_dtype_map()
    return {name: reader.get_tensor(name) for name in names if types[name] != tf.string}


def _described(folder, prefix, **more):
    arrays = checkpoint_arrays(folder / prefix)
    save_arrays(folder / "io.npz", {f"arrays/{name}": array for name, array in arrays.items()})
    records = [array_record(name, array) for name, array in arrays.items()]
    return {"path": prefix, "kind": "checkpoint", "arrays": records} | more


def checkpoint_shards(folder):
    """One checkpoint in three shards, as distributed training writes it."""
    case = build("nested")
    with tempfile.TemporaryDirectory() as place:
        case.model.save_weights(f"{place}/ck", save_format="tf")
        reader = tf.train.load_checkpoint(f"{place}/ck")
        names = sorted(reader.get_variable_to_shape_map())
        values = [tf.constant(reader.get_tensor(name)) for name in names]
    parts = []
    for i in range(3):
        parts.append(str(folder / f"part{i}"))
        tf.raw_ops.SaveV2(
            prefix=parts[-1],
            tensor_names=names[i::3],
            shape_and_slices=[""] * len(names[i::3]),
            tensors=values[i::3],
        )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(folder / "ck"), delete_old_dirs=False
    )
    return _described(folder, "ck", model="nested")


def checkpoint_sharded_and_sliced(folder):
    """Slices of one variable in two shards: what a partitioned variable becomes."""
    table, bias = normal(5, 3), normal(4, seed=1)
    slices = [
        (["table", "bias"], ["5 3 0,2:0,3", ""], [table[:2], bias]),
        (["table", "table"], ["5 3 2,3:0,1", "5 3 2,3:1,2"], [table[2:, :1], table[2:, 1:]]),
    ]
    parts = []
    for i, (names, places, values) in enumerate(slices):
        parts.append(str(folder / f"part{i}"))
        tf.raw_ops.SaveV2(
            prefix=parts[-1], tensor_names=names, shape_and_slices=places, tensors=values
        )
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(folder / "ck"), delete_old_dirs=False
    )
    return _described(folder, "ck")


def checkpoint_all_types(folder):
    arrays = {}
    for kind in (
        "float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
        "uint16", "uint32", "uint64", "bool", "complex64", "complex128",
    ):  # fmt: skip
        values = tf.constant(np.array([[0, 1, 2], [100, 101, 1]]))
        arrays[f"a {kind}"] = tf.cast(values, kind)
        arrays[f"scalar/{kind}"] = tf.cast(tf.constant(3), kind)
        arrays[f"empty/{kind}"] = tf.cast(tf.zeros((0, 4)), kind)
    tf.raw_ops.SaveV2(
        prefix=str(folder / "ck"),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )
    return _described(folder, "ck")


STRINGS = {
    "words": np.array([["red", "grün"], ["", "x" * 300]]),
    "one": np.array("alone"),
    "none": np.zeros((0,), "<U1"),
}


def checkpoint_strings(folder):
    tensors_of = [tf.constant(v, tf.string) for v in STRINGS.values()]
    tf.raw_ops.SaveV2(
        prefix=str(folder / "ck"),
        tensor_names=[*STRINGS, "number"],
        shape_and_slices=[""] * 4,
        tensors=[*tensors_of, tf.constant([1.0, 2.0])],
    )
    described = _described(folder, "ck", strings=list(STRINGS))
    arrays = {f"strings/{k}": v for k, v in STRINGS.items()} | {"arrays/number": [1.0, 2.0]}
    save_arrays(folder / "io.npz", arrays)
    return described


def _trained():
    case = build("trained_adam")
    train(case.model, case.training, 0, case.training.steps)
    return case.model


def checkpoint_of_model_and_optimizer(folder):
    model = _trained()
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    prefix = checkpoint.write(str(folder / "training"))
    more = {"model": "trained_adam", "optimizer": len(optimizer_variables(model))}
    return _described(folder, Path(prefix).name, **more)


def checkpoint_manager(folder):
    """A directory with `checkpoint` in it, three checkpoints kept; the last is the model's."""
    model = _trained()
    last = model.get_weights()
    step = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(step=step, model=model, optimizer=model.optimizer)
    manager = tf.train.CheckpointManager(checkpoint, str(folder / "kept"), max_to_keep=3)
    for number in range(1, 5):
        model.set_weights([w * number / 4 for w in last])
        step.assign(number)
        manager.save()
    return _described(folder, "kept/ckpt-4", model="trained_adam", directory="kept")


def checkpoint_of_network(folder):
    """`tf.train.Checkpoint(net=model)`: the name under which a model lies is anyone's choice."""
    case = build("bidirectional_stacked")
    prefix = tf.train.Checkpoint(net=case.model).save(str(folder / "tf_ckpts" / "ckpt"))
    path = Path(prefix).relative_to(folder).as_posix()
    return _described(folder, path, model="bidirectional_stacked", directory="tf_ckpts")


# --- HDF5 ---------------------------------------------------------------------------------------


def long_names(folder):
    """Layer names of more than 64512 bytes together: attributes in several parts."""
    model = tf.keras.Sequential([tf.keras.Input((3,))])
    for i in range(120):
        model.add(L.ReLU(negative_slope=0.99, name=f"layer_{i}_" + "long_" * 110))
    model.add(L.Dense(2, name="dense_" + "long_" * 110))
    model.set_weights([normal(3, 2), normal(2)])
    model.save(folder / "model.h5", save_format="h5")
    model.save_weights(folder / "weights_only.h5", save_format="h5")
    x = normal(2, 3, seed=4)
    save_arrays(folder / "io.npz", named("inputs", x) | named("outputs", model(x).numpy()))
    return {
        "path": ["model.h5", "weights_only.h5"],
        "kind": "model",
        "arrays": [array_record(w.name, w.numpy()) for w in model.weights],
    }


def many_weights_in_a_layer(folder):
    """One nested model whose weight names are longer than one attribute may be."""
    inner = tf.keras.Sequential([tf.keras.Input((2,))], name="inner")
    for i in range(180):
        inner.add(L.Dense(2, activation="tanh", name=f"layer_{i}_" + "long_" * 40))
    model = tf.keras.Sequential([tf.keras.Input((2,)), inner, L.Dense(1)])
    random = np.random.default_rng(3)
    model.set_weights([random.normal(size=w.shape).astype("float32") for w in model.weights])
    model.save(folder / "model.h5", save_format="h5")
    x = normal(2, 2, seed=4)
    save_arrays(folder / "io.npz", named("inputs", x) | named("outputs", model(x).numpy()))
    return {
        "path": ["model.h5"],
        "kind": "model",
        "tolerance": 1e-4,
        "arrays": [array_record(w.name, w.numpy()) for w in model.weights],
    }


SPECIAL = {
    "export_image_classifier": export("image_classifier"),
    "export_lstm": export("lstm"),
    "export_transformer": export("transformer_block"),
    "export_several": export("several_inputs_outputs"),
    "saved_dense": saved_by_tensorflow("dense_sequential"),
    "saved_lstm_stacked": saved_by_tensorflow("lstm_stacked"),
    "saved_residual": saved_by_tensorflow("residual"),
    "saved_subclassed": saved_by_tensorflow("subclassed"),
    "module": module,
    "module_without_signature": module_without_signature,
    "zipped_saved_model": zipped_saved_model,
    "checkpoint_shards": checkpoint_shards,
    "checkpoint_sharded_and_sliced": checkpoint_sharded_and_sliced,
    "checkpoint_all_types": checkpoint_all_types,
    "checkpoint_strings": checkpoint_strings,
    "checkpoint_of_model_and_optimizer": checkpoint_of_model_and_optimizer,
    "checkpoint_manager": checkpoint_manager,
    "checkpoint_of_network": checkpoint_of_network,
    "long_names": long_names,
    "many_weights_in_a_layer": many_weights_in_a_layer,
}
BY_TENSORFLOW_1 = ["tf1_saver_v1", "tf1_saver_v2", "tf1_partitioned"]


def tensorflow_1(name):
    """In a process of its own: TensorFlow 2's behaviour is switched off for good there."""

    def write(folder):
        subprocess.run([sys.executable, HERE / "special_v1.py", name, folder], check=True)
        found = json.loads((folder / "found.json").read_text())
        (folder / "found.json").unlink()
        return _described(folder, found.pop("path"), **found)

    return write


def main(names):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    FILES.mkdir(parents=True, exist_ok=True)
    writers = SPECIAL | {name: tensorflow_1(name) for name in BY_TENSORFLOW_1}
    records, failed = {}, []
    if MANIFEST.exists():
        records = {record["name"]: record for record in json.loads(MANIFEST.read_text())}
    for name, write in writers.items():
        if names and name not in names:
            continue
        try:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / name
                folder.mkdir()
                records[name] = {"name": name} | write(folder)
                zip_folder(place, FILES / f"{name}.zip")
            print(name, (FILES / f"{name}.zip").stat().st_size, flush=True)
        except Exception as error:
            failed.append(name)
            print(name, "FAILED", type(error).__name__, str(error)[:600], flush=True)
    known = [json.dumps(records[n], ensure_ascii=False) for n in writers if n in records]
    MANIFEST.write_text("[\n{}\n]\n".format(",\n".join(known)))
    return failed


if __name__ == "__main__":
    sys.exit("failed: " + ", ".join(failed) if (failed := main(sys.argv[1:])) else 0)
