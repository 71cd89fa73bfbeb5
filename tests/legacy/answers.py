"""What Keras 2.15 makes of the files that programs left: `python answers.py FOLDER`.

FOLDER has the programs' directories and x100.npy, x784.npy and x64.npy; answers.npz is written
there: of each file the model's outputs, and of whole models how often they were updated.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
from tensorflow.keras.layers import Dense, Dropout
from tensorflow.keras.models import Sequential, load_model

folder = Path(sys.argv[1])
x100, x784, x64 = (np.load(folder / f"x{size}.npy") for size in (100, 784, 64))


def best_weights():
    """The model of a_best_weights.py."""
    model = Sequential()
    model.add(Dense(64, activation="relu", input_dim=100))
    model.add(Dense(64, activation="relu"))
    model.add(Dense(1, activation="sigmoid"))
    return model


def checkpoint():
    """The model of d_checkpoint.py."""
    return Sequential(
        [
            Dense(64, activation="relu", input_shape=(64,)),
            Dropout(0.2),
            Dense(10, activation="softmax"),
        ]
    )


answers = {"version": tf.__version__}
a = best_weights()
a.load_weights(str(folder / "a" / "model_checkpoint.h5"))
answers["a"] = a(x100)
b = load_model(folder / "b" / "mnist_mlp_model.h5")
answers["b"], answers["b/updates"] = b(x784), int(b.optimizer.iterations)
c = load_model(folder / "c" / "weights.best.hdf5")
answers["c"], answers["c/updates"] = c(x100), int(c.optimizer.iterations)
# It trains on: loss, metrics and the optimizer's state are there.
answers["c/more"] = c.train_on_batch(x100, np.ones((len(x100), 1)))
d = checkpoint()
status = d.load_weights(str(folder / "d" / "tmp_checkpoint.ckpt"))
status.assert_existing_objects_matched()
answers["d"] = d(x64)
found = tf.train.latest_checkpoint(str(folder / "d"))
answers["d/latest"] = os.path.basename(found)
np.savez(folder / "answers.npz", **{name: np.asarray(value) for name, value in answers.items()})
