"""What Holdfast writes, read by the real Keras 2.15: each model of the corpus, in three formats.

Every model is opened by Holdfast, written, and opened by Keras 2.15, which has to answer as it did
when it had made the model; what was trained has to go on as it did then.
"""

import os
import warnings
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import keras
import numpy as np
import pytest
from asking import keras2
from corpus_models import cases

import holdfast

KINDS = {"h5_model": "model.h5", "h5_weights": "weights.h5", "checkpoint_weights": "ck"}

pytestmark = pytest.mark.skipif(
    "HOLDFAST_TF215" not in os.environ, reason="HOLDFAST_TF215 says no Python with Keras 2.15"
)

CASES = {case.name: case for case in cases()}

# What is known to be otherwise, and why.
ADAPTED = "a Discretization of Keras 2 keeps a summary of its data, which Keras 3 does not have"
KNOWN = {
    ("discretization_adapted", "h5_weights"): ADAPTED,
    ("discretization_adapted", "checkpoint_weights"): ADAPTED,
    ("trained_binary", "h5_model"): "the older RMSprop of Keras 2 adds epsilon to the root",
    ("trained_mixed_precision", "checkpoint_weights"): "the scale of the loss is not written",
    ("trained_several_losses", "h5_model"): "Keras 3 does not tell the delta of its Huber",
}


@cache
def answers():
    """Write all, and have Keras 2.15 read all at once: its import alone takes seconds."""
    folder = Path(mkdtemp(prefix="holdfast-legacy-"))
    found, jobs = {}, []
    for case in CASES.values():
        keras.backend.clear_session()
        try:
            model = opened(case)
        except Exception as error:
            found[case.name] = dict.fromkeys(KINDS, f"not opened: {error}")
            continue
        (folder / case.name).mkdir()
        for kind, name in KINDS.items():
            path = folder / case.name / name
            found.setdefault(case.name, {})[kind] = said = written(model, kind, path)
            if said:
                continue
            job = {"kind": kind, "path": str(path), "out": f"{case.name}/{kind}.npz"}
            job["model"] = case.name
            if kind == "h5_model" and case.facts["optimizer"]:
                job["more"] = case.facts["optimizer"]["more"]
            jobs.append(job)
    for job, result in zip(jobs, keras2(folder, jobs), strict=True):
        found[job["model"]][job["kind"]] = result if not result["ok"] else folder / job["out"]
    return found


def opened(case):
    paths = case.paths()
    first = next(paths[kind] for kind in ("h5", "keras", "saved_model") if kind in paths)
    return holdfast.load_model(first)


def written(model, kind, path):
    """Write a file; returns why Keras 2 will not read it, or None."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            if kind == "h5_model":
                holdfast.save_model(model, path)
            elif kind == "h5_weights":
                holdfast.save_weights(model, path, "h5")
            else:
                holdfast.save_weights(model, path, "checkpoint")
        except holdfast.errors.FormatError as error:
            return f"not written: {error}"
    alone = [str(one.message) for one in said if "Keras 2 does not" in str(one.message)]
    return alone[0] if alone else None


def test_keras2_opens_most_whole_models():
    """Where a model is written as Keras 3 alone opens it, the warning says why; few are."""
    found = [results["h5_model"] for results in answers().values()]
    assert sum(isinstance(one, Path) for one in found) >= 150


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_keras2_answers_as_it_did(name, kind):
    case, result = CASES[name], answers()[name][kind]
    if name.startswith("cudnn") and kind != "h5_model":
        pytest.skip("Keras 2.15 makes these layers on a GPU alone")
    if isinstance(result, str):
        pytest.skip(result)
    if (name, kind) in KNOWN:
        pytest.xfail(KNOWN[name, kind])
    assert isinstance(result, Path), result
    with np.load(result) as found:
        _, expected = case.io()
        expected = keras.tree.flatten(expected)
        keys = [key for key in found.files if key.startswith("outputs/")]
        # As Keras flattens them: lists by their places, dictionaries by their names.
        keys.sort(key=lambda key: (len(key) if key[-1].isdigit() else 0, key))
        outputs = [found[key] for key in keys]
        for one, other in zip(outputs, expected, strict=True):
            tolerance = case.facts["tolerance"]
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
        after = [key for key in found.files if key.startswith("after/")]
        if after:
            with np.load(case.files / f"{name}/io.npz") as was:
                for key in after:
                    np.testing.assert_allclose(found[key], was[key], rtol=1e-4, atol=1e-5)
