"""An ordinary program, with a fit in it: it knows nothing of Holdfast.

python ordinary.py [--epochs N] [--samples N] [--folder DIR] [--need ACCURACY] [--workers N]

Exits with 0, or with 3 where the accuracy is less than what is needed.
"""

import argparse
import logging
import multiprocessing
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import matplotlib as mpl

mpl.use("Agg")
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

log = logging.getLogger("digits")
CLASSES = 10


class Count(keras.callbacks.Callback):
    """Counts the epochs it is told of."""

    def __init__(self):
        super().__init__()
        self.epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        log.debug("epoch %d of %d", epoch + 1, self.params["epochs"])


def prepare(part):
    """Return images from 0 to 1, each beside itself shifted by a pixel. Runs in a worker."""
    number, images = part
    images = images.reshape(-1, 8, 8) / 16
    shifted = np.roll(images, 1, axis=2)
    shifted[:, :, 0] = 0
    return number, np.stack([images, shifted], axis=-1).astype("float32")


def load(samples, workers):
    images, labels = load_digits(return_X_y=True)
    parts = list(enumerate(np.array_split(images[:samples], workers * 2)))
    with multiprocessing.Pool(workers) as pool:
        prepared = dict(pool.imap_unordered(prepare, parts))
    x = np.concatenate([prepared[number] for number in sorted(prepared)])
    log.info("prepared %d images in %d parts", len(x), len(parts))
    return train_test_split(x, labels[:samples], test_size=0.25, random_state=0)


def build():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ],
        name="digits",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def draw(history, path):
    figure, axes = plt.subplots()
    for name, values in history.history.items():
        axes.plot(history.epoch, values, label=name)
    axes.set_xlabel("epoch")
    axes.legend()
    figure.savefig(path)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=1200)
    parser.add_argument("--folder", type=Path, default=Path("."))
    parser.add_argument("--need", type=float, default=0.0)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    x, x_test, y, y_test = load(options.samples, options.workers)
    keras.utils.set_random_seed(7)
    model, count = build(), Count()
    history = model.fit(
        x,
        y,
        epochs=options.epochs,
        validation_data=(x_test, y_test),
        shuffle=False,
        verbose=0,
        callbacks=[count],
    )
    draw(history, options.folder / "curves.png")
    model.save(options.folder / "digits.keras")
    found = model.predict(x_test, verbose=0).argmax(axis=-1)
    accuracy = np.mean(found == y_test)
    print(f"{count.epochs} epochs, loss {history.history['loss'][-1]:.3f}")
    print(f"accuracy {accuracy:.3f}")
    print("wrong per class:", np.bincount(y_test[found != y_test], minlength=CLASSES))
    if accuracy < options.need:
        log.error("the accuracy is less than %.2f", options.need)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
