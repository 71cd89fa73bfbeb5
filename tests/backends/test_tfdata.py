"""A tf.data.Dataset on any backend: the same batches wherever a training was stopped."""

import keras
import numpy as np
import pytest
from gone_on import goes_on, whole

import holdfast
from holdfast import errors
from holdfast.data.tfdata import TfDataSource
from holdfast.testing import restart_at_every_step

tf = pytest.importorskip("tensorflow")

X = np.arange(72, dtype="float32").reshape(24, 3) / 72
Y = np.arange(24) % 3
ROW = (tf.TensorSpec((3,), tf.float32), tf.TensorSpec((), tf.int64))


def rows():
    return tf.data.Dataset.from_tensor_slices((X, Y))


def generated():
    return tf.data.Dataset.from_generator(lambda: zip(X, Y, strict=True), output_signature=ROW)


def noisy(x, y):
    return x + tf.random.uniform((), seed=1), y


def source_of(data, class_weight=None):
    return TfDataSource(data, class_weight=class_weight, seed=1, name="x")


SAVED = {
    "plain": lambda: rows().batch(4),
    "shuffled": lambda: rows().shuffle(10, seed=1).batch(4).prefetch(2),
    "shuffled and repeated": lambda: rows().shuffle(10, seed=1).repeat(2).batch(8),
    "parallel": lambda: (
        rows().map(lambda x, y: (2 * x, y), num_parallel_calls=4).cache().shuffle(24, 3).batch(4)
    ),
}
REPLAYED = {
    "generator": lambda: generated().batch(4),
    "generator, shuffled": lambda: generated().shuffle(10, seed=1).batch(4),
    "random": lambda: rows().map(noisy).batch(4),
}


@pytest.mark.parametrize("kind", [*SAVED, *REPLAYED])
def test_goes_on_from_any_place(kind):
    make = {**SAVED, **REPLAYED}[kind]
    assert source_of(make()).place == ("saved" if kind in SAVED else "replayed")
    goes_on(lambda: source_of(make()), batches=[0, 2])


def test_a_pass_is_the_same_however_often_it_is_opened():
    source = source_of(SAVED["shuffled"]())
    first, second = whole(source)
    assert first != second
    assert whole(source) == [first, second]


def test_without_a_seed_a_pass_goes_on_in_its_order():
    def make():
        return source_of(rows().shuffle(24).batch(4))

    tf.random.set_seed(None)  # other tests have set one
    before = make()
    assert "shuffles without a seed" in before.sentences()[0]
    assert before.fingerprint() == make().fingerprint()
    stream = before.open(0, 0)
    stream.draw()
    state, rest = stream.state(), [stream.draw()[1].tolist() for _ in range(5)]
    again = make().open(0, 1, state)
    assert [again.draw()[1].tolist() for _ in range(5)] == rest


def test_what_is_said_of_replay():
    said = source_of(generated().batch(4)).sentences()
    assert "x (a tf.data.Dataset) cannot be restored to a place (PyFunc is stateful)" in said[0]
    assert "ExternalStatePolicy.IGNORE" in said[1]
    assert source_of(SAVED["shuffled"]()).sentences() == []


def test_class_weight_and_sparse_and_ragged():
    weighted = source_of(rows().batch(4), {0: 1.0, 1: 2.0, 2: 0.5}).specimen()
    np.testing.assert_array_equal(weighted[2], [1, 2, 0.5, 1])
    sparse = rows().batch(4).map(lambda x, y: (tf.sparse.from_dense(x), y))
    np.testing.assert_array_equal(source_of(sparse).specimen()[0], X[:4])
    ragged = rows().batch(4).map(lambda x, y: (tf.RaggedTensor.from_tensor(x), y))
    with pytest.raises(errors.UnsupportedError, match=r"x .*ragged tensors.*to_tensor"):
        source_of(ragged)
    with pytest.raises(errors.PlanError, match="has no batches"):
        source_of(rows().take(0).batch(4))
    assert source_of(rows().repeat().batch(4)).length is None


def model_of(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("make_data", [SAVED["shuffled"], REPLAYED["generator"]])
def test_restarts_at_every_step(make_data, memory):
    def make(seed):
        model = model_of(seed)
        tf.random.set_seed(1)  # the seeds of a dataset are made of this one and its own
        return {"model": model, "x": make_data().take(3), "epochs": 2, "verbose": 0}

    restart_at_every_step(make, memory)


def test_weights_are_those_of_keras(tmp_path):
    theirs, ours = model_of(1), model_of(1)
    data, weights = rows().batch(4), {0: 1.0, 1: 2.0, 2: 0.5}
    theirs.fit(data, epochs=2, class_weight=weights, verbose=0)
    run = holdfast.Run(tmp_path)
    run.fit(ours, data, epochs=2, class_weight=weights, validation_data=data, verbose=0)
    for their, our in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-5)
