"""Torch and tf tensors and zarr arrays: the training that the same numbers in numpy are."""

import keras
import numpy as np
import pytest

import holdfast
from holdfast import errors
from holdfast.data import rows as rows_of
from holdfast.data.array_kinds import as_arrays
from holdfast.data.arrays import ArraySource
from holdfast.testing import restart_at_every_step


def problem():
    """A small problem: 16 samples of 6 numbers in 3 classes."""
    random = np.random.default_rng(5)
    y = random.integers(0, 3, 16).astype("int32")
    return (random.normal(size=(16, 6)) + y[:, None]).astype("float32"), y


def model_of(seed=1):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def fit(path, x, y, **more):
    holdfast.Run(path).fit(model_of(), x, y, epochs=1, batch_size=8, verbose=0, **more)
    return holdfast.Run(path).digest()


def test_torch_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    x, y = problem()
    plain = fit(tmp_path / "numpy", x, y)
    given = torch.from_numpy(x).requires_grad_()
    assert fit(tmp_path / "torch", given, torch.from_numpy(y)) == plain
    assert fit(tmp_path / "split", given, y, validation_split=0.5) == fit(
        tmp_path / "numpy split", x, y, validation_split=0.5
    )
    half = as_arrays({"half": given.bfloat16(), "layer": torch.nn.Linear(6, 2).weight}, "x")
    np.testing.assert_array_equal(half["half"], given.detach().bfloat16().float().numpy())
    assert half["layer"].shape == (2, 6)
    with pytest.raises(errors.UnsupportedError, match=r"torch\.Tensor\..*dense: x\.to_dense"):
        as_arrays(given.to_sparse(), "x")
    with pytest.raises(errors.UnsupportedError, match=r"torch\.Tensor without a dimension for"):
        as_arrays(torch.tensor(3.0), "x")


def test_tensorflow_tensors(tmp_path):
    tf = pytest.importorskip("tensorflow")
    x, y = problem()
    plain = fit(tmp_path / "numpy", x, y)
    assert fit(tmp_path / "tf", tf.constant(x), tf.Variable(y)) == plain
    assert fit(tmp_path / "split", tf.constant(x), y, validation_split=0.5) == fit(
        tmp_path / "numpy split", x, y, validation_split=0.5
    )
    half = as_arrays(tf.constant(x, "bfloat16"), "x")
    np.testing.assert_array_equal(half.astype("float32"), tf.constant(x, "bfloat16").numpy())
    for given, message in [
        (tf.sparse.from_dense(x), r"SparseTensor.*tf\.sparse\.to_dense"),
        (tf.ragged.constant([[1.0], [2.0, 3.0]]), r"RaggedTensor.*x\.to_tensor"),
        (tf.constant(["a", "b"]), "expected numbers"),
    ]:
        with pytest.raises(errors.UnsupportedError, match=message):
            as_arrays(given, "x")


def test_zarr_arrays(memory, monkeypatch):
    zarr = pytest.importorskip("zarr")
    x, y = problem()
    monkeypatch.setenv("HOLDFAST_DEVICE_DATA", "400")
    group = zarr.open_group(memory / "data.zarr", mode="w")
    plain = group.create_array("x", data=x, chunks=(3, 4))
    sharded = group.create_array("s", data=x, chunks=(2, 6), shards=(8, 6))
    assert fit(memory / "zarr", plain, y) == fit(memory / "shards", sharded, y)
    assert fit(memory / "numpy", x, y) == holdfast.Run(memory / "zarr").digest()
    with pytest.raises(errors.UnsupportedError, match=r"x holds a group of .* a zarr store"):
        as_arrays(group, "x")

    monkeypatch.setattr(rows_of, "_BLOCK_BYTES", 96)
    monkeypatch.setattr(rows_of, "_TOGETHER_BYTES", 192)
    assert "read in blocks" in ArraySource(plain, y, shuffle=True).fingerprint()

    def make(seed):
        model = model_of(seed)
        return {"model": model, "x": plain, "y": y, "batch_size": 8, "epochs": 2, "verbose": 0}

    assert restart_at_every_step(make, memory / "restarts").moments > 4
