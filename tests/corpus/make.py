"""Write the corpus with the real Keras 2: `python tests/corpus/make.py [NAME or FAMILY ...]`.

Runs in a Python of its own that has `tensorflow-cpu==2.15.1`. Without names all models are
written anew; with names only these, and the manifest keeps the others.
"""

import hashlib
import io
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from archive import named, save_arrays, shape_of, zip_folder
from models import build, builders, tensors

HERE = Path(__file__).parent
FILES = HERE / "files"
MANIFEST = HERE / "corpus.json"

LARGEST_WITH_TRACES = 40_000
MOST_LOOPS_WITH_TRACES = 2


def array_record(name, array):
    array = np.asarray(array)
    data = np.ascontiguousarray(array).tobytes()
    return [name, list(array.shape), array.dtype.name, hashlib.sha256(data).hexdigest()]


def variables_of(model):
    """The model's weights; lookup layers put their vocabulary among them, which is none."""
    return [w for w in model.weights if isinstance(w, tf.Variable)]


def weight_records(variables):
    return [array_record(v.name, v.numpy()) for v in variables]


def batch(training, step):
    count = len(tf.nest.flatten(training.x)[0]) // training.batch_size
    start = step % count * training.batch_size
    return tf.nest.map_structure(
        lambda a: a[start : start + training.batch_size], (training.x, training.y)
    )


def train(model, training, first, steps):
    for step in range(first, first + steps):
        model.train_on_batch(*batch(training, step))


def outputs_of(case):
    if case.outputs is not None:
        return case.outputs
    case.model.reset_states()
    if case.predict:
        return case.model.predict(case.inputs, verbose=0)
    outputs = case.model(tensors(case.inputs), training=False)
    case.model.reset_states()
    return tf.nest.map_structure(lambda t: t.numpy(), outputs)


def optimizer_variables(model):
    variables = model.optimizer.variables
    return variables() if callable(variables) else variables


# --- one format each; what they return goes into the manifest ----------------------------------


def write_h5(case, folder):
    case.model.save(folder / "model.h5", save_format="h5")
    return "model.h5", {}


def write_keras(case, folder):
    case.model.save(folder / "model.keras", save_format="keras")
    return "model.keras", {}


def write_h5_weights(case, folder):
    case.model.save_weights(folder / "weights_only.h5", save_format="h5")
    return "weights_only.h5", {}


def write_weights_h5(case, folder):
    case.model.save_weights(str(folder / "model.weights.h5"))
    return "model.weights.h5", {}


def write_checkpoint(case, folder):
    case.model.save_weights(str(folder / "checkpoint" / "ck"), save_format="tf")
    return "checkpoint/ck", {}


def write_saved_model(case, folder):
    """With the traced functions, unless they would be most of what there is."""
    target = folder / "saved_model"
    loops = [layer for layer in case.model._flatten_layers() if hasattr(layer, "return_sequences")]
    for traces in (True, False) if len(loops) <= MOST_LOOPS_WITH_TRACES else (False,):
        case.model.save(str(target), save_format="tf", save_traces=traces)
        if zip_folder(target, io.BytesIO()) <= LARGEST_WITH_TRACES:
            break
        if traces:
            shutil.rmtree(target)
    return "saved_model", {"saved_model_traces": traces}


WRITERS = {
    "h5": write_h5,
    "keras": write_keras,
    "saved_model": write_saved_model,
    "checkpoint": write_checkpoint,
    "h5_weights": write_h5_weights,
    "weights_h5": write_weights_h5,
}


def left_out(case, kind):
    """What would only make the corpus larger."""
    if kind in ("h5_weights", "weights_h5"):
        if case.training:
            return "left out: the trained are there for their optimizers"
        if not variables_of(case.model):
            return "left out: no weights"
    return ""


def write_formats(case, folder, name):
    """Every format that Keras 2.15 writes of this model; the reason where it writes none."""
    formats, notes = {}, {}
    for kind, write in WRITERS.items():
        if reason := left_out(case, kind):
            formats[kind] = {"not written": reason}
            continue
        before = set(folder.iterdir())
        try:
            path, more = write(case, folder)
            formats[kind] = f"{name}/{path}"
            notes |= more
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            formats[kind] = {"not written": f"{type(error).__name__}: {lines[0][:200]}"}
            for left in set(folder.iterdir()) - before:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    return formats, notes


def write_model(name):
    """All of one model's files in `files/NAME.zip`, under a folder NAME as the manifest has it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / name
        folder.mkdir()
        record = write_files(name, folder)
        zip_folder(place, FILES / f"{name}.zip")
    return record


def write_files(name, folder):
    case = build(name)
    model, training = case.model, case.training
    if training:
        train(model, training, 0, training.steps)
    outputs = outputs_of(case)
    arrays = named("inputs", case.inputs) | named("outputs", outputs)
    weights = weight_records(variables_of(model))
    formats, notes = write_formats(case, folder, name)
    record = {
        "name": name,
        "family": builders()[name][0],
        "layers": sorted({type(layer).__name__ for layer in model._flatten_layers()}),
        "formats": formats,
        **notes,
        "tolerance": case.tolerance,
        "refused": bool(case.refused),
        "why": case.refused,
        "inputs": shape_of(case.inputs),
        "outputs": shape_of(outputs),
        "weights": weights,
        "optimizer": None,
        "plain_keras": {},
    }
    if training:
        record["optimizer"] = describe_optimizer(model, training)
        arrays |= named("x", training.x) | named("y", training.y)
        arrays |= named("optimizer", [v.numpy() for v in optimizer_variables(model)])
        train(model, training, training.steps, training.more)
        arrays |= named("after", [w.numpy() for w in variables_of(model)])
        arrays |= named("optimizer_after", [v.numpy() for v in optimizer_variables(model)])
    save_arrays(folder / "io.npz", arrays)
    return record


def describe_optimizer(model, training):
    optimizer = model.optimizer
    kind = type(optimizer)
    return {
        "class": kind.__name__,
        "legacy": "legacy" in kind.__module__,
        "config": json.loads(json.dumps(optimizer.get_config(), default=_plain)),
        "variables": weight_records(optimizer_variables(model)),
        "batch_size": training.batch_size,
        "steps": training.steps,
        "more": training.more,
        "x": shape_of(training.x),
        "y": shape_of(training.y),
    }


def _plain(value):
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    return np.asarray(value).tolist()


def write_manifest(records):
    """Sorted by the order of the models, so that a part made anew changes nothing else."""
    known = {}
    if MANIFEST.exists():
        known = {record["name"]: record for record in json.loads(MANIFEST.read_text())}
    known |= {record["name"]: record for record in records}
    ordered = [known[name] for name in builders() if name in known]
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in ordered)
    MANIFEST.write_text(f"[\n{lines}\n]\n")


def main(names):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    FILES.mkdir(exist_ok=True)
    failed = []
    records = []
    families = {family for family, _ in builders().values()}
    chosen = [n for n, (family, _) in builders().items() if not names or {n, family} & set(names)]
    if unknown := set(names) - families - set(builders()):
        sys.exit(f"no such model or family: {', '.join(sorted(unknown))}")
    for name in chosen:
        try:
            records.append(write_model(name))
            missing = [k for k, v in records[-1]["formats"].items() if isinstance(v, dict)]
            print(name, "written", "without " + ", ".join(missing) if missing else "", flush=True)
        except Exception as error:
            failed.append(name)
            print(name, "FAILED", type(error).__name__, str(error)[:600], flush=True)
        if len(records) % 10 == 0:
            write_manifest(records)
    write_manifest(records)
    return failed


if __name__ == "__main__":
    sys.exit("failed: " + ", ".join(failed) if (failed := main(sys.argv[1:])) else 0)
