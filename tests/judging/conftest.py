"""Models that tests of judging share: a run on the digits, and what it is exported to."""

import numpy as np
import pytest

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="session")
def raw_digits():
    """scikit-learn's digits as they come: (1797, 8, 8, 1) from 0 to 16, and their classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.astype("float32").reshape(-1, 8, 8, 1), y.astype("int32")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory, raw_digits):
    """The path of a finished run: a small convolutional net with its Rescaling, above 0.95."""
    import keras

    import holdfast

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10, "softmax", name="digit"),
        ],
        name="digits",
    )
    model.compile(
        keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    run = holdfast.Run(tmp_path_factory.mktemp("runs") / "digits")
    run.describe(classes=CLASSES, inputs={"image": "8x8 pixels, 0 (white) to 16 (black)"})
    run.fit(model, *raw_digits, epochs=20, validation_split=0.2, verbose=0)
    return run.path


@pytest.fixture(scope="session")
def digits_keras(tmp_path_factory, digits_run):
    """The same model as a .keras file."""
    import holdfast

    path = tmp_path_factory.mktemp("keras") / "digits.keras"
    holdfast.save_model(holdfast.Run(digits_run).load_model("best"), path)
    return path


@pytest.fixture(scope="session")
def digits_onnx(tmp_path_factory, digits_run):
    """The same model exported to ONNX."""
    return _exported(digits_run, tmp_path_factory.mktemp("onnx") / "digits.onnx")


@pytest.fixture(scope="session")
def digits_tflite(tmp_path_factory, digits_run):
    """The same model exported to LiteRT's file."""
    return _exported(digits_run, tmp_path_factory.mktemp("tflite") / "digits.tflite")


@pytest.fixture(scope="session")
def rows(raw_digits):
    """17 digits, as the model takes them."""
    return np.ascontiguousarray(raw_digits[0][:17])


def _exported(source, target):
    from holdfast.exporting.export import export

    export(source, target)
    return target
