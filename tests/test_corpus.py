"""Every file of the corpus, opened: the same bits, the same outputs.

`make test` opens each model in one of its formats, by turns, and some in all; `make test-corpus`
opens everything. What was found is in docs/formats.md, which is made of the same lists.
"""

from __future__ import annotations

import os
import warnings

import keras
import numpy as np
import pytest
from corpus_models import Case, cases, distance, same_numbers, same_weights

import holdfast
from holdfast import errors

EVERYTHING = os.environ.get("HOLDFAST_CORPUS") == "all"
WHOLE = ("h5", "keras", "keras_windows", "saved_model", "saved_model_1")
WEIGHTS = (
    "checkpoint",
    "h5_weights",
    "weights_h5",
    "weights_json",
    "name_checkpoint",
    "name_checkpoint_v1",
)
ALL = [*cases(), *cases("old")]


def wanted() -> list[tuple[Case, str]]:
    """The pairs of a model and a format to test."""
    found = []
    for number, case in enumerate(ALL):
        there = [name for name in case.paths() if name in WHOLE + WEIGHTS]
        turn = number % len(there) if there else 0
        chosen = there if EVERYTHING or number % 20 == 0 else there[turn : turn + 1]
        found += [(case, name) for name in chosen]
    return found


def opened(case: Case, form: str) -> keras.Model:
    """A case's model with what one file of it holds."""
    path = case.paths()[form]
    kernels = case.facts.get("backend") if case.age.startswith("keras-1") else None
    with warnings.catch_warnings():
        # float64 is float32 on JAX, and added losses are not kept: both are said.
        warnings.simplefilter("ignore")
        if form in WHOLE:
            return holdfast.load_model(path, kernels=kernels)
        whole = next(case.paths()[name] for name in (*WHOLE, "json") if name in case.paths())
        model = holdfast.load_model(whole, compile=False, kernels=kernels)
        for variable in model.weights:
            variable.assign(np.zeros(variable.shape))
        holdfast.load_weights(model, path, kernels=kernels)
    return model


@pytest.mark.parametrize(("case", "form"), wanted(), ids=lambda part: getattr(part, "name", part))
def test_a_file_gives_the_model_that_was_saved(case: Case, form: str) -> None:
    if case.facts.get("refused"):
        with pytest.raises(errors.FormatError):
            opened(case, form)
        return
    model = opened(case, form)
    inputs, outputs = case.io()
    assert distance(model(inputs, training=False), outputs) <= case.facts["tolerance"]
    assert kept(case, form, model) == ""


def kept(case: Case, form: str, model: keras.Model) -> str:
    """What of the file's arrays is not in the model, or nothing."""
    if case.has_cudnn:
        return ""  # its kernels are turned and its biases added up: the outputs tell
    if case.age.startswith("keras-1"):
        return same_numbers(case.paths()[form], model)
    if case.has_float64:
        return ""  # JAX computes with float32 unless it is told otherwise: the outputs tell
    return same_weights(case, model)
