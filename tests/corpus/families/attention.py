"""Attention layers."""

import numpy as np
import tensorflow as tf
from case import Case, normal, whole

keras = tf.keras
L = keras.layers


def attention():
    q, v = keras.Input((3, 4)), keras.Input((5, 4))
    outputs = [
        L.Attention()([q, v]),
        L.Attention(use_scale=True)([q, v]),
        L.Attention(score_mode="concat")([q, v]),
        L.Attention(use_scale=True, score_mode="concat", dropout=0.1)([q, v, v]),
        L.AdditiveAttention()([q, v]),
        L.AdditiveAttention(use_scale=False)([q, v]),
    ]
    return Case(keras.Model([q, v], outputs), [normal(2, 3, 4), normal(2, 5, 4, seed=1)])


def attention_causal():
    x = keras.Input((4, 3))
    y = L.Attention()([x, x], use_causal_mask=True)
    return Case(keras.Model(x, y), normal(2, 4, 3))


def attention_masked():
    """The mask of each embedding goes along to the attention and to the average."""
    q, v = keras.Input((4,)), keras.Input((5,))
    shared = L.Embedding(6, 3, mask_zero=True)
    y = L.Attention()([shared(q), shared(v)])
    z = L.AdditiveAttention()([shared(q), shared(v)])
    pooled = [L.GlobalAveragePooling1D()(part) for part in (y, z)]
    inputs = [whole(0, 6, 3, 4), whole(0, 6, 3, 5, seed=1)]
    for one in inputs:
        one[:, 0] = 1
    return Case(keras.Model([q, v], L.Concatenate()(pooled)), inputs)


def softmax_masked():
    x, mask = keras.Input((4,)), keras.Input((4,), dtype="bool")
    seen = whole(0, 2, 3, 4).astype(bool)
    seen[:, 0] = True
    return Case(keras.Model([x, mask], L.Softmax()(x, mask=mask)), [normal(3, 4), seen])


def multi_head_attention():
    q, v = keras.Input((3, 4), name="query"), keras.Input((5, 6), name="value")
    outputs = [
        L.MultiHeadAttention(2, 3, name="self_attention")(q, q),
        L.MultiHeadAttention(2, 3, value_dim=2, output_shape=5, dropout=0.1)(q, v),
        L.MultiHeadAttention(1, 2, use_bias=False)(query=q, value=v, key=v),
    ]
    return Case(keras.Model([q, v], outputs), [normal(2, 3, 4), normal(2, 5, 6, seed=1)])


def multi_head_attention_axes():
    x = keras.Input((3, 2, 4))
    outputs = [
        L.MultiHeadAttention(2, 3, attention_axes=(2,))(x, x),
        L.MultiHeadAttention(2, 2, attention_axes=(1, 2))(x, x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 3, 2, 4))


def multi_head_attention_masked():
    q = keras.Input((3, 4), name="query")
    mask = keras.Input((3, 3), dtype="bool", name="mask")
    layer = L.MultiHeadAttention(2, 3)
    y, scores = layer(q, q, attention_mask=mask, return_attention_scores=True)
    allowed = (whole(0, 2, 2, 3, 3) + np.eye(3, dtype="int32")) > 0
    return Case(keras.Model([q, mask], [y, scores]), [normal(2, 3, 4), allowed])


def transformer_block():
    ids = keras.Input((6,), dtype="int32", name="ids")
    x = L.Embedding(9, 4, name="tokens")(ids)
    y = L.MultiHeadAttention(2, 2, name="attention")(x, x, use_causal_mask=True)
    x = L.LayerNormalization(epsilon=1e-6)(x + y)
    y = keras.Sequential([L.Dense(8, activation="gelu"), L.Dense(4)], name="mlp")(x)
    x = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, y]))
    return Case(keras.Model(ids, L.Dense(9)(x), name="decoder"), whole(0, 9, 2, 6))
