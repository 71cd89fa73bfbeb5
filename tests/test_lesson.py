"""The lesson on early stopping: both callbacks, and the best epoch's score afterwards."""

from pathlib import Path

import keras
import numpy as np
import pytest

import holdfast

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


@pytest.fixture(params=["digits", "mnist"])
def images(request, digits):
    if request.param == "digits":
        return digits
    if not MNIST.is_file():
        pytest.skip("MNIST is not there")
    with np.load(MNIST) as data:
        return (data["x_train"] / 255).astype("float32"), data["y_train"].astype("int32")


def test_early_stopping_and_the_saved_model_have_the_best_epochs_score(images, tmp_path):
    x, y = images
    part = len(x) * 4 // 5
    train, val = (x[:part], y[:part]), (x[part:], y[part:])
    keras.utils.set_random_seed(42)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(100, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    checkpoint = holdfast.ModelCheckpoint(tmp_path / "best-model.keras", save_best_only=True)
    stopping = holdfast.EarlyStopping(patience=2, restore_best_weights=True)
    run = holdfast.Run(tmp_path / "run")
    history = run.fit(
        model,
        *train,
        epochs=150,
        verbose=0,
        validation_data=val,
        callbacks=[checkpoint, stopping],
    )
    losses = history.history["val_loss"]
    assert 3 <= len(losses) < 150, "it did not stop early"
    assert stopping.stopped_epoch == len(losses) - 1
    assert stopping.stopped_epoch - stopping.best_epoch == 2
    assert stopping.best == checkpoint.best == min(losses)
    assert model.evaluate(*val, verbose=0)[0] == min(losses)
    saved = keras.models.load_model(tmp_path / "best-model.keras")
    assert saved.evaluate(*val, verbose=0)[0] == min(losses)
    assert run.load_model("best").evaluate(*val, verbose=0)[0] == min(losses)
