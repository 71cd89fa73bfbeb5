"""Runs a Keras model: of any file that `load_model` opens, or of a run.

Owns which names a Keras model's inputs and outputs have, and calling it fast. Leaves reading files
to `holdfast.load_model`. Imports Keras: import this module where it is used.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from holdfast.errors import FormatError
from holdfast.judge.rows import LONGEST, in_blocks
from holdfast.judge.signature import Feed, Signature, Tensor
from holdfast.keras_private import made_by


class KerasModel:
    """A model that Keras runs. It may be called from several threads at once.

    Args:
        model: a built `keras.Model`.

    Raises:
        FormatError: it was never built, so that nobody can say what it takes; or it takes texts,
            which only TensorFlow has.
    """

    def __init__(self, model: Any) -> None:
        backend = keras.config.backend()
        self.name = f"Keras on {_SHOWN.get(backend, backend)}"
        self.model = model
        self.signature = signature_of(model)
        texts = [tensor.name for tensor in self.signature.inputs if tensor.dtype == "string"]
        if texts and backend != "tensorflow":
            raise FormatError(
                f"the model takes texts ({texts[0]}), which {self.name} does not: install "
                "TensorFlow and set KERAS_BACKEND=tensorflow"
            )
        prepared = _on_jax if backend == "jax" else _directly
        self._call = prepared(model, self.signature)
        self._longest = _longest(model, self.signature)

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name."""
        return in_blocks(self._call, feed, self._longest)

    def close(self) -> None:
        """Let go of the model."""
        del self.model, self._call


_SHOWN = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


def signature_of(model: Any) -> Signature:
    """Return what a Keras model takes and gives, by the names that exports have too.

    Inputs and outputs are named after the layers they are from, and not after their tensors, whose
    names change when a model is saved. What is a dict in the model has the names of the dict. Of a
    subclassed model, which has no such names, they are `input` and `output`, with numbers where
    there are several.

    Raises:
        FormatError: the model was never built.
    """
    asked = _asked(model)  # first, as it says so where nobody has built the model
    given = _given(model)
    return Signature(
        _tensors(_names(asked, flat(asked), "input"), flat(asked)),
        _tensors(_names(given, flat(given), "output"), flat(given)),
    )


def packed(model: Any, arrays: Sequence[Any]) -> Any:
    """Return inputs in the signature's order as the model's call takes them."""
    asked = _asked(model)
    return keras.tree.pack_sequence_as(asked, list(arrays))


def flat(outputs: Any) -> list[Any]:
    """Return what a model's call gave, in the signature's order."""
    return list(keras.tree.flatten(outputs))


def _asked(model: Any) -> Any:
    """Return the symbolic inputs of a model, as its call takes them."""
    if isinstance(model, keras.Sequential):
        inputs = getattr(model, "inputs", None)  # which raises where there are none
        if not inputs:
            raise FormatError(_UNBUILT)
        return inputs[0] if len(inputs) == 1 else list(inputs)
    try:
        asked = model.input
    except (AttributeError, ValueError):
        asked = None
    if asked is not None:
        return asked
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shape is None:
        raise FormatError(_UNBUILT)
    dtype = model.input_dtype
    if isinstance(shape, dict):
        return {
            name: keras.KerasTensor((None, *part[1:]), dtype, name=name)
            for name, part in shape.items()
        }
    if shape and isinstance(shape[0], list | tuple):
        return [keras.KerasTensor((None, *part[1:]), dtype) for part in shape]
    return keras.KerasTensor((None, *shape[1:]), dtype)


_UNBUILT = (
    "the model was never built, so that nobody can say what it takes: call it once on a batch "
    "before it is saved"
)


def _given(model: Any) -> Any:
    if isinstance(model, keras.Sequential):
        outputs = model.outputs
        return outputs[0] if len(outputs) == 1 else list(outputs)
    try:
        given = model.output
    except (AttributeError, ValueError):
        given = None
    return given if given is not None else model.compute_output_spec(_asked(model))


def _names(structure: Any, parts: list[Any], word: str) -> list[str]:
    if isinstance(structure, dict) and len(structure) == len(parts):
        return [str(name) for name in sorted(structure)]
    names = [name for part in parts if (name := made_by(part)) is not None]
    if len(names) != len(parts):
        several = len(parts) > 1
        names = [f"{word}_{number}" if several else word for number in range(len(parts))]
    return _unique(names)


def _unique(names: list[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        number, new = 1, name
        while new in found:
            new, number = f"{name}_{number}", number + 1
        found.append(new)
    return found


def _tensors(names: list[str], parts: list[Any]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name, (None, *part.shape[1:]), keras.backend.standardize_dtype(part.dtype))
        for name, part in zip(names, parts, strict=True)
    )


# Of a small model this many rows go together; by then calls are no part of the time.
_MOST_ROWS = 4096
# Numbers of one tensor that a processor's cache holds. Blocks beyond that are slower than shorter.
_CACHED = 8 << 20


def _longest(model: Any, signature: Signature) -> int:
    """Return the most rows to run together: more than usual where all tensors stay small."""
    try:
        between = [part for layer in _layers(model) for part in flat(layer.output)]
        largest = max(math.prod(part.shape[1:]) for part in (*signature.inputs, *between))
    except (AttributeError, TypeError, ValueError):  # subclassed, or of any length
        return LONGEST
    rows: int = _CACHED // max(1, largest)
    return max(LONGEST, min(_MOST_ROWS, 1 << rows.bit_length() >> 1))


def _layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model and of the models in it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _on_jax(model: Any, signature: Signature) -> Callable[[Feed], Feed]:
    """Return a compiled call of a block of rows."""
    import jax

    variables = [*model.trainable_variables, *model.non_trainable_variables]

    def forward(values: list[Any], arrays: list[Any]) -> list[Any]:
        # Not stateless_call: it hands `training` to a call that does not take it.
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return flat(model(packed(model, arrays), training=False))

    compiled = jax.jit(forward)
    order = [tensor.name for tensor in signature.inputs]
    names = [tensor.name for tensor in signature.outputs]

    def call(feed: Feed) -> Feed:
        # Asked for each time: Keras's own predict and fit give the variables new arrays.
        values = [variable.value for variable in variables]
        found = compiled(values, [feed[name] for name in order])
        return {name: np.asarray(part) for name, part in zip(names, found, strict=True)}

    return call


def _directly(model: Any, signature: Signature) -> Callable[[Feed], Feed]:
    """Return a call of a block of rows as the backend runs it, one at a time."""
    order = [tensor.name for tensor in signature.inputs]
    names = [tensor.name for tensor in signature.outputs]
    lock = threading.Lock()

    def call(feed: Feed) -> Feed:
        arrays = [keras.ops.convert_to_tensor(feed[name]) for name in order]
        with lock, _without_gradients():
            found = flat(model(packed(model, arrays), training=False))
        return {
            name: keras.ops.convert_to_numpy(part) for name, part in zip(names, found, strict=True)
        }

    return call


def _without_gradients() -> contextlib.AbstractContextManager[Any]:
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    quiet: contextlib.AbstractContextManager[Any] = torch.no_grad()
    return quiet
