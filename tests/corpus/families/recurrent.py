"""Recurrent layers, their cells and wrappers."""

import os
import tempfile

import tensorflow as tf
from case import Case, normal, whole

keras = tf.keras
L = keras.layers


def lstm():
    model = keras.Sequential([keras.Input((5, 3)), L.LSTM(4)])
    return Case(model, normal(2, 5, 3))


def lstm_stacked():
    model = keras.Sequential(
        [
            L.LSTM(3, return_sequences=True, input_shape=(6, 2)),
            L.Dropout(0.2),
            L.LSTM(2, dropout=0.1, recurrent_dropout=0.1),
            L.Dense(1),
        ]
    )
    return Case(model, normal(2, 6, 2))


def lstm_variants():
    x = keras.Input((5, 3))
    outputs = [
        L.LSTM(2, return_sequences=True)(x),
        L.LSTM(2, go_backwards=True, return_sequences=True)(x),
        L.LSTM(2, unroll=True)(x),
        L.LSTM(2, recurrent_activation="hard_sigmoid", implementation=1)(x),
        L.LSTM(2, use_bias=False, unit_forget_bias=False)(x),
        L.LSTM(2, activation="relu", recurrent_activation="sigmoid")(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 5, 3))


def lstm_hard_sigmoid():
    model = keras.Sequential(
        [keras.Input((6, 3)), L.LSTM(4, recurrent_activation="hard_sigmoid"), L.Dense(2)]
    )
    return Case(model, 2 * normal(2, 6, 3))


def gru():
    model = keras.Sequential([keras.Input((5, 3)), L.GRU(4)])
    return Case(model, normal(2, 5, 3))


def gru_reset_before():
    model = keras.Sequential(
        [keras.Input((5, 3)), L.GRU(3, reset_after=False, return_sequences=True), L.GRU(2)]
    )
    return Case(model, normal(2, 5, 3))


def gru_variants():
    x = keras.Input((5, 3))
    outputs = [
        L.GRU(2, return_sequences=True)(x),
        L.GRU(2, go_backwards=True)(x),
        L.GRU(2, unroll=True, reset_after=False)(x),
        L.GRU(2, recurrent_activation="hard_sigmoid")(x),
        L.GRU(2, use_bias=False)(x),
        L.GRU(2, use_bias=False, reset_after=False, dropout=0.2)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 5, 3))


def simple_rnn():
    x = keras.Input((5, 3))
    outputs = [
        L.SimpleRNN(3)(x),
        L.SimpleRNN(2, activation="relu", return_sequences=True, use_bias=False)(x),
        L.SimpleRNN(2, go_backwards=True, unroll=True)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 5, 3))


def recurrent_stateful():
    model = keras.Sequential(
        [
            L.LSTM(3, stateful=True, return_sequences=True, batch_input_shape=(2, 4, 3)),
            L.GRU(2, stateful=True),
        ]
    )
    return Case(model, normal(2, 4, 3))


def recurrent_states():
    x, h, c = keras.Input((4, 3)), keras.Input((2,)), keras.Input((2,))
    y, first, second = L.LSTM(2, return_state=True)(x, initial_state=[h, c])
    z, state = L.GRU(2, return_sequences=True, return_state=True)(x, initial_state=h)
    w = L.SimpleRNN(2)(z, initial_state=[state])
    return Case(
        keras.Model([x, h, c], [y, first, second, z, w]),
        [normal(2, 4, 3), normal(2, 2, seed=1), normal(2, 2, seed=2)],
    )


def sequence_to_sequence():
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    x = L.Embedding(8, 3, name="source_embedding")(source)
    _, h, c = L.LSTM(4, return_state=True, name="encoder")(x)
    y = L.Embedding(8, 3, name="target_embedding")(target)
    y, _, _ = L.LSTM(4, return_sequences=True, return_state=True, name="decoder")(
        y, initial_state=[h, c]
    )
    y = L.Dense(8, activation="softmax", name="words")(y)
    return Case(keras.Model([source, target], y), [whole(0, 8, 2, 5), whole(0, 8, 2, 4, seed=1)])


def masked_lstm():
    model = keras.Sequential(
        [keras.Input((5, 2)), L.Masking(0.0), L.LSTM(3, return_sequences=True), L.GRU(2)]
    )
    inputs = normal(3, 5, 2)
    inputs[0, 3:] = 0
    inputs[1, 1:] = 0
    return Case(model, inputs)


def masked_embedding():
    ids = keras.Input((6,))
    x = L.Embedding(9, 3, mask_zero=True)(ids)
    outputs = [
        L.LSTM(2, return_sequences=True, zero_output_for_mask=True)(x),
        L.Bidirectional(L.GRU(2, return_sequences=True))(x),
        L.SimpleRNN(2)(x),
        L.TimeDistributed(L.Dense(2))(x),
        L.Bidirectional(L.LSTM(2))(x),
    ]
    inputs = whole(1, 9, 3, 6)
    inputs[0, 4:] = 0
    inputs[1, 1:] = 0
    return Case(keras.Model(ids, outputs), inputs)


def cells():
    x = keras.Input((4, 3))
    outputs = [
        L.RNN(L.LSTMCell(2))(x),
        L.RNN(L.GRUCell(2), return_sequences=True)(x),
        L.RNN(L.GRUCell(2, reset_after=False))(x),
        L.RNN(L.SimpleRNNCell(2), go_backwards=True)(x),
        L.RNN([L.LSTMCell(3), L.LSTMCell(2)])(x),
        L.RNN(L.StackedRNNCells([L.GRUCell(2), L.SimpleRNNCell(2)]), return_sequences=True)(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 4, 3))


def cells_with_states():
    x, h = keras.Input((4, 3)), keras.Input((2,))
    y, state = L.RNN(L.GRUCell(2), return_sequences=True, return_state=True)(x, initial_state=h)
    z, *states = L.RNN([L.LSTMCell(2), L.LSTMCell(3)], return_state=True)(y)
    flat = [part for state_of in states for part in tf.nest.flatten(state_of)]
    return Case(keras.Model([x, h], [y, state, z, *flat]), [normal(2, 4, 3), normal(2, 2, seed=1)])


def bidirectional_states():
    x, h, k = keras.Input((4, 3)), keras.Input((2,)), keras.Input((2,))
    y, forward, backward = L.Bidirectional(L.GRU(2, return_state=True, return_sequences=True))(
        x, initial_state=[h, k]
    )
    return Case(
        keras.Model([x, h, k], [y, L.Add()([forward, backward])]),
        [normal(2, 4, 3), normal(2, 2, seed=1), normal(2, 2, seed=2)],
    )


def conv_lstm1d():
    model = keras.Sequential(
        [keras.Input((3, 5, 2)), L.ConvLSTM1D(2, 2, return_sequences=True), L.ConvLSTM1D(2, 2)]
    )
    return Case(model, normal(2, 3, 5, 2))


def conv_lstm2d():
    model = keras.Sequential(
        [
            keras.Input((3, 4, 4, 1)),
            L.ConvLSTM2D(2, 3, padding="same", return_sequences=True),
            L.ConvLSTM2D(2, (2, 1), strides=(2, 1), recurrent_activation="hard_sigmoid"),
        ]
    )
    return Case(model, normal(2, 3, 4, 4, 1))


def conv_lstm3d():
    model = keras.Sequential([keras.Input((2, 3, 3, 3, 1)), L.ConvLSTM3D(1, 2)])
    return Case(model, normal(1, 2, 3, 3, 3, 1))


def bidirectional():
    x = keras.Input((4, 3))
    outputs = [
        L.Bidirectional(L.LSTM(2, return_sequences=True), merge_mode=mode)(x)
        for mode in ("concat", "sum", "mul", "ave")
    ]
    forward, backward = L.Bidirectional(L.GRU(2), merge_mode=None)(x)
    return Case(keras.Model(x, [*outputs, forward, backward]), normal(2, 4, 3))


def bidirectional_stacked():
    model = keras.Sequential(
        [
            L.Embedding(11, 3),
            L.Bidirectional(L.LSTM(3, return_sequences=True)),
            L.Bidirectional(L.LSTM(2)),
            L.Dense(1, activation="sigmoid"),
        ]
    )
    return Case(model, whole(0, 11, 2, 6))


def bidirectional_backward_layer():
    x = keras.Input((4, 3))
    y = L.Bidirectional(
        L.LSTM(2, return_sequences=True),
        backward_layer=L.GRU(3, go_backwards=True, return_sequences=True, name="other"),
        merge_mode="concat",
    )(x)
    states = L.Bidirectional(L.LSTM(2, return_state=True))(y)
    return Case(keras.Model(x, [y, *states]), normal(2, 4, 3))


def bidirectional_input_shape():
    model = keras.Sequential([L.Bidirectional(L.GRU(2), input_shape=(4, 3)), L.Dense(2)])
    return Case(model, normal(2, 4, 3))


def time_distributed():
    inner = keras.Sequential([keras.Input((4, 4, 1)), L.Conv2D(2, 2), L.Flatten()], name="inner")
    x = keras.Input((3, 4, 4, 1))
    y = L.TimeDistributed(inner)(x)
    z = L.TimeDistributed(L.Conv2D(2, 2, activation="relu"))(x)
    z = L.TimeDistributed(L.BatchNormalization())(z)
    z = L.TimeDistributed(L.Flatten())(z)
    y = L.TimeDistributed(L.Dense(3))(L.Concatenate()([y, z]))
    return Case(keras.Model(x, L.LSTM(2)(y)), normal(2, 3, 4, 4, 1))


def recurrent_long():
    model = keras.Sequential(
        [keras.Input((120, 2)), L.GRU(5, return_sequences=True), L.LSTM(4), L.Dense(1)]
    )
    return Case(model, normal(2, 120, 2), tolerance=1e-4)


def lstm_time_major():
    x = keras.Input(batch_shape=(4, 2, 3))
    return Case(
        keras.Model(x, L.LSTM(2, time_major=True)(x)),
        normal(4, 2, 3),
        refused="time_major has no Keras 3 equal",
    )


def _cudnn(layer, plain, **options):
    """A layer for CuDNN cannot run here: the plain one, loaded from its file, answers for it."""
    inputs = normal(2, 5, 3)
    model = keras.Sequential([keras.Input((5, 3)), layer(4, **options, name="recurrent")])
    equal = keras.Sequential([keras.Input((5, 3)), plain(4, **options, name="recurrent")])
    values = [0.3 * normal(*w.shape, seed=7 + i) for i, w in enumerate(model.weights)]
    model.set_weights(values)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.h5")
        model.save_weights(path)
        equal.load_weights(path)
    return Case(model, inputs, outputs=equal(inputs).numpy(), keep_weights=True)


def cudnn_lstm():
    return _cudnn(tf.compat.v1.keras.layers.CuDNNLSTM, L.LSTM)


def cudnn_gru():
    return _cudnn(tf.compat.v1.keras.layers.CuDNNGRU, L.GRU, return_sequences=True)


def cudnn_lstm_bidirectional():
    """The halves of a bidirectional CuDNN layer, again answered for by plain ones."""
    inputs = normal(2, 5, 3)
    cudnn = tf.compat.v1.keras.layers.CuDNNLSTM
    model = keras.Sequential(
        [keras.Input((5, 3)), L.Bidirectional(cudnn(2, name="half"), name="both")]
    )
    equal = keras.Sequential(
        [keras.Input((5, 3)), L.Bidirectional(L.LSTM(2, name="half"), name="both")]
    )
    model.set_weights([0.3 * normal(*w.shape, seed=7 + i) for i, w in enumerate(model.weights)])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "weights.h5")
        model.save_weights(path)
        equal.load_weights(path)
    return Case(model, inputs, outputs=equal(inputs).numpy(), keep_weights=True)
