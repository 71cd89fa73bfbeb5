"""What Keras 2.15 makes of its own files: `python itself.py [NAME ...]` -> itself.json.

For each file "equal", "differs" or the first line of the error; for the trained also whether
training goes on as it did: "goes on" or "goes on otherwise". What is not "equal" here was lost, or
never was in the file, or is not run by Keras 2.15 on a CPU.
"""

import json
import logging
import os
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from read_back import do

HERE = Path(__file__).parent
RESULTS = HERE / "itself.json"
KINDS = {
    "h5": "h5_model",
    "keras": "keras",
    "saved_model": "saved_model",
    "checkpoint": "checkpoint_weights",
    "h5_weights": "h5_weights",
    "weights_h5": "weights_h5",
}


def below(arrays, prefix):
    return {key: arrays[key] for key in arrays.files if key.startswith(f"{prefix}/")}


def close(found, expected, tolerance):
    if sorted(found) != sorted(expected):
        return False
    for key, value in expected.items():
        if value.dtype.kind in "US":
            same = np.array_equal(found[key], value)
        else:
            same = found[key].shape == value.shape and np.allclose(
                found[key].astype("float64"), value.astype("float64"), tolerance, tolerance
            )
        if not same:
            return False
    return True


def judge(record, kind, folder):
    name = record["name"]
    job = {"kind": KINDS[kind], "path": record["formats"][kind], "model": name, "out": "back.npz"}
    if record["optimizer"]:
        job["more"] = record["optimizer"]["more"]
    try:
        do(job, folder)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        line = lines[0].replace(f"{folder}/", "")
        return f"fails: {type(error).__name__}: {line[:160]}"
    with np.load(folder / "back.npz") as back, np.load(folder / name / "io.npz") as kept:
        same = close(below(back, "outputs"), below(kept, "outputs"), record["tolerance"])
        result = "equal" if same else "differs"
        if record["optimizer"]:
            on = close(below(back, "after"), below(kept, "after"), 1e-5)
            result += ", goes on" if on else ", goes on otherwise"
    return result


def main(names):
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    records = json.loads((HERE / "corpus.json").read_text())
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    by_name = {record["name"]: record for record in records}
    for name in names or by_name:
        record = by_name[name]
        tf.keras.backend.clear_session()
        with tempfile.TemporaryDirectory() as place:
            with zipfile.ZipFile(HERE / "files" / f"{name}.zip") as archive:
                archive.extractall(place)
            kinds = [kind for kind, path in record["formats"].items() if isinstance(path, str)]
            results[name] = {kind: judge(record, kind, Path(place)) for kind in kinds}
        print(name, results[name], flush=True)
        known = [r["name"] for r in records if r["name"] in results]
        lines = ",\n".join(f"{json.dumps(n)}: {json.dumps(results[n])}" for n in known)
        RESULTS.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
