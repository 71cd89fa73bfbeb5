"""Layers that wrap PyTorch's modules, as they were: what is saved in their place, by one thread.

Owns the copies, and that the thread that writes is given them. Keras saves such a layer by asking
its module, and not its variables: what `StatelessScope` says of these does not count there. A
file would have the values of later steps, and no two of its arrays need be of the same one.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
from numpy.typing import NDArray

from holdfast import keras_private

StandIns = Sequence[tuple[Any, Any]]
"""Layers, each with the one that is saved in its place."""

# By which Keras saves a layer.
_METHODS = ("save_own_variables", "get_config")
_LOCK = threading.Lock()


class _Here(threading.local):
    """What a thread saves in the place of layers, by their `id`."""

    def __init__(self) -> None:
        self.stand_ins: Mapping[int, Any] = {}


_HERE = _Here()


def stand_ins(model: Any, values: Iterable[tuple[Any, NDArray[Any]]]) -> StandIns:
    """Return what stands in for the layers of a model that wrap modules: none, of most models.

    Args:
        model: built.
        values: of its variables and buffers. What else its modules have is copied as it is.
    """
    if keras.config.backend() != "torch":
        return []
    kind = keras.layers.TorchModuleWrapper
    layers = [layer for layer in keras_private.all_layers(model) if isinstance(layer, kind)]
    if not layers:
        return []
    with keras.device("cpu"):
        copies = {id(live.value): _as_live(array, live.value) for live, array in values}
    return [(layer, _stand_in(layer, _copied(layer.module, copies))) for layer in layers]


@contextlib.contextmanager
def standing_in(found: StandIns) -> Iterator[None]:
    """Let this thread save what stands in for layers. Other threads see nothing of it."""
    for layer, _ in found:
        _let_ask(type(layer))
    _HERE.stand_ins = {id(layer): stand_in for layer, stand_in in found}
    try:
        yield
    finally:
        _HERE.stand_ins = {}


class _Copier(pickle.Pickler):
    """Pickles a module but for its tensors, whose copies it notes.

    A module is copied as it is saved: `copy.deepcopy` takes fewer, and keeps apart what is one.
    """

    def __init__(self, file: io.BytesIO, copies: Mapping[int, Any]) -> None:
        super().__init__(file)
        self._copies = copies
        self._kinds = _tensor()
        self._places: dict[int, int] = {}
        self.tensors: list[Any] = []

    def persistent_id(self, found: Any) -> int | None:
        if not isinstance(found, self._kinds):
            return None
        if id(found) not in self._places:
            self._places[id(found)] = len(self.tensors)
            copy = self._copies.get(id(found))
            self.tensors.append(found.detach().clone() if copy is None else copy)
        return self._places[id(found)]


class _Gatherer(pickle.Unpickler):
    """Makes what a `_Copier` pickled."""

    def __init__(self, file: io.BytesIO, tensors: Sequence[Any]) -> None:
        super().__init__(file)
        self._tensors = tensors

    def persistent_load(self, place: int) -> Any:
        return self._tensors[place]


class _State:
    """The state of a module that cannot be pickled: its weights can be saved all the same."""

    def __init__(self, state: Mapping[str, Any], error: Exception) -> None:
        self._state = state
        self._error = error

    def state_dict(self) -> Mapping[str, Any]:
        return self._state

    def __reduce__(self) -> Any:
        raise self._error


def _copied(module: Any, copies: Mapping[int, Any]) -> Any:
    file = io.BytesIO()
    copier = _Copier(file, copies)
    try:
        copier.dump(module)
    except Exception as error:  # what a module of the user's own has may raise anything
        state = module.state_dict(keep_vars=True)
        return _State({key: _copy(value, copies) for key, value in state.items()}, error)
    file.seek(0)
    return _Gatherer(file, copier.tensors).load()


def _copy(value: Any, copies: Mapping[int, Any]) -> Any:
    if not isinstance(value, _tensor()):
        return value
    copy = copies.get(id(value))
    return value.detach().clone() if copy is None else copy


def _as_live(array: NDArray[Any], live: Any) -> Any:
    """Return an array as what a module has in its place: a parameter, or a plain tensor."""
    import torch

    dtype = keras.backend.standardize_dtype(live.dtype)
    made = keras.ops.convert_to_tensor(array, dtype).reshape(live.shape)
    is_parameter = isinstance(live, torch.nn.Parameter)
    return torch.nn.Parameter(made, requires_grad=live.requires_grad) if is_parameter else made


def _stand_in(layer: Any, module: Any) -> Any:
    """Return a layer that has all that another has, but for its module."""
    made = object.__new__(type(layer))
    made.__dict__.update(layer.__dict__)
    made.__dict__["_modules"] = {**layer._modules, "module": module}
    return made


def _let_ask(kind: Any) -> None:
    """Let the methods by which layers of a kind are saved ask what is saved in their place."""
    with _LOCK:
        for name in _METHODS:
            if not hasattr(getattr(kind, name), "asks_for_stand_in"):
                setattr(kind, name, _asking(getattr(kind, name)))


def _asking(method: Any) -> Any:
    @functools.wraps(method)
    def asking(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return method(_HERE.stand_ins.get(id(layer), layer), *args, **kwargs)

    asking.asks_for_stand_in = True  # type: ignore[attr-defined]
    return asking


def _tensor() -> Any:
    import torch

    return torch.Tensor
