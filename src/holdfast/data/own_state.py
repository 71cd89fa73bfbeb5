"""What an object that gives batches carries along: random generators of its own, and the rest.

Owns finding such generators and setting them for one batch, and copies to go back to. The global
generators are `drawing`'s.

A data set with `self.rng = numpy.random.default_rng(7)` gives other numbers the second time that a
batch is asked for. While a batch is drawn, its own generators are therefore set by the number of
the batch, as the global ones are, and put back afterwards. In hooks between epochs too: what they
draw is then a function of the epoch alone.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
import sys
from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import keras
import numpy as np

from holdfast import keras_private

_DEPTH = 6
_LONGEST = 1000
_LARGE = 1 << 26
_CLOSED = ("numpy", "pandas", "jax", "jaxlib", "tensorflow", "torch", "h5py", "zarr", "threading")


class OwnRandom:
    """The random generators that an object holds, in its attributes and in what those hold.

    Those of NumPy, Python, PyTorch and Keras are found, `numpy.random.RandomState` too. A compiled
    model's are left alone: they are of the training.
    """

    def __init__(self, thing: Any) -> None:
        found: dict[int, Any] = {}
        _find(thing, found, set(), _DEPTH)
        self._generators = list(found.values())

    def __bool__(self) -> bool:
        return bool(self._generators)

    @contextlib.contextmanager
    def set_by(self, word: int) -> Iterator[None]:
        """Within this they are set by a number; afterwards they are as they were."""
        before = [_state(generator) for generator in self._generators]
        try:
            self.begin(word)
            yield
        finally:
            for generator, state in zip(self._generators, before, strict=True):
                _set_state(generator, state)

    def begin(self, word: int) -> None:
        """Set them by a number, for good."""
        for place, generator in enumerate(self._generators):
            _seed(generator, word + place)

    def state(self) -> bytes:
        """Return what is different after anything was drawn, from a global generator too."""
        torch = sys.modules.get("torch")
        return pickle.dumps(
            (
                random.getstate(),
                np.random.get_state(legacy=False),
                keras_private.get_global_seed_generator() is None,
                None if torch is None else torch.get_rng_state().numpy().tobytes(),
                [_state(generator) for generator in self._generators],
            )
        )


class Kept:
    """What an object's attributes were, to go back to.

    Numbers, texts, generators and containers of them are copied, and arrays up to 64 MiB. Other
    things are shared: files, models, larger arrays.
    """

    def __init__(self, thing: Any) -> None:
        self._attributes = {name: _copied(value) for name, value in _attributes(thing).items()}

    def give_back(self, thing: Any) -> None:
        """Make an object's attributes what they were."""
        attributes = _attributes(thing)
        for name in [name for name in attributes if name not in self._attributes]:
            del attributes[name]
        attributes.update({name: _copied(value) for name, value in self._attributes.items()})

    def is_same(self, other: Kept) -> bool:
        """Return whether another copy is equal, as far as can be told.

        Random generators count as equal: they are set for each batch. Of what is shared only the
        type is compared.
        """
        return _is_same(self._attributes, other._attributes)


def apart(thing: Any) -> Any:
    """Return another object with copies of the attributes, or the thing itself if it has none.

    What one of the two changes in its own attributes, the other does not see; what `Kept` shares,
    they share.
    """
    if not hasattr(thing, "__dict__") or isinstance(thing, Iterator):
        return thing
    other = object.__new__(type(thing))
    Kept(thing).give_back(other)
    return other


def _attributes(thing: Any) -> dict[str, Any]:
    found: dict[str, Any] = getattr(thing, "__dict__", {})
    return found


def _find(thing: Any, found: dict[int, Any], seen: set[int], depth: int) -> None:
    if id(thing) in seen or depth == 0:
        return
    seen.add(id(thing))
    if _is_generator(thing):
        found[id(thing)] = thing
    elif isinstance(thing, dict):
        _find_each(list(thing.values()), found, seen, depth)
    elif isinstance(thing, (list, tuple, set)):
        _find_each(list(thing), found, seen, depth)
    elif _is_open(thing):
        # A tree of layers is deep: each counts once.
        deeper = depth if isinstance(thing, keras.Layer) else depth - 1
        for value in list(_attributes(thing).values()):
            _find(value, found, seen, deeper)


def _find_each(values: list[Any], found: dict[int, Any], seen: set[int], depth: int) -> None:
    if len(values) <= _LONGEST:
        for value in values:
            _find(value, found, seen, depth - 1)


def _is_open(thing: Any) -> bool:
    if isinstance(thing, (type, ModuleType, FunctionType, MethodType)):
        return False
    if isinstance(thing, keras.Model) and getattr(thing, "compiled", False):
        return False
    return type(thing).__module__.partition(".")[0] not in _CLOSED


def _is_generator(thing: Any) -> bool:
    ours = (np.random.Generator, np.random.RandomState, random.Random, keras.random.SeedGenerator)
    return isinstance(thing, ours) or _is_torchs(thing)


def _is_torchs(thing: Any) -> bool:
    kind = type(thing)
    return kind.__module__.partition(".")[0] == "torch" and kind.__name__ == "Generator"


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, keras.random.SeedGenerator):
        return keras.ops.convert_to_numpy(generator.state)
    return generator.get_state()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, keras.random.SeedGenerator):
        generator.state.assign(state)
    else:
        generator.set_state(state)


def _seed(generator: Any, word: int) -> None:
    if isinstance(generator, np.random.Generator):
        own: Any = type(generator.bit_generator)
        generator.bit_generator.state = own(word).state
    elif isinstance(generator, np.random.RandomState):
        generator.seed(word & 0xFFFFFFFF)
    elif isinstance(generator, random.Random):
        generator.seed(word)
    elif isinstance(generator, keras.random.SeedGenerator):
        generator.state.assign([word & 0x7FFFFFFF, 0])
    else:
        generator.manual_seed(word & 0x7FFFFFFF)


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if one is other:
        return True
    if isinstance(one, np.ndarray):
        alike: bool = one.shape == other.shape and one.dtype == other.dtype
        return alike and one.tobytes() == other.tobytes()
    if type(one) is dict:
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, (bool, int, float, complex, str, bytes, set, np.generic)):
        return bool(one == other)
    return True


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy() if value.nbytes <= _LARGE else value
    if type(value) is dict:
        return {name: _copied(inner) for name, inner in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(_copied(inner) for inner in value)
    if _is_generator(value) and not isinstance(value, keras.random.SeedGenerator):
        return copy.deepcopy(value) if not _is_torchs(value) else value
    return value
