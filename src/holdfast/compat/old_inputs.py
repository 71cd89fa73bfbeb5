"""What layers and models are told of their inputs and weights, in older words.

Owns `batch_input_shape=`, `input_length=`, `weights=` and others that every layer took, and
`Model(input=, output=)`. Leaves the arguments of each class to `old_layers`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from holdfast import keras_private
from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches
from holdfast.compat.translating import Arguments, rename, standing_for, translate
from holdfast.errors import PlanError
from holdfast.layers import AddLoss

CONSUME = Old(
    "recurrent layers' consume_less=",
    "Keras 2.4",
    "nothing",
    "dropped: it changes no number",
)
WITHOUT = Old(
    "layers' implementation=, fused=, virtual_batch_size=, time_major=False",
    "Keras 3.0",
    "nothing",
    "dropped: they change no number",
)
BATCH_SHAPE = Old(
    "layers' batch_input_shape= and batch_size=",
    "Keras 3.0",
    "keras.Input(batch_shape=…) as the first layer",
    "the Sequential model's input has the fixed batch size",
)
LENGTH = Old(
    "recurrent layers' and Conv1D's input_dim=, input_length=",
    "Keras 3.0",
    "keras.Input((length, dim)) as the first layer",
    "taken as the input's shape",
)
INPUT_DTYPE = Old(
    "layers' input_dtype=, but of InputLayer",
    "Keras 2.4",
    "keras.Input(…, dtype=)",
    "dropped: the data's own type counts",
)
WEIGHTS = Old(
    "layers' weights=",
    "Keras 3.0",
    "layer.set_weights(…) once it is built",
    "the layer begins with them",
)
ADD_LOSS = Old(
    "layer.add_loss(loss, inputs=)",
    "Keras 3.0",
    "layer.add_loss(loss)",
    "dropped: the loss is of the call that adds it",
)
ADD_WEIGHT = Old(
    "add_weight('kernel', shape) of layers and metrics",
    "Keras 3.0",
    "add_weight(name='kernel', shape=shape)",
    "taken so",
)
MODEL_LOSS = Old(
    "model.add_loss(tensor)",
    "Keras 3.0",
    "layer.add_loss in the call of a layer of the model",
    "adds it by a layer after the model's output, as Keras 2 did (holdfast.layers.AddLoss)",
)
INPUTS = Old(
    "Model(input=, output=)",
    "Keras 2.4",
    "Model(inputs=, outputs=)",
    "renamed",
)

_NOTHING = {
    "consume_less": CONSUME,
    "fused": WITHOUT,
    "virtual_batch_size": WITHOUT,
    "implementation": WITHOUT,
}


def put(patches: Patches) -> None:
    """Let layers and models take what they took."""
    _put_every_layer(patches)
    _put_models(patches)


def _put_every_layer(patches: Patches) -> None:
    """Let all layers take what all layers took."""
    layer = keras.layers.Layer
    plain = layer.__init__

    @standing_for(plain)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        weights = kwargs.pop("weights", None)
        for word in kwargs.keys() & _NOTHING.keys():
            met(_NOTHING[word])
            del kwargs[word]
        if kwargs.get("time_major") is False:
            met(WITHOUT)
            del kwargs["time_major"]
        _input(self, kwargs)
        size = kwargs.pop("batch_size", None)
        with warnings.catch_warnings():
            # It works, and is said once a layer, of this line instead of the program's.
            warnings.filterwarnings("ignore", "Do not pass an `input_shape`")
            plain(self, *args, **kwargs)
        if size is not None and ("input_shape" in kwargs or "input_dim" in kwargs):
            met(BATCH_SHAPE)
            shape = kwargs.get("input_shape") or (kwargs["input_dim"],)
            self.holdfast_batch_shape = (size, *shape)
        if weights is not None:
            met(WEIGHTS)
            _begin_with(self, weights)

    patches.set(layer, "__init__", init)
    translate(patches, layer, "add_loss", _of_add_loss)
    for owner in (layer, keras.metrics.Metric):
        translate(patches, owner, "add_weight", _of_add_weight)


def _input(layer: Any, kwargs: dict[str, Any]) -> None:
    """Translate what a layer is told of its input."""
    if "input_dtype" in kwargs:
        met(INPUT_DTYPE)
        del kwargs["input_dtype"]
    if "input_length" in kwargs or ("input_dim" in kwargs and _is_over_time(layer)):
        met(LENGTH)
        length, dim = kwargs.pop("input_length", None), kwargs.pop("input_dim", None)
        if dim is not None:
            kwargs["input_shape"] = (length, dim)
    if "batch_input_shape" in kwargs:
        met(BATCH_SHAPE)
        kwargs["batch_size"], *shape = kwargs.pop("batch_input_shape")
        kwargs["input_shape"] = tuple(shape)


def _of_add_loss(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    if "inputs" in kwargs or len(args) > 1:
        met(ADD_LOSS)
        kwargs.pop("inputs", None)
    return args[:1], kwargs


def _of_add_weight(owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    if args and isinstance(args[0], str):
        met(ADD_WEIGHT)
        kwargs |= dict(zip(["name", "shape"], args, strict=False))
        args = ()
    return args, kwargs


def _is_over_time(layer: Any) -> bool:
    kinds = (keras.layers.RNN, keras.layers.Conv1D, keras.layers.SeparableConv1D)
    return isinstance(layer, kinds)


def _begin_with(layer: Any, arrays: Sequence[Any]) -> None:
    """Give a layer its weights as soon as it has variables for them."""
    build = layer.build

    @functools.wraps(build)
    def built(*args: Any, **kwargs: Any) -> None:
        build(*args, **kwargs)
        shapes = [tuple(variable.shape) for variable in layer.weights]
        found = [tuple(getattr(array, "shape", ())) for array in arrays]
        if shapes != found:
            raise PlanError(
                f"{type(layer).__name__}(weights=…) should be arrays of the shapes {shapes}, "
                f"found {found}"
            )
        for variable, array in zip(layer.weights, arrays, strict=True):
            keras_private.start_with(variable, array)

    layer.build = built


def _put_models(patches: Patches) -> None:
    """Let models take their inputs as they took them."""
    sequential, model = keras.Sequential, keras.Model
    add, new = sequential.add, model.__new__

    @functools.wraps(add)
    def added(self: Any, layer: Any, *args: Any, **kwargs: Any) -> None:
        shape = getattr(layer, "holdfast_batch_shape", None)
        if shape is not None and keras_private.is_empty(self):
            add(self, keras.layers.InputLayer(batch_shape=shape), *args, **kwargs)
        add(self, layer, *args, **kwargs)

    # Which class is made depends on the arguments.
    def made(kind: type, *args: Any, **kwargs: Any) -> Any:
        return new(kind, *args, **_functional(None, args, kwargs)[1])

    patches.set(sequential, "add", added)
    patches.set(keras_private.Functional, "add_loss", _add_loss)
    patches.set(model, "__new__", staticmethod(made))
    for kind in (keras_private.Functional, model):
        translate(patches, kind, "__init__", _functional)


def _add_loss(self: Any, loss: Any, inputs: Any = None) -> None:
    """Add a tensor of a model to its losses, by a layer after its first output."""
    met(MODEL_LOSS)
    for part in loss if isinstance(loss, (list, tuple)) else [loss]:
        first, *others = self.outputs
        outputs = [AddLoss()(first, part), *others]
        starts = self.inputs if len(self.inputs) > 1 else self.inputs[0]
        ends = outputs if others else outputs[0]
        # The model itself is another now, which the program goes on with.
        keras_private.Functional.__init__(self, starts, ends, name=self.name)


def _functional(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    rename(kwargs, "input", "inputs", INPUTS)
    rename(kwargs, "output", "outputs", INPUTS)
    return args, kwargs


ROWS = (
    CONSUME,
    WITHOUT,
    BATCH_SHAPE,
    LENGTH,
    INPUT_DTYPE,
    WEIGHTS,
    INPUTS,
    ADD_LOSS,
    ADD_WEIGHT,
    MODEL_LOSS,
)
