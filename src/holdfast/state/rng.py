"""Random state: the global generators of Python, numpy, Keras, PyTorch and TensorFlow.

Owns reading and setting them. The generators inside a model's layers are variables of the
model; JAX has no state of its own.

Those of PyTorch and TensorFlow count wherever they are imported, whatever Keras runs on: a
callback may draw from them. They are set where they are imported, and never imported for it.

TensorFlow's are its global `Generator` and what `tf.random.set_seed` has begun: seeds for
operations that were given none. An operation that was given a seed, or is part of a graph, keeps
its state to itself; `engines/tensorflow` says so where a step has one.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.state.values import from_array, to_array
from holdfast.types import Array, Json


def draw_seed() -> int:
    """Draw a shuffle seed from numpy's global generator, as Keras draws its shuffling.

    So `keras.utils.set_random_seed` decides it, and without it every new run differs.
    """
    return int(np.random.randint(2**63 - 1, dtype=np.int64))


Words = tuple[Any, ...]
"""The state of a generator of Python's."""


@dataclass(frozen=True)
class TensorFlowState:
    """Random state of TensorFlow.

    Args:
        seed: that of `tf.random.set_seed`, or None where it was not called.
        words: of the generator that operations without a seed get theirs from.
        algorithm: of the global `Generator`.
        state: of it, or None where nobody has asked for one.
    """

    seed: int | None
    words: Words | None
    algorithm: int
    state: NDArray[Any] | None


@dataclass(frozen=True)
class RandomState:
    """The generators' states: cheap to take, and never changed.

    Of PyTorch they are those of the host and of each CUDA device that is in use, in their order;
    None, as of TensorFlow, where it is not imported.
    """

    python: Words
    numpy: Mapping[str, Any]
    keras: NDArray[Any] | None
    torch: Sequence[NDArray[Any]] | None
    tensorflow: TensorFlowState | None


def capture() -> RandomState:
    """Return the random state."""
    generator = keras_private.get_global_seed_generator()
    return RandomState(
        random.getstate(),
        np.random.get_state(legacy=False),
        None if generator is None else np.array(keras.ops.convert_to_numpy(generator.state)),
        _capture_torch(),
        _capture_tensorflow(),
    )


def encode(state: RandomState, arrays: list[Array]) -> Json:
    """Return the random state as JSON; the generators' arrays are added to `arrays`."""
    python = _encode_words("random/python", state.python, arrays)
    legacy = state.numpy
    arrays.append(to_array("random/numpy", np.array(legacy["state"]["key"])))
    if state.keras is not None:
        arrays.append(to_array("random/keras", state.keras))
    encoded = {
        "python": python,
        "numpy": {
            "generator": legacy["bit_generator"],
            "position": int(legacy["state"]["pos"]),
            "has_gauss": int(legacy["has_gauss"]),
            "gauss": float(legacy["gauss"]),
        },
        "keras": state.keras is not None,
    }
    if state.torch is not None:
        for number, value in enumerate(state.torch):
            arrays.append(to_array(f"random/torch/{number}", value))
        encoded["torch"] = len(state.torch)
    if state.tensorflow is not None:
        encoded["tensorflow"] = _encode_tensorflow(state.tensorflow, arrays)
    return encoded


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
    """Set the random state to what was captured, under this backend or another."""
    # Keras first: making its generator draws from Python's.
    if state["keras"]:
        _restore_keras(from_array(arrays["random/keras"]))
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
    _restore_torch([from_array(arrays[f"random/torch/{n}"]) for n in range(state.get("torch", 0))])
    if "tensorflow" in state:
        _restore_tensorflow(state["tensorflow"], arrays)
    random.setstate(_decode_words("random/python", state["python"], arrays))


def _encode_words(name: str, words: Words, arrays: list[Array]) -> Json:
    version, numbers, gauss = words
    arrays.append(to_array(name, np.array(numbers, dtype=np.uint32)))
    return {"version": version, "gauss": gauss}


def _decode_words(name: str, state: Json, arrays: Mapping[str, Array]) -> Words:
    numbers = tuple(int(number) for number in from_array(arrays[name]))
    return state["version"], numbers, state["gauss"]


def _restore_keras(value: NDArray[Any]) -> None:
    generator = keras_private.get_global_seed_generator()
    if generator is None:
        generator = keras.random.SeedGenerator(0)
        keras_private.set_global_seed_generator(generator)
    # Not another one: a step that TensorFlow has traced goes on with the one it was traced with.
    generator.state.assign(value.astype(generator.state.dtype))


def _capture_torch() -> list[NDArray[Any]] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    return [np.array(state) for state in states]


def _restore_torch(states: Sequence[NDArray[Any]]) -> None:
    torch = sys.modules.get("torch")
    if torch is None or not states:
        return
    first, *others = (torch.from_numpy(state.copy()) for state in states)
    torch.set_rng_state(first)
    if others and torch.cuda.is_available():
        # A machine may have fewer devices by now.
        for number, state in enumerate(others[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, number)


def _capture_tensorflow() -> TensorFlowState | None:
    context, made = _tensorflow_random()
    if context is None:
        return None
    words = None if context._seed is None else context._rng.getstate()
    seed = None if context._seed is None else int(context._seed)
    if made is None:
        return TensorFlowState(seed, words, 0, None)
    return TensorFlowState(seed, words, int(made.algorithm), np.array(made.state))


def _encode_tensorflow(state: TensorFlowState, arrays: list[Array]) -> Json:
    name = "random/tensorflow"
    encoded: dict[str, Json] = {"seed": state.seed, "algorithm": state.algorithm}
    if state.words is not None:
        encoded["operations"] = _encode_words(f"{name}/operations", state.words, arrays)
    if state.state is not None:
        arrays.append(to_array(f"{name}/generator", state.state))
    return encoded


def _restore_tensorflow(state: Json, arrays: Mapping[str, Array]) -> None:
    name = "random/tensorflow"
    context, made = _tensorflow_random()
    if context is None:
        return
    tf = sys.modules["tensorflow"]
    tf.random.set_seed(state["seed"])
    if "operations" in state:
        words = _decode_words(f"{name}/operations", state["operations"], arrays)
        context._rng.setstate(words)
    array = arrays.get(f"{name}/generator")
    if array is None:
        return
    value = from_array(array)
    if made is not None and made.algorithm == state["algorithm"]:
        made.reset(value)  # a traced function goes on with the one it was traced with
    else:
        generator = tf.random.Generator.from_state(value, alg=state["algorithm"])
        tf.random.set_global_generator(generator)


def _tensorflow_random() -> tuple[Any | None, Any | None]:
    """Return TensorFlow's context, and its global generator where it has been made.

    By their private names: to ask for the generator would make one, and the seeds of operations
    cannot be asked for.
    """
    if "tensorflow" not in sys.modules:
        return None, None
    context = sys.modules.get("tensorflow.python.eager.context")
    generators = sys.modules.get("tensorflow.python.ops.stateful_random_ops")
    if context is None:
        return None, None
    return context.context(), getattr(generators, "global_generator", None)
