"""The gradient of max pooling has the bits that JAX's own has."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax import lax

import holdfast
from holdfast.engines import pooling


def gradient(window, strides=None, padding="VALID"):
    def pool(values):
        strided = strides or window
        return lax.reduce_window(values, -jnp.inf, lax.max, window, strided, padding)

    def step(values, cotangent):
        return jax.vjp(pool, values)[1](cotangent)[0]

    return pool, step


def given(shape, pool, dtype="float32"):
    """Ties, zeros of both signs, infinities and what is no number, in values and gradients."""
    random = np.random.default_rng(3)
    values = random.choice([-1.0, -0.0, 0.0, 0.5, 2.0, np.nan, np.inf, -np.inf], shape)
    values = jnp.asarray(values, dtype)
    cotangent = random.choice([-1.5, -0.0, 0.0, 3.25, np.nan], jax.eval_shape(pool, values).shape)
    return values, jnp.asarray(cotangent, dtype)


def primitives(step, *arguments):
    return str(jax.make_jaxpr(step)(*arguments))


def bits(array):
    array = np.asarray(array)
    return array.view(f"u{array.itemsize}")


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((3, 8, 6, 2), (1, 2, 2, 1)),
        ((3, 9, 7, 2), (1, 2, 2, 1)),  # a row and a column too many
        ((2, 9, 9, 3), (1, 3, 3, 1)),
        ((2, 3, 8, 8), (1, 1, 2, 4)),
        ((4, 12, 5), (1, 3, 1)),
        ((2, 4, 4, 4, 2), (1, 2, 2, 2, 1)),
        ((2, 8, 8, 2), (1, 8, 8, 1)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_windows_side_by_side(shape, window, dtype):
    pool, step = gradient(window)
    values, cotangent = given(shape, pool, dtype)
    faster = pooling.compared(step)
    assert pooling.GRADIENT in primitives(step, values, cotangent)
    assert pooling.GRADIENT not in primitives(faster, values, cotangent)
    expected = jax.jit(step)(values, cotangent)
    np.testing.assert_array_equal(bits(jax.jit(faster)(values, cotangent)), bits(expected))


@pytest.mark.parametrize(
    ("shape", "window", "strides", "padding"),
    [
        ((2, 9, 9, 2), (1, 3, 3, 1), (1, 2, 2, 1), "VALID"),
        ((2, 7, 7, 2), (1, 2, 2, 1), (1, 2, 2, 1), "SAME"),
        ((1, 9, 9, 1), (1, 9, 9, 1), (1, 9, 9, 1), "VALID"),
        ((2, 4, 4, 2), (1, 1, 1, 1), (1, 1, 1, 1), "VALID"),
    ],
)
def test_other_windows_stay_as_they_are(shape, window, strides, padding):
    pool, step = gradient(window, strides, padding)
    values, cotangent = given(shape, pool)
    faster = pooling.compared(step)
    assert pooling.GRADIENT in primitives(faster, values, cotangent)
    found, expected = faster(values, cotangent), step(values, cotangent)
    np.testing.assert_array_equal(bits(found), bits(expected))


def test_within_a_loop():
    pool, step = gradient((1, 2, 2, 1))
    values, cotangent = given((2, 4, 4, 1), pool)

    def several(values, cotangent):
        return lax.fori_loop(0, 3, lambda _, now: now + step(now, cotangent), values)

    faster = pooling.compared(several)
    assert pooling.GRADIENT not in primitives(faster, values, cotangent)
    # The sign of a zero differs between XLA's own programs for this.
    found, expected = jax.jit(faster)(values, cotangent), jax.jit(several)(values, cotangent)
    np.testing.assert_array_equal(found, expected)


def trained(tmp_path, name):
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.MaxPooling2D()]
    layers += [keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((10, 10, 1)), *layers])
    model.compile("adam", "mse")
    random = np.random.default_rng(5)
    x, y = random.random((24, 10, 10, 1), "float32"), random.random((24, 3), "float32")
    if name is None:
        model.fit(x, y, epochs=2, batch_size=5, shuffle=False, verbose=0)
    else:
        run = holdfast.Run(tmp_path / name)
        run.fit(model, x, y, epochs=2, batch_size=5, shuffle=False, verbose=0)
    return model.get_weights()


def test_a_training_learns_what_it_learns_in_keras(tmp_path, monkeypatch):
    rewritten = []
    gradient_of = pooling._gradient
    monkeypatch.setattr(
        pooling,
        "_gradient",
        lambda *given, **window: rewritten.append(1) or gradient_of(*given, **window),
    )
    for found, expected in zip(trained(tmp_path, "run"), trained(tmp_path, None), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert rewritten
