"""What programs of then leave under `holdfast run`, opened by the real Keras 2.15."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.layers import Dense, Dropout

import holdfast

PROGRAMS = Path(__file__).parents[1] / "programs"
HOLDFAST = Path(sys.executable).with_name("holdfast")
NAMES = {"a": "a_best_weights", "b": "b_train", "c": "c_early_stopping", "d": "d_checkpoint"}

pytestmark = pytest.mark.skipif(
    "HOLDFAST_TF215" not in os.environ, reason="HOLDFAST_TF215 says no Python with Keras 2.15"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The programs' directories, each with the files it left, and Keras 2.15's answers."""
    folder = tmp_path_factory.mktemp("programs")
    chance = np.random.default_rng(0)
    np.savez(
        folder / "mnist.npz",
        x_train=chance.integers(0, 256, (60000, 28, 28), dtype="uint8"),
        y_train=chance.integers(0, 10, 60000),
        x_test=np.zeros((10, 28, 28), "uint8"),
        y_test=np.zeros(10, int),
    )
    for size in (100, 784, 64):
        np.save(folder / f"x{size}.npy", chance.normal(size=(5, size)).astype("float32"))
    given = {"GIVEN_MNIST": str(folder / "mnist.npz"), "PYTHONPATH": str(PROGRAMS / "given")}
    for name, program in NAMES.items():
        (folder / name).mkdir()
        subprocess.run(
            [HOLDFAST, "run", PROGRAMS / f"{program}.py"],
            cwd=folder / name,
            env={**os.environ, **given},
            check=True,
        )
    answers = Path(__file__).with_name("answers.py")
    subprocess.run([os.environ["HOLDFAST_TF215"], answers, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    return dict(np.load(folder / "answers.npz"))


def of_a():
    hidden = [Dense(64, "relu"), Dense(64, "relu")]
    return keras.Sequential([keras.Input((100,)), *hidden, Dense(1, "sigmoid")])


def of_d():
    parts = [Dense(64, "relu"), Dropout(0.2), Dense(10, "softmax")]
    return keras.Sequential([keras.Input((64,)), *parts])


@pytest.mark.parametrize(
    ("name", "file", "build", "size"),
    [
        ("a", "model_checkpoint.h5", of_a, 100),
        ("b", "mnist_mlp_model.h5", None, 784),
        ("c", "weights.best.hdf5", None, 100),
        ("d", "tmp_checkpoint.ckpt", of_d, 64),
    ],
)
def test_keras2_opens_what_programs_wrote(folder, answers, name, file, build, size):
    path = folder / name / file
    if build is None:
        model = holdfast.load_model(path)
        assert int(model.optimizer.iterations) == answers[f"{name}/updates"] > 0
    else:
        model = build()
        holdfast.load_weights(model, path)
    expected = np.asarray(model(np.load(folder / f"x{size}.npy")))
    assert answers["version"] == "2.15.1"
    np.testing.assert_allclose(answers[name], expected, rtol=1e-5, atol=1e-6)


def test_keras2_trains_on(folder, answers):
    """Loss, metrics and the optimizer's state are as the program left them."""
    model = holdfast.load_model(folder / "c" / "weights.best.hdf5")
    x = np.load(folder / "x100.npy")
    expected = model.train_on_batch(x, np.ones((len(x), 1)))
    np.testing.assert_allclose(answers["c/more"], expected, rtol=1e-5)


def test_tensorflow_finds_the_newest_checkpoint(answers):
    assert answers["d/latest"] == "tmp_checkpoint.ckpt"
