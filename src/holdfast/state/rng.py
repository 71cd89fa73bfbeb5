"""Random state: Python's, numpy's and Keras's global ones.

Owns reading and setting them. The generators inside a model's layers are variables of the
model; JAX has no state of its own.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from holdfast import keras_private
from holdfast.state.values import from_array, to_array
from holdfast.types import Array, Json


def draw_seed() -> int:
    """Draw a shuffle seed from numpy's global generator, as Keras draws its shuffling.

    So `keras.utils.set_random_seed` decides it, and without it every new run differs.
    """
    return int(np.random.randint(2**63 - 1, dtype=np.int64))


@dataclass(frozen=True)
class RandomState:
    """The three generators' states, as they give them: cheap to take, and never changed."""

    python: tuple[Any, ...]
    numpy: Mapping[str, Any]
    keras: Any


def capture() -> RandomState:
    """Return the random state."""
    generator = keras_private.get_global_seed_generator()
    return RandomState(
        random.getstate(),
        np.random.get_state(legacy=False),
        None if generator is None else generator.state.value,
    )


def encode(state: RandomState, arrays: list[Array]) -> Json:
    """Return the random state as JSON; the generators' arrays are added to `arrays`."""
    version, words, gauss = state.python
    arrays.append(to_array("random/python", np.array(words, dtype=np.uint32)))
    legacy = state.numpy
    arrays.append(to_array("random/numpy", np.array(legacy["state"]["key"])))
    if state.keras is not None:
        value = np.array(keras.ops.convert_to_numpy(state.keras))
        arrays.append(to_array("random/keras", value))
    return {
        "python": {"version": version, "gauss": gauss},
        "numpy": {
            "generator": legacy["bit_generator"],
            "position": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "keras": state.keras is not None,
    }


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Put Python's and numpy's random state back to what it was before."""
    python, legacy = random.getstate(), np.random.get_state(legacy=False)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


def restore(state: Json, arrays: Mapping[str, Array]) -> None:
    """Set the random state to what was captured."""
    # Keras first: making its generator draws from Python's.
    if state["keras"]:
        generator = keras.random.SeedGenerator(0)
        generator.state.assign(from_array(arrays["random/keras"]).copy())
        keras_private.set_global_seed_generator(generator)
    else:
        keras_private.set_global_seed_generator(None)
    saved = state["numpy"]
    np.random.set_state(
        {
            "bit_generator": saved["generator"],
            "state": {
                "key": from_array(arrays["random/numpy"]).copy(),
                "pos": saved["position"],
            },
            "has_gauss": saved["has_gauss"],
            "gauss": saved["gauss"],
        }
    )
    words = tuple(int(word) for word in from_array(arrays["random/python"]))
    random.setstate((state["python"]["version"], words, state["python"]["gauss"]))
