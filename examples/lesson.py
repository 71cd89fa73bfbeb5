"""The lesson on overfitting: three models on handwritten digits, stopped when they stop learning.

    python examples/lesson.py [--folder FOLDER]

Trains a network that is too large for its 300 images, the same with dropout, and a small one;
each stops early and goes back to its best epoch. Then look at them:

    holdfast plot runs/large -o large.png
    holdfast plot runs/large runs/dropout runs/small
"""

import argparse
from pathlib import Path

import holdfast  # isort: skip
import keras
from keras import layers
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--folder", type=Path, default=Path("runs"))
folder = parser.parse_args().folder

x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
train, validation = (x[:300], y[:300]), (x[300:], y[300:])

MODELS = {
    "large": [layers.Dense(512, "relu"), layers.Dense(512, "relu")],
    "dropout": [layers.Dense(512, "relu"), layers.Dropout(0.7), layers.Dense(512, "relu")],
    "small": [layers.Dense(96, "relu")],
}

for name, hidden in MODELS.items():
    run = holdfast.Run(folder / name)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10, "softmax")])
    model.compile(
        keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    stopping = holdfast.EarlyStopping(patience=10, restore_best_weights=True)
    best = holdfast.ModelCheckpoint(folder / f"{name}.keras", save_best_only=True)
    history = run.fit(
        model,
        *train,
        epochs=120,
        verbose=0,
        validation_data=validation,
        callbacks=[stopping, best],
    )
    loss, accuracy = model.evaluate(*validation, verbose=0)
    print(
        f"{name}: best epoch {stopping.best_epoch + 1} of {len(history.epoch)}, "
        f"validation loss {loss:.3f}, accuracy {accuracy:.3f}"
    )
