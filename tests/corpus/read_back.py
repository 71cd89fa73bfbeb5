"""What the real Keras 2.15 makes of files: `python read_back.py JOBS.json RESULTS.json`.

Runs in the Python that made the corpus. A job is an object with

    kind    "h5_model", "keras" or "saved_model": a whole model is loaded
            "h5_weights", "weights_h5" or "checkpoint_weights": weights for `model`; the kind
            of file is what Keras finds by the name it has
            "load_checkpoint": the arrays of a checkpoint by their keys, no model
    path    the file, or the prefix of a checkpoint; relative to the jobs' folder
    model   a model of the corpus by name; its layers are built as the corpus has them
    inputs  npz with `inputs/…` as in io.npz; left out: the model's own in the corpus
    more    how many steps to train on, with the corpus's data, beginning after `model`'s own
    out     npz to write: `outputs/…`, `weights/…`, `optimizer/…`, `after/…`, or `arrays/…`

The results are a list in the order of the jobs: {"ok": true, "weights": [[name, shape, dtype,
sha256], …]} or {"ok": false, "error": …}.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from archive import named, save_arrays
from make import optimizer_variables, train, variables_of, weight_records
from models import build, tensors
from special import checkpoint_arrays


def loaded_model(job, path):
    case = build(job["model"]) if "model" in job else None
    custom = case.custom_objects if case else None
    return tf.keras.models.load_model(path, custom_objects=custom), case


def weights_into_model(job, path):
    """Into a model whose weights were made zero: what was not read stays to be seen."""
    case = build(job["model"])
    for weight in variables_of(case.model):
        weight.assign(tf.zeros_like(weight))
    status = case.model.load_weights(path)
    if job["kind"] == "checkpoint_weights":
        status.assert_existing_objects_matched()
    return case.model, case


def asked(job, case, folder):
    """The inputs of the job's npz: an array, a list or a dict, by the names in it."""
    if "inputs" not in job:
        return case.inputs if case else None
    with np.load(folder / job["inputs"]) as stored:
        found = {k.partition("/")[2]: stored[k] for k in stored.files if k.startswith("inputs/")}
    if all(key.isdigit() for key in found):
        values = [found[str(i)] for i in range(len(found))]
        return values[0] if len(values) == 1 else values
    return found


def reset_states(model):
    """Only recurrent layers that keep their states have any; a loaded layer may lack the method."""
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
            layer.reset_states()


def do(job, folder):
    path = str(folder / job["path"])
    if job["kind"] == "load_checkpoint":
        arrays = checkpoint_arrays(path)
        save_arrays(folder / job["out"], {f"arrays/{k}": v for k, v in arrays.items()})
        return {"ok": True, "arrays": sorted(arrays)}
    whole = job["kind"] in ("h5_model", "keras", "saved_model")
    model, case = (loaded_model if whole else weights_into_model)(job, path)
    arrays = {}
    inputs = asked(job, case, folder)
    if inputs is not None:
        reset_states(model)
        outputs = model(tensors(inputs), training=False)
        arrays |= named("outputs", tf.nest.map_structure(lambda t: t.numpy(), outputs))
        reset_states(model)
    arrays |= named("weights", [w.numpy() for w in variables_of(model)])
    result = {"ok": True, "weights": weight_records(variables_of(model))}
    if getattr(model, "optimizer", None) is not None:
        variables = [v.numpy() for v in optimizer_variables(model)]
        arrays |= named("optimizer", variables)
        result["optimizer"] = len(variables)
    if "more" in job:
        train(model, case.training, case.training.steps, job["more"])
        arrays |= named("after", [w.numpy() for w in variables_of(model)])
    if "out" in job:
        save_arrays(folder / job["out"], arrays)
    return result


def main(jobs_file, results_file):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    jobs_file = Path(jobs_file).absolute()
    results = []
    for job in json.loads(jobs_file.read_text()):
        try:
            results.append(do(job, jobs_file.parent))
        except Exception as error:
            results.append({"ok": False, "error": f"{type(error).__name__}: {error}"[:2000]})
    Path(results_file).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
