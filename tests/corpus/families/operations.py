"""TensorFlow operations on Keras tensors: TFOpLambda and SlicingOpLambda."""

import tensorflow as tf
from case import Case, normal, whole

keras = tf.keras
L = keras.layers


def op_arithmetic():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    outputs = [a + b, a * 2, 1 - a, a / (b * b + 1.0), a - b, -a, a**2, 3.0 * a + b, abs(a)]
    return Case(keras.Model([a, b], outputs), [normal(2, 3), normal(2, 3, seed=1)])


def op_shapes():
    x = keras.Input((4, 3))
    outputs = [
        tf.reshape(x, (-1, 12)),
        tf.concat([x, x], axis=-1),
        tf.expand_dims(x, 1),
        tf.squeeze(tf.expand_dims(x, -1), axis=-1),
        tf.transpose(x, perm=[0, 2, 1]),
        tf.stack([x, x], axis=1),
        tf.tile(x, [1, 2, 1]),
        tf.pad(x, [[0, 0], [1, 2], [0, 0]]),
        tf.split(x, 2, axis=1)[0],
        tf.unstack(x, axis=1)[1],
        tf.repeat(x, 2, axis=1),
        tf.reverse(x, axis=[1]),
        tf.gather(x, [2, 0], axis=1),
    ]
    return Case(keras.Model(x, outputs), normal(2, 4, 3))


def op_slices():
    x = keras.Input((4, 3))
    outputs = [x[:, 0], x[:, 1:3], x[:, ::2, :2], x[:, -1, tf.newaxis], x[:, :, -1], x[1:]]
    return Case(keras.Model(x, outputs), normal(2, 4, 3))


def op_slices_with_ellipsis():
    x = keras.Input((4, 3))
    return Case(keras.Model(x, [x[..., -1], x[..., 1:, :]]), normal(2, 4, 3))


def op_reductions():
    x = keras.Input((4, 3))
    outputs = [
        tf.reduce_mean(x, axis=1),
        tf.reduce_sum(x, axis=-1, keepdims=True),
        tf.reduce_max(x, axis=[1, 2]),
        tf.reduce_min(x, 1),
        tf.reduce_prod(x, axis=1),
        tf.math.reduce_std(x, axis=1),
        tf.math.reduce_variance(x, axis=1),
        tf.argmax(x, axis=-1),
        tf.cumsum(x, axis=1),
        tf.norm(x, axis=-1),
        tf.reduce_logsumexp(x, axis=-1),
    ]
    return Case(keras.Model(x, outputs), normal(2, 4, 3))


def op_functions():
    x = keras.Input((4,))
    outputs = [
        tf.nn.relu(x),
        tf.nn.softmax(x, axis=-1),
        tf.sigmoid(x),
        tf.tanh(x),
        tf.exp(x),
        tf.math.log(tf.abs(x) + 1.0),
        tf.sqrt(tf.square(x)),
        tf.math.rsqrt(x * x + 0.1),
        tf.maximum(x, 0.1),
        tf.minimum(x, 0.1),
        tf.clip_by_value(x, -0.5, 0.5),
        tf.nn.leaky_relu(x, alpha=0.1),
        tf.nn.elu(x),
        tf.nn.gelu(x),
        tf.nn.silu(x),
        tf.nn.softplus(x),
        tf.math.sin(x),
        tf.math.cos(x),
        tf.math.floor(x),
        tf.math.sign(x),
        tf.math.pow(tf.abs(x), 1.5),
        tf.math.erf(x),
        tf.nn.l2_normalize(x, axis=-1),
        tf.where(x > 0.0, x, 0.5 * x),
        tf.nn.relu6(4.0 * x),
        tf.nn.log_softmax(x),
        tf.add_n([x, x]),
        tf.math.multiply(x, x),
        tf.ones_like(x),
        tf.zeros_like(x) + x,
        tf.stop_gradient(x),
        tf.identity(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 4))


def op_casts_and_comparisons():
    x, ids = keras.Input((4,)), keras.Input((3,), dtype="int32")
    outputs = [
        tf.cast(ids, "float32") * 0.5,
        tf.cast(x > 0.3, tf.float32),
        tf.cast(tf.logical_and(x > -0.5, x < 0.5), tf.float32),
        tf.cast(tf.equal(ids, 2), "int32"),
        tf.cast(tf.not_equal(ids, 2), "int32"),
        tf.one_hot(ids, 5),
        tf.cast(x, tf.float64),
        ids % 2,
        ids // 2,
    ]
    return Case(keras.Model([x, ids], outputs), [normal(2, 4), whole(0, 5, 2, 3)])


def op_products():
    a, b = keras.Input((3, 4)), keras.Input((4, 2))
    outputs = [
        tf.matmul(a, b),
        tf.matmul(a, a, transpose_b=True),
        tf.linalg.matmul(b, b, transpose_a=True),
        a @ b,
        tf.tensordot(a, tf.constant([[1.0], [2.0], [3.0], [4.0]]), axes=1),
    ]
    return Case(keras.Model([a, b], outputs), [normal(2, 3, 4), normal(2, 4, 2, seed=1)])


def op_einsum():
    """Keras 2.15 leaves the operands out of what it saves; its own file does not load."""
    a, b = keras.Input((3, 4)), keras.Input((4, 2))
    y = tf.einsum("bij,bjk->bik", a, b)
    return Case(
        keras.Model([a, b], y),
        [normal(2, 3, 4), normal(2, 4, 2, seed=1)],
        refused="the file does not say what the operation works on",
    )


def op_constants():
    x = keras.Input((3,))
    y = L.Dense(3)(x)
    outputs = [
        y * tf.constant([1.0, 2.0, 3.0]),
        tf.add(y, [0.5, 0.25, 0.125]),
        tf.concat([y, tf.zeros_like(y)], -1),
        tf.multiply(tf.constant(2.0), y),
    ]
    return Case(keras.Model(x, outputs), normal(2, 3))


def op_images():
    x = keras.Input((4, 4, 2))
    outputs = [
        tf.image.resize(x, (8, 8)),
        tf.image.resize(x, (2, 2), method="nearest"),
        tf.nn.max_pool2d(x, 2, 2, "VALID"),
        tf.nn.avg_pool2d(x, 2, 1, "SAME"),
        tf.nn.depth_to_space(tf.concat([x, x], -1), 2),
        tf.nn.space_to_depth(x, 2),
        tf.image.flip_left_right(x),
    ]
    return Case(keras.Model(x, outputs), normal(2, 4, 4, 2))


def op_backend_functions():
    backend = keras.backend
    x = keras.Input((4, 3))
    outputs = [
        backend.mean(x, axis=1),
        backend.sum(x, axis=-1, keepdims=True),
        backend.l2_normalize(x, axis=-1),
        backend.square(x),
        backend.concatenate([x, x], axis=1),
        backend.expand_dims(x, 1),
        backend.relu(x),
        backend.dot(x, tf.ones((3, 2))),
        backend.batch_dot(x, x, axes=2),
    ]
    return Case(keras.Model(x, outputs), normal(2, 4, 3))


def op_shape_of():
    x = keras.Input((None, 3))
    batch = tf.shape(x)[0]
    y = tf.reshape(L.Dense(2)(x), (batch, -1))
    return Case(keras.Model(x, y), normal(2, 4, 3))


def op_inside_network():
    x = keras.Input((6, 6, 1))
    y = L.Conv2D(2, 3, activation="relu")(x / 255.0 - 0.5)
    y = tf.nn.relu(y + L.Conv2D(2, 1)(y))
    y = tf.reduce_mean(y, axis=[1, 2])
    z = L.Dense(4)(y)[:, 1:3] * y
    return Case(keras.Model(x, L.Dense(2)(tf.concat([y, z], 1))), 100 * normal(2, 6, 6, 1))


def variational():
    x = keras.Input((5,))
    mean, spread = L.Dense(2, name="mean")(x), L.Dense(2, name="spread")(x)
    encoder = keras.Model(x, [mean, spread], name="encoder")
    a = keras.Input((5,))
    m, s = encoder(a)
    z = m + tf.exp(0.5 * s)
    decoder = keras.Sequential([keras.Input((2,)), L.Dense(5)], name="decoder")
    model = keras.Model(a, decoder(z))
    return Case(model, normal(2, 5))


def added_loss():
    x = keras.Input((4,))
    y = L.Dense(3)(x)
    model = keras.Model(x, y)
    model.add_loss(tf.reduce_mean(tf.square(y)))
    model.add_metric(tf.reduce_sum(y), name="total", aggregation="mean")
    return Case(model, normal(2, 4))
