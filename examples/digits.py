"""Trains a small network on scikit-learn's digits as a run, to be exported and served.

    python examples/digits.py

The run is in runs/digits. Ten digits that it was not trained on are in unseen.csv, a row of 64
numbers each, and the first of them is in digit.png.
"""

# Before keras: it chooses JAX where nobody has chosen a backend.
import holdfast  # isort: skip
import keras
import numpy as np
from matplotlib import image
from sklearn.datasets import load_digits

CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def main() -> None:
    x, y = load_digits(return_X_y=True)
    # From 0 to 255, as pictures are: white digits on black.
    x, unseen = np.split(x.reshape(-1, 8, 8, 1) * (255 / 16), [-10])
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, "softmax", name="digit"),
        ],
        name="digits",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    run = holdfast.Run("runs/digits")
    run.describe(classes=CLASSES, inputs={"image": "8x8 pixels, 0 (black) to 255 (white)"})
    run.fit(model, x, y[:-10], epochs=40, validation_split=0.2)
    np.savetxt("unseen.csv", unseen.reshape(10, 64), fmt="%g", delimiter=",")
    image.imsave("digit.png", unseen[0, :, :, 0], cmap="gray", vmin=0, vmax=255)


if __name__ == "__main__":
    main()
