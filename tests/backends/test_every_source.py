"""Every kind of data on every backend: stopped at each step, it ends with the same bits."""

import importlib.util

import h5py
import keras
import numpy as np
import pandas
import pytest
import scipy.sparse

from holdfast.testing import restart_at_every_step

X = np.random.default_rng(4).normal(size=(12, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def noisy(index):
    """A batch, with noise that a process that goes on has to draw again."""
    rows = slice(4 * index, 4 * index + 4)
    return X[rows] + np.random.normal(0, 0.1, (4, 6)).astype("float32"), Y[rows]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return noisy(index)


class Again:
    def __iter__(self):
        return map(noisy, range(3))


def mapped(folder):
    np.save(folder / "x.npy", X)
    return {"x": np.load(folder / "x.npy", "r"), "y": pandas.Series(Y), "batch_size": 5}


def stored(folder):
    if not (folder / "x.h5").exists():
        with h5py.File(folder / "x.h5", "w") as made:
            made.create_dataset("x", data=X, chunks=(4, 6))
    return {"x": h5py.File(folder / "x.h5")["x"], "y": Y, "batch_size": 5}


def zarred(folder):
    import zarr

    made = zarr.create_array(folder / "x.zarr", data=X, chunks=(4, 6), overwrite=True)
    return {"x": made, "y": Y, "batch_size": 5}


def sparse(folder):
    return {"x": scipy.sparse.csr_array(X), "y": Y, "batch_size": 5}


def tensors(folder):
    x, y = keras.ops.convert_to_tensor(X), keras.ops.convert_to_tensor(Y)
    return {"x": x, "y": y, "batch_size": 5}


def dataset(folder):
    return {"x": Batches()}


def threads(folder):
    return {"x": Batches(workers=2)}


def forever(folder):
    return {"x": (noisy(index % 3) for index in range(100)), "steps_per_epoch": 3}


def iterable(folder):
    return {"x": Again()}


def grains(folder):
    import grain

    return {"x": grain.MapDataset.range(12).seed(1).shuffle().map(lambda i: (X[i], Y[i])).batch(4)}


def grain_streams(folder):
    import grain

    samples = grain.MapDataset.range(12).seed(1).shuffle().map(lambda i: (X[i], Y[i]))
    return {"x": samples.to_iter_dataset().batch(4)}


def loader(folder):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    samples = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return {"x": DataLoader(samples, batch_size=5, shuffle=True)}


def slices(folder):
    import tensorflow as tf

    return {"x": tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(12, seed=1).batch(5)}


NEEDS = {"loader": "torch", "slices": "tensorflow"}
KINDS = [
    mapped,
    stored,
    zarred,
    sparse,
    tensors,
    dataset,
    threads,
    forever,
    iterable,
    grains,
    grain_streams,
    loader,
    slices,
]


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_at_each_step(kind, memory):
    needed = NEEDS.get(kind.__name__)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")

    def make(seed):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential(
            [keras.Input((6,)), keras.layers.Dropout(0.1), keras.layers.Dense(2, "softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        if needed == "tensorflow":
            seed_tensorflow(1)
        return {"model": model, "epochs": 2, "verbose": 0, **kind(memory)}

    assert restart_at_every_step(make, memory).moments >= 2 * (3 + 1)


def seed_tensorflow(seed):
    """TensorFlow's own seed, on which the order of later epochs depends."""
    import tensorflow as tf

    tf.random.set_seed(seed)
