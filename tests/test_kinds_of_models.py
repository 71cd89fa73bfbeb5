"""Models of every kind in the compiled loop: as exact as dense ones, and Keras's own numbers."""

import keras
import numpy as np
import pytest
from turns import today

import holdfast
from holdfast.events import AttemptStarted
from holdfast.testing import restart_at_every_step

LAYERS = keras.layers


def words(random):
    return random.integers(0, 12, (20, 5)).astype("int32"), random.integers(0, 2, 20)


def recurrent(dropout):
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            LAYERS.Embedding(12, 4, mask_zero=True),
            LAYERS.LSTM(4, dropout=dropout, recurrent_dropout=dropout, return_sequences=True),
            LAYERS.Bidirectional(LAYERS.GRU(3)),
            LAYERS.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def attentive(dropout):
    inputs = keras.Input((5,), dtype="int32")
    hidden = LAYERS.Embedding(12, 8)(inputs)
    seen = LAYERS.MultiHeadAttention(2, 4, dropout=dropout)(hidden, hidden)
    hidden = LAYERS.LayerNormalization()(LAYERS.Add()([hidden, seen]))
    outputs = LAYERS.Dense(2, activation="softmax")(LAYERS.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.AdamW(0.01), "sparse_categorical_crossentropy")
    return model


def half(dropout):
    """Small numbers in 16 bits: the loss is scaled, by a scale that is part of the state."""
    parts = [
        keras.Input((5,)),
        LAYERS.Dense(8, activation="relu", dtype="mixed_float16"),
        LAYERS.BatchNormalization(dtype="mixed_float16"),
        LAYERS.Dropout(dropout, dtype="mixed_float16"),
        LAYERS.Dense(2, activation="softmax", dtype="float32"),
    ]
    model = keras.Sequential(parts)
    # It grows every second step, and overflows now and then.
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01), initial_scale=2.0**20, dynamic_growth_steps=2
    )
    model.compile(scaled, "sparse_categorical_crossentropy")
    return model


def averaged(dropout):
    """Two batches make a step, and the weights are averaged: accumulators in the optimizer."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            LAYERS.Dense(8, activation="relu"),
            LAYERS.Dropout(dropout),
            LAYERS.Dense(2, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(
        0.1,
        momentum=0.9,
        gradient_accumulation_steps=2,
        use_ema=True,
        ema_momentum=0.5,
        ema_overwrite_frequency=3,
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("build", today([recurrent, attentive, half, averaged], one_in=2))
def test_exact_and_as_keras(build, memory):
    x, y = words(np.random.default_rng(3))

    def arguments(dropout):
        return {"x": x, "y": y, "batch_size": 8, "epochs": 2, "verbose": 0, "model": build(dropout)}

    def make(seed):
        keras.utils.set_random_seed(seed)
        return arguments(0.2)

    found = restart_at_every_step(make, memory)
    assert found.moments == 2 * (3 + 1)
    run = holdfast.Run(memory / "whole")
    assert next(run.journal().of(AttemptStarted)).engine == "fused"

    weights = []
    for fit in (holdfast.Run(memory / "beside").fit, keras.Model.fit):
        keras.utils.set_random_seed(1)
        given = arguments(0.0)
        model = given.pop("model")
        fit(model, shuffle=False, **given)
        weights.append([*model.get_weights(), *(v.numpy() for v in model.optimizer.variables)])
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


class AsksTheHost(keras.Model):
    """Its noise is numpy's: a function of the host, which compiled code calls."""

    def __init__(self):
        super().__init__()
        self.dense = LAYERS.Dense(2, activation="softmax")

    def call(self, x):
        import jax

        noise = jax.experimental.io_callback(
            lambda: np.random.normal(size=(5,)).astype("float32"),
            jax.ShapeDtypeStruct((5,), "float32"),
        )
        return self.dense(x + noise)


def test_a_step_that_calls_the_host_is_taken_alone(memory):
    x, y = words(np.random.default_rng(3))

    def make(seed):
        keras.utils.set_random_seed(seed)
        model = AsksTheHost()
        model.compile("sgd", "sparse_categorical_crossentropy")
        return {"model": model, "x": x.astype("float32"), "y": y, "batch_size": 8, "verbose": 0}

    assert restart_at_every_step(make, memory).moments == 3 + 1
    begun = next(holdfast.Run(memory / "whole").journal().of(AttemptStarted))
    assert begun.engine == "stepwise"
    assert "calls a function of the host (io_callback)" in begun.reason
