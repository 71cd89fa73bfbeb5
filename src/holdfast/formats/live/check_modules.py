"""Models that wrap PyTorch's modules: what a file can hold of them.

Owns refusing what a file would lose. Such a layer has Keras's variables for the parameters of its
module, and none for its buffers, such as the running mean of a `BatchNorm`: `.keras` and
`.weights.h5` have the whole state of the module, the other formats have variables alone.
"""

from __future__ import annotations

from typing import Any

import keras

from holdfast import keras_private
from holdfast.errors import FormatError
from holdfast.state import buffers

# The formats in which Keras asks each layer for its state.
_WHOLE = ("keras", "weights.h5")


def check_buffers(model: Any, kind: str) -> None:
    """Refuse a format that would lose buffers.

    Args:
        model: built.
        kind: the format, of a whole model or of weights.

    Raises:
        FormatError: the model has buffers, and the format has no place for them.
    """
    if kind in _WHOLE:
        return
    found = buffers.of(model)
    if found:
        raise FormatError(
            f"{model.name} has {len(found)} buffers of PyTorch modules, {found[0].path} the first, "
            f"and the format {kind!r} holds Keras's variables alone: end the name in '.keras' for "
            "the whole model, or in '.weights.h5' for its weights"
        )


def check(model: Any, kind: str) -> None:
    """Refuse, before a training, what writing a file of the model would fail at in it.

    Args:
        model: built.
        kind: the format, of a whole model or of weights.

    Raises:
        FormatError: the format would lose buffers; or a module has state that is no tensor, or
            cannot be pickled, as it must be for the model's configuration.
    """
    if keras.config.backend() != "torch":
        return
    check_buffers(model, kind)
    wrapper = keras.layers.TorchModuleWrapper
    layers = [layer for layer in keras_private.all_layers(model) if isinstance(layer, wrapper)]
    for layer in layers:
        others = [name for name, value in _state(layer).items() if value.dtype == object]
        if others:
            raise FormatError(
                f"the layer {layer.name!r} of {model.name} wraps a {_kind(layer)}, whose state has "
                f"more than tensors ({', '.join(others)}), which Keras writes to no file"
            )
    if layers and kind != "weights.h5":
        try:
            keras.saving.serialize_keras_object(model)
        except Exception as error:  # what pickling, or a user's own get_config, may raise
            kinds = ", ".join(sorted({_kind(layer) for layer in layers}))
            raise FormatError(
                f"{model.name} wraps PyTorch's modules ({kinds}), and its configuration, which has "
                f"them pickled, cannot be written ({error}). Save its weights alone, in a file "
                "that ends in '.weights.h5'"
            ) from error


def _state(layer: Any) -> dict[str, Any]:
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return store


def _kind(layer: Any) -> str:
    return type(layer.module).__name__
