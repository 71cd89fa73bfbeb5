"""Arrays of every kind: the same training, the same order, the same fingerprint."""

import h5py
import keras
import numpy as np
import pandas
import pytest
import scipy.sparse
from blake3 import blake3

import holdfast
from holdfast import errors
from holdfast.data import rows as rows_of
from holdfast.data.array_kinds import as_arrays
from holdfast.data.arrays import ArraySource, split
from holdfast.data.order import Blocks, Reshuffle, order
from holdfast.data.rows import MappedRows, SparseRows, StoredRows
from holdfast.testing import restart_at_every_step


class Counted:
    """Rows in chunks, as h5py and zarr have them, that counts how often each chunk is unpacked."""

    def __init__(self, array, chunk):
        self.array = array
        self.shape, self.dtype, self.chunks = array.shape, array.dtype, (chunk, *array.shape[1:])
        self.unpacked = np.zeros(-(-len(array) // chunk), int)

    def __getitem__(self, rows):
        self.unpacked[rows.start // self.chunks[0] : -(-rows.stop // self.chunks[0])] += 1
        return self.array[rows]


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        yield file


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of at least 96 bytes, as many at a time as make 384: four samples, and sixteen."""
    monkeypatch.setattr(rows_of, "_BLOCK_BYTES", 96)
    monkeypatch.setattr(rows_of, "_TOGETHER_BYTES", 384)


def model_of(width=6, seed=1):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(3)])
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def fit(path, x, y, model=None, **more):
    options = {"epochs": 2, "batch_size": 8, "verbose": 0, **more}
    holdfast.Run(path).fit(model or model_of(), x, y, **options)
    return holdfast.Run(path).digest()


def test_arrays_of_every_kind_are_the_same_training(blobs, file, tmp_path):
    import jax.numpy as jnp

    x, y = blobs[0][:40], blobs[1][:40]
    np.save(tmp_path / "x.npy", x)
    kinds = {
        "numpy": (x, y),
        "float64": (x.astype("float64"), y),
        "strided": (np.asfortranarray(x), np.repeat(y, 2)[::2]),
        "mapped": (np.load(tmp_path / "x.npy", mmap_mode="r"), y),
        "jax": (jnp.asarray(x), jnp.asarray(y)),
        "pandas": (pandas.DataFrame(x, columns=list("abcdef")), y),
        "sparse": (scipy.sparse.coo_matrix(x), y),
        "sparse array": (scipy.sparse.csc_array(x), y),
        "stored": (file.create_dataset("x", data=x, chunks=(5, 3), compression="gzip"), y),
        "both stored": (file.create_dataset("plain", data=x), file.create_dataset("y", data=y)),
    }
    digests = {kind: fit(tmp_path / kind, *given, epochs=1) for kind, given in kinds.items()}
    assert set(digests.values()) == {digests["numpy"]}


def test_samples_in_blocks_are_the_same_training(blobs, tmp_path, monkeypatch):
    """Those that do not fit on the device are gathered from wherever they lie."""
    monkeypatch.setenv("HOLDFAST_DEVICE_DATA", "400")
    x, y = blobs
    np.save(tmp_path / "x.npy", x)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=x, chunks=(7, 6))
        given = [x, np.load(tmp_path / "x.npy", mmap_mode="r"), scipy.sparse.csr_matrix(x), stored]
        found = {fit(tmp_path / str(n), one, y) for n, one in enumerate(given)}
    assert len(found) == 1


def test_arrays_not_in_memory_restart_at_every_step(blobs, memory, monkeypatch, small_blocks):
    monkeypatch.setenv("HOLDFAST_DEVICE_DATA", "900")
    x, y = blobs[0][:16], blobs[1][:16]
    np.save(memory / "x.npy", x)
    with h5py.File(memory / "x.h5", "w") as file:
        data = {
            "mapped": np.load(memory / "x.npy", mmap_mode="r"),
            "sparse": scipy.sparse.csr_matrix(x),
            "stored": file.create_dataset("x", data=x, chunks=(3, 6)),
        }

        def make(seed):
            keras.utils.set_random_seed(seed + 1)
            inputs = [keras.Input((6,), name=name) for name in sorted(data)]
            model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Add()(inputs)))
            model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            return {"model": model, "x": data, "y": y, "batch_size": 8, "epochs": 2, "verbose": 0}

        assert "read in blocks" in ArraySource(data, y, batch_size=4, shuffle=True).fingerprint()
        assert restart_at_every_step(make, memory).moments > 4


def test_pandas_and_sparse_train_as_in_keras(blobs, tmp_path):
    x, y = blobs[0][:32], blobs[1][:32]
    frame = pandas.DataFrame({f"c{n}": x[:, n] for n in range(5)} | {"whole": np.arange(32) % 3})
    sparse = scipy.sparse.random(32, 6, 0.3, "csr", "float32", np.random.default_rng(1))
    for kind, given, targets, part in [
        ("frame", frame, pandas.Series(y), 0.25),
        ("csr", sparse, y, 0),
    ]:
        ours, theirs = model_of(), model_of()
        options = {"batch_size": 8, "shuffle": False, "validation_split": part}
        fit(tmp_path / kind, given, targets, ours, **options)
        theirs.fit(given, targets, epochs=2, verbose=0, **options)
        for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_series_is_a_column_as_in_keras():
    source = ArraySource(pandas.Series([1.0, 2.0, 3.0]), pandas.Series([0, 1, 2]), batch_size=2)
    x, y = source.specimen()
    assert x.shape == y.shape == (2, 1)
    assert (x.dtype, y.dtype) == ("float32", "int64")


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_rows_of_what_is_stored(chunk):
    """Any rows in any order, however few blocks are kept."""
    random = np.random.default_rng(chunk)
    x = random.normal(size=(100, 4))
    whole = StoredRows(Counted(x, chunk))
    for stored, expected in [
        (whole, x),
        (whole.part(30, 95), x[30:95]),
        (whole.part(0, 31), x[:31]),
    ]:
        for blocks in (Blocks(8, 1), Blocks(21, 2), Blocks(100, 1)):
            stored.keep(blocks)
            picked = random.permutation(len(expected))[:29]
            for rows in (
                *(
                    picked,
                    picked - len(expected),
                    np.arange(3, 28),
                    np.array([2, 2, 1]),
                    picked[:0],
                ),
                *(slice(5, 12), slice(None, None, 3), slice(9, 9), expected[:, 0] > 0),
            ):
                np.testing.assert_array_equal(stored[rows], expected[rows])
        np.testing.assert_array_equal(np.asarray(stored, "float32"), expected.astype("float32"))
        with pytest.raises(IndexError):
            stored[np.array([len(expected)])]


def test_rows_of_memory_maps_and_sparse_matrices(tmp_path):
    x = np.random.default_rng(3).normal(size=(3000, 50)) * (np.arange(50) % 3 == 0)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", np.asfortranarray(x))
    rows = np.random.default_rng(4).permutation(2000)[:700]
    for given, kind in [
        (np.load(tmp_path / "x.npy", mmap_mode="r"), MappedRows),
        (np.load(tmp_path / "x.npy", mmap_mode="r")[::-1][::-1], MappedRows),
        (np.load(tmp_path / "t.npy", mmap_mode="r"), MappedRows),
        (scipy.sparse.csr_matrix(x), SparseRows),
    ]:
        found = as_arrays(given, "x")
        assert isinstance(found, kind)
        np.testing.assert_array_equal(found[rows], x[rows])
        np.testing.assert_array_equal(found.part(900, 2999)[rows], x[900:2999][rows])
        np.testing.assert_array_equal(found[10:20], x[10:20])


def test_each_chunk_is_unpacked_once_a_pass(small_blocks):
    """Also where two arrays have other chunks, and batches are asked for one at a time."""
    x, y = Counted(np.zeros((120, 6), "float32"), 4), Counted(np.zeros((120, 1), "float32"), 12)
    source = ArraySource(StoredRows(x), StoredRows(y), batch_size=5, shuffle=True)
    for number in range(2):
        taken = source.order(7, number)
        for start in range(0, 120, 5):
            for array in source.arrays:
                array[taken[start : start + 5]]
    # What was kept at the end of a pass may be the next one's beginning.
    assert 1 <= x.unpacked.min() <= x.unpacked.max() == 2
    assert 1 <= y.unpacked.min() <= y.unpacked.max() == 2


def test_blocks_are_whole_chunks_where_those_are_not_too_large():
    def stored(width, chunk):
        return StoredRows(Counted(np.zeros((20000, width), "float32"), chunk))

    x = stored(1000, 64)
    assert rows_of.blocks_of([x]) == Blocks(576, 29)
    assert rows_of.blocks_of([x, stored(1, 96)]) == Blocks(576, 29)
    assert rows_of.blocks_of([x, stored(1, 9999)]) == Blocks(576, 29)
    assert rows_of.blocks_of([stored(1000, 20000)]) == Blocks(20000, 1)
    assert rows_of.blocks_of([stored(0, 5)]).rows == 20000


def test_blocks_are_shuffled_and_samples_among_those_together():
    blocks = Blocks(rows=10, together=3)
    first, again, other = (order(204, 8, "samples", 7, number, (), blocks) for number in (0, 0, 1))
    np.testing.assert_array_equal(np.sort(first), np.arange(204))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    at = 0
    seen = []
    while at < 204:
        size = 30 if 20 not in first[at : at + 30] // 10 else 24
        near = first[at : at + size]
        seen.append(sorted(set((near // 10).tolist())))
        assert len(seen[-1]) == 3
        assert (np.sort(near) != near).any()
        at += size
    assert sorted(block for some in seen for block in some) == [*range(21)]
    assert seen != sorted(seen)


def test_what_is_left_is_reshuffled_in_blocks():
    blocks = Blocks(rows=10, together=2)
    before = order(100, 8, "samples", 7, 1, (), blocks)
    after = order(100, 8, "samples", 7, 1, [Reshuffle(1, 24, 0)], blocks)
    np.testing.assert_array_equal(before[:24], after[:24])
    assert (before[24:] != after[24:]).any()
    np.testing.assert_array_equal(np.sort(after), np.arange(100))
    plain = order(100, 8, "none", 7, 1, [Reshuffle(1, 50, 0)], blocks)
    assert all(len(set((plain[at : at + 20] // 10).tolist())) == 2 for at in (50, 70))


def test_the_order_of_before(blobs):
    """Runs that were begun go on: these were written down before there were blocks."""
    assert order(12, 4, "samples", 7, 2).tolist() == ORDERS["samples"]
    assert order(12, 4, "within batches", 7, 2).tolist() == ORDERS["within batches"]
    assert order(12, 4, "samples", 7, 2, [Reshuffle(2, 4, 1)]).tolist() == ORDERS["reshuffled"]


ORDERS = {
    "samples": [1, 7, 11, 2, 9, 4, 5, 6, 3, 0, 10, 8],
    "within batches": [3, 2, 0, 1, 7, 5, 6, 4, 8, 11, 9, 10],
    "reshuffled": [1, 7, 11, 2, 4, 8, 5, 3, 6, 9, 0, 10],
}


def test_a_small_stored_array_is_shuffled_as_one_in_memory(blobs, file):
    x, y = blobs
    stored = ArraySource(file.create_dataset("x", data=x, chunks=(4, 6)), y, shuffle=True)
    plain = ArraySource(x, y, shuffle=True)
    np.testing.assert_array_equal(stored.order(3, 1), plain.order(3, 1))
    assert stored.fingerprint() == plain.fingerprint()


def test_a_validation_split_reads_nothing(blobs, tmp_path):
    x, y = blobs
    np.save(tmp_path / "x.npy", x)
    weights = np.linspace(0, 1, 44)
    counted = Counted(x, 4)
    for given in (x, StoredRows(counted), np.load(tmp_path / "x.npy", mmap_mode="r")):
        parts = split(as_arrays({"a": given}, "x"), y, as_arrays(weights, "w"), 0.3)
        assert counted.unpacked.sum() == 0
        for (some, targets, weight), rows in zip(parts, [slice(30), slice(30, 44)], strict=True):
            np.testing.assert_array_equal(np.asarray(some["a"]), x[rows])
            np.testing.assert_array_equal(targets, y[rows])
            assert weight.dtype == "float32"
            np.testing.assert_array_equal(weight, weights[rows].astype("float32"))
        counted.unpacked[:] = 0
    assert split(x, None, None, 0.5)[0][1] is None
    with pytest.raises(errors.PlanError, match="44 samples are not sufficient to split off"):
        split(x, y, None, 0.999)
    with pytest.raises(errors.PlanError, match="same number of samples in each array, found 44, 3"):
        split(x, y[:3], None, 0.5)


def test_class_weights_of_stored_targets(blobs, file):
    x, y = blobs
    weights = {0: 0.5, 2: 3.0}
    for targets in (y, keras.utils.to_categorical(y)):
        stored = file.create_dataset(f"y{targets.ndim}", data=targets, chunks=True)
        found = ArraySource(x, stored, class_weight=weights).arrays[2]
        np.testing.assert_array_equal(found, ArraySource(x, y, class_weight=weights).arrays[2])
    with pytest.raises(errors.PlanError, match="sample_weight"):
        ArraySource(x, file["y1"], x[:, 0], class_weight=weights)


def test_fingerprints_are_those_of_before_and_see_a_change(file):
    x = np.arange(12, dtype="float64").reshape(4, 3)
    known = ArraySource(x, batch_size=2, shuffle=True).fingerprint()
    assert known == {
        "samples": 4,
        "batch size": 2,
        "steps an epoch": None,
        "shuffled": "samples",
        "shapes": [[3]],
        "types": ["float64"],
        "contents": [blake3(x.tobytes()).hexdigest()],
    }
    for given in (
        file.create_dataset("x", data=x),
        scipy.sparse.csr_matrix(x),
        pandas.DataFrame(x),
    ):
        assert ArraySource(given, batch_size=2, shuffle=True).fingerprint() == known
        assert ArraySource(given[:3], batch_size=2, shuffle=True).fingerprint() != known


def test_large_arrays_are_sampled(tmp_path):
    """Above 64 MiB: what is in a map has the sum of what is in memory."""
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "uint8", (70, 1 << 20))
    before = ArraySource(x).fingerprint()["contents"]
    assert before == ArraySource(np.array(x)).fingerprint()["contents"]
    x[35, 7] = 1
    assert ArraySource(x).fingerprint()["contents"] != before


def test_stored_arrays_are_sampled(file):
    x = file.create_dataset("x", (80, 1 << 20), "uint8", chunks=(1, 1 << 20), compression="gzip")
    before = ArraySource(x, shuffle=True).fingerprint()
    assert before["read in blocks"] == {"rows": 2, "together": 32}
    x[79, :] = 1
    after = ArraySource(x, shuffle=True).fingerprint()
    assert before.pop("contents") != after.pop("contents")
    assert before == after


def test_what_is_no_array_of_numbers_is_refused_with_the_way_out(file):
    import jax.experimental.sparse as jax_sparse

    group = file.create_group("g")
    group["texts"] = ["a", "b"]
    for given, message in {
        "a mask": (np.ma.masked_array([1.0, 2.0], mask=[0, 1]), "a masked array"),
        "texts": (np.array(["a", "b"]), "type <U1; expected numbers"),
        "stored texts": (group["texts"], "type object; expected numbers"),
        "a group": (group, r"a group of an HDF5 file.*x=file\['x'\]"),
        "columns": (pandas.DataFrame({"a": [1, 2], "b": ["u", "v"]}), "type object.*astype"),
        "categories": (pandas.Series(["u", "v"], dtype="category"), "cat.codes"),
        "no samples": (np.float32(3), "numpy.float32 without a dimension.*takes arrays"),
        "a stored number": (file.create_dataset("n", data=3.0), "Dataset without a dimension"),
        "fields": (np.zeros(3, [("a", "f4")]), "expected numbers"),
        "long doubles": (np.zeros(3, "longdouble"), "which Keras has not"),
        "jax sparse": (jax_sparse.BCOO.fromdense(np.eye(3)), r"BCOO.*Make it dense: x\.todense"),
        "a sparse line": (scipy.sparse.coo_array([0, 1]), r"Make it dense: x\.toarray"),
        "symbolic": (keras.KerasTensor((3, 2)), "KerasTensor.*takes arrays"),
        "a text": ("abc", "builtins.str.*takes arrays"),
    }.values():
        with pytest.raises(errors.UnsupportedError, match=f"x holds .*{message}"):
            as_arrays({"in": [given]}, "x")


def test_a_file_that_was_closed(blobs, tmp_path, monkeypatch):
    x, y = blobs
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=x)
    with pytest.raises(errors.PlanError, match="x holds a dataset of an HDF5 file that is closed"):
        as_arrays(stored, "x")

    monkeypatch.setenv("HOLDFAST_DEVICE_DATA", "200")
    monkeypatch.setattr(rows_of, "_BLOCK_BYTES", 24)
    monkeypatch.setattr(rows_of, "_TOGETHER_BYTES", 48)
    file = h5py.File(tmp_path / "x.h5")
    close = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: file.close())
    with pytest.raises(errors.RunError, match="closed while its dataset was trained on"):
        fit(tmp_path / "run", file["x"], y, callbacks=[close], epochs=9)
    with h5py.File(tmp_path / "x.h5") as file:
        fit(tmp_path / "run", file["x"], y, epochs=9)
        whole = fit(tmp_path / "whole", file["x"], y, epochs=9)
    assert holdfast.Run(tmp_path / "run").digest() == whole
