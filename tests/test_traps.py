"""What Keras 3 takes for something else without a word: outputs beside the old library's own.

Each test opens files that the old library wrote. Without the treatment it is named for, it fails.
"""

import keras
import numpy as np
import pytest
from corpus_models import cases, distance, opened, same_weights

import holdfast

ALL = {case.name: case for case in (*cases(), *cases("old"))}
FROZEN = [
    "frozen_after",
    "frozen_model",
    "frozen_recurrent",
    "frozen_some_inner_layers",
    "frozen_then_thawed",
    "frozen_whole",
]


def gap(name, model):
    case = ALL[name]
    inputs, outputs = case.io()
    return distance(model(inputs, training=False), outputs) / case.facts["tolerance"]


def flags(model, trainable):
    """Set the flag of every layer; of a model, setting it sets those within."""
    model.trainable = trainable(0)
    for number, layer in enumerate(model._flatten_layers(include_self=False)):
        if not hasattr(layer, "layers"):
            layer.trainable = trainable(number)


# hard_sigmoid was clip(0.2 x + 0.5) up to Keras 2, and is x / 6 + 0.5 now.


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("keras-0.3.3-theano/lstm", "h5_weights"),
        ("keras-1.0.5-theano/lstm", "h5_weights"),
        ("keras-1.2.2-tensorflow/lstm_cpu", "h5"),
        ("keras-2.0.8/gru", "h5"),
        ("keras-2.2.4/lstm", "h5"),
        ("dense_hard_sigmoid", "h5"),
        ("dense_hard_sigmoid", "keras"),
        ("lstm_hard_sigmoid", "saved_model"),
    ],
)
def test_hard_sigmoid_is_the_old_one(name, form):
    assert gap(name, opened(ALL[name], form)) <= 1


# A GRU whose file does not say where it resets did so before; the default is after now.


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("keras-1.2.2-tensorflow/gru_cpu", "h5"),
        ("keras-1.0.5-theano/gru", "h5_weights"),
        ("keras-2.0.8/gru", "h5"),
        ("keras-2.1.6/gru_reset_after", "h5"),
        ("gru_reset_before", "h5"),
        ("gru_reset_before", "saved_model"),
    ],
)
def test_a_gru_resets_where_it_did(name, form):
    assert gap(name, opened(ALL[name], form)) <= 1


# The axis of BatchNormalization became a list in TensorFlow, and is a number in Keras 3.


@pytest.mark.parametrize("form", ["h5", "keras", "saved_model"])
def test_batch_normalization_goes_over_its_axis(form):
    model = opened(ALL["batch_normalization"], form)
    assert gap("batch_normalization", model) <= 1


# Up to 1.0.5, Keras kept a standard deviation under the name that then was of the variance.


@pytest.mark.parametrize("name", ["keras-0.3.3-theano/batchnorm", "keras-1.0.5-theano/batchnorm"])
def test_a_standard_deviation_is_no_variance(name):
    assert gap(name, opened(ALL[name], "h5_weights")) <= 1


# Arrays are listed by what was frozen when they were saved, which need not be what is now.


@pytest.mark.parametrize("form", ["h5", "h5_weights", "saved_model"])
@pytest.mark.parametrize("name", FROZEN)
def test_frozen_layers_get_their_own_arrays(name, form):
    model = opened(ALL[name], form)
    assert gap(name, model) <= 1
    assert same_weights(ALL[name], model) == ""


@pytest.mark.parametrize("trainable", [True, False, None], ids=["all", "none", "by turns"])
@pytest.mark.parametrize("name", FROZEN)
def test_weights_go_into_a_model_that_is_frozen_otherwise(name, trainable):
    paths = ALL[name].paths()
    model = holdfast.load_model(paths["keras"], compile=False)
    flags(model, lambda number: number % 2 == 0 if trainable is None else trainable)
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    holdfast.load_weights(model, paths["h5_weights"])
    assert gap(name, model) <= 1


def test_weights_go_into_a_model_whose_layers_are_counted_otherwise():
    layers = keras.layers
    layers.Dense(3)  # the first of the session may be named as the file's
    inner = [layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]
    x = keras.Input((4, 3))
    y = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")(x)
    y = layers.TimeDistributed(keras.Sequential(inner), name="time_distributed")(y)
    model = keras.Model(x, layers.GRU(2, name="gru")(y))
    assert inner[0].name != "dense" or inner[2].name != "dense_1"
    holdfast.load_weights(model, ALL["frozen_recurrent"].paths()["h5_weights"])
    assert gap("frozen_recurrent", model) <= 1


# Under float16, BatchNormalization kept its variables in float32; in Keras 3 it does not.


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_batch_normalization_keeps_all_its_digits(name):
    model = opened(ALL[name], "h5")
    normalizing = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {variable.dtype for layer in normalizing for variable in layer.weights} == {"float32"}
    assert same_weights(ALL[name], model) == ""
    assert gap(name, model) <= 1


# TensorFlow 1 named both directions' arrays alike, and put the backward ones first.


@pytest.mark.parametrize("form", ["name_checkpoint", "name_checkpoint_v1"])
@pytest.mark.parametrize("name", ["tf-1.15.5/bidirectional_gru", "tf-1.15.5/bidirectional_lstm"])
def test_directions_are_not_swapped(name, form):
    assert gap(name, opened(ALL[name], form)) <= 1
