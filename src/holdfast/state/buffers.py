"""Buffers of PyTorch modules, such as the running mean of a `BatchNorm`, in the way of variables.

Owns finding them and giving them values. Keras makes variables of the parameters of modules that
`TorchModuleWrapper` wraps, and not of their buffers, which steps change too.
"""

from __future__ import annotations

from typing import Any

import keras
from numpy.typing import NDArray

from holdfast import keras_private


class Buffer:
    """A buffer of a module: what of a Keras variable saving and restoring need.

    Args:
        module: of PyTorch.
        name: of the buffer in it.
        path: of the buffer in the model.
    """

    def __init__(self, module: Any, name: str, path: str) -> None:
        self._module = module
        self._name = name
        self.path = path

    @property
    def value(self) -> Any:
        """The tensor that the module has now: it may replace it by another."""
        return getattr(self._module, self._name)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape)

    @property
    def dtype(self) -> str:
        return str(keras.backend.standardize_dtype(self.value.dtype))

    def assign(self, array: NDArray[Any]) -> None:
        """Give it a value."""
        self.value.detach().copy_(keras.ops.convert_to_tensor(array))


def of(model: Any) -> list[Buffer]:
    """Return the buffers of a model that its modules save: what they call persistent."""
    if keras.config.backend() != "torch":
        return []
    found, seen = [], set()
    for layer in keras_private.all_layers(model):
        for prefix, module in layer.named_modules():
            if id(module) in seen:
                continue
            seen.add(id(module))
            for name, value in module._buffers.items():
                if value is not None and name not in module._non_persistent_buffers_set:
                    path = "/".join(part for part in (layer.path, prefix, name) if part)
                    found.append(Buffer(module, name, path))
    return found


def wrapped(model: Any) -> list[Any]:
    """Return the modules of PyTorch that layers of a model wrap."""
    if keras.config.backend() != "torch":
        return []
    wrapper = keras.layers.TorchModuleWrapper
    return [layer.module for layer in keras_private.all_layers(model) if isinstance(layer, wrapper)]


def cannot_keep(model: Any) -> list[str]:
    """Return which modules within a model have state that is no tensor, a phrase for each."""
    found = []
    for outer in wrapped(model):
        for module in outer.modules():
            kind: Any = type(module)
            plain = next(base for base in kind.__mro__ if base.__module__.startswith("torch."))
            if kind.get_extra_state is not plain.get_extra_state:
                found.append(f"{kind.__qualname__}.get_extra_state()")
    return found
