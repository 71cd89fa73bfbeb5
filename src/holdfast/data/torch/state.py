"""The state of a loader, as values that a checkpoint keeps, and back.

Owns what stands for tensors and bytes, which a checkpoint has no form for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from holdfast.data.source import State
from holdfast.errors import UnsupportedError

_TENSOR = "torch.Tensor"
_BYTES = "bytes"
_ENDED = "fetcher_ended"
_PLAIN = (list, tuple, set, frozenset)


def kept_state(value: Any, name: str) -> State:
    """Return a state that `state_dict` gave, in arrays, numbers, strings and what nests them.

    It shares no memory with what it came from.

    Raises:
        UnsupportedError: a part of it is of another kind.
    """
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return value
    if isinstance(value, torch.Tensor):
        return {_TENSOR: value.detach().cpu().numpy().copy()}
    if isinstance(value, (bytes, bytearray)):
        return {_BYTES: np.frombuffer(bytes(value), np.uint8)}
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {own: kept_state(part, f"{name}[{own!r}]") for own, part in value.items()}
    if type(value) in _PLAIN:
        return type(value)(kept_state(part, f"{name}[…]") for part in value)
    raise UnsupportedError(
        f"{name} is a {type(value).__module__}.{type(value).__qualname__}; expected numbers, "
        "strings, bytes, tensors, arrays, and lists, tuples, sets and dicts of them. Have the "
        "data set's state_dict give those."
    )


def loaders_state(value: State) -> Any:
    """Return what `load_state_dict` takes, of what `kept_state` returned."""
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return torch.from_numpy(np.array(value[_TENSOR]))
        if set(value) == {_BYTES}:
            return np.asarray(value[_BYTES], np.uint8).tobytes()
        return {own: loaders_state(part) for own, part in value.items()}
    if type(value) in _PLAIN:
        return type(value)(loaders_state(part) for part in value)
    return value.copy() if isinstance(value, np.ndarray) else value


def has_ended_workers(state: State) -> bool:
    """Return whether a worker of a `StatefulDataLoader` has come to the end of its data.

    torchdata has such a worker begin again, unless the data set's own state says that it is
    at its end.
    """
    if isinstance(state, dict):
        return state.get(_ENDED) is True or any(map(has_ended_workers, state.values()))
    return isinstance(state, list) and any(map(has_ended_workers, state))


def is_stateful(thing: Any) -> bool:
    """Return whether a loader or a data set gives its state and takes it again."""
    return all(callable(getattr(thing, name, None)) for name in ("state_dict", "load_state_dict"))
