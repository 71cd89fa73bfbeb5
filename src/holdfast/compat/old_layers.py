"""Layers told in older words: `Dense(output_dim=64, init="uniform")`, `Conv2D(32, 3, 3)`.

Owns the arguments that classes of layers have, and the functions that make layers. Leaves which
word of Keras 1 is which of today to `formats.legacy.keras1_names`, and what all layers are told
of their inputs and weights to `old_inputs`.

What today's Keras takes with the meaning it had is left alone. Two numbers after the filters of a
`Conv2D` are today a size and a stride, and were the two sizes: they are what they were where the
layer is called by its old name, or has another argument of Keras 1.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from holdfast import keras_private
from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches
from holdfast.compat.translating import Arguments, rename, translate
from holdfast.errors import UnsupportedError
from holdfast.formats.legacy import keras1_names as then
from holdfast.formats.legacy.arguments import OTHER_OBJECT_NAMES
from holdfast.formats.legacy.objects import kind_of
from holdfast.layers import old_hard_sigmoid

_KERAS_1 = "Keras 2.4"


def _renamed() -> dict[str, Old]:
    """Return a row for each argument that has another name today."""
    names: dict[str, dict[str, None]] = {}
    for table in (*then.ARGUMENTS.values(), then.EVERYWHERE, _NORMALIZATION, _RESHAPE):
        for old, new in table.items():
            names.setdefault(old, {})[new] = None
    return {
        old: Old(f"layers' {old}=", _KERAS_1, ", ".join(f"{new}=" for new in new), "renamed")
        for old, new in sorted(names.items())
    }


_NORMALIZATION = {"beta_init": "beta_initializer", "gamma_init": "gamma_initializer"}
_RESHAPE = {"dims": "target_shape"}
_RENAMED = _renamed()
SIZES = Old(
    "Convolution2D(n, rows, columns), nb_row=, nb_col=, kernel_dim1=",
    _KERAS_1,
    "Conv2D(n, (rows, columns))",
    "taken as the kernel's size, of layers that have an old name or other old arguments",
)
CLASSES = Old(
    "AtrousConvolution2D, Deconvolution2D, TimeDistributedDense and the like",
    _KERAS_1,
    "Conv2D, Conv2DTranspose, Dense",
    "makes the layer of today; output_shape= is left to strides and padding",
)
MERGE = Old(
    "merge([...], mode=)",
    "Keras 2.2",
    "keras.layers.concatenate, add, multiply, …",
    "merges by the layer of today; a function as mode by a Lambda",
)
MODE = Old(
    "BatchNormalization(mode=)",
    _KERAS_1,
    "nothing",
    "mode=0 is dropped; others are refused, since today's does what that one did",
)
EMBEDDING_DROPOUT = Old(
    "Embedding(dropout=)",
    "Keras 2.0",
    "SpatialDropout1D after the layer",
    "ignored, as in Keras 2",
)
LENGTH = Old(
    "Embedding(input_length=)",
    "Keras 3.0",
    "keras.Input((length,)) as the first layer",
    "taken as the input's shape",
)
FORGET = Old(
    "LSTM(forget_bias_init=)",
    _KERAS_1,
    "unit_forget_bias=",
    'taken as true where it is "one"',
)
STRINGS = Old(
    "'maxnorm', 'nonneg', 'unitnorm', 'l1_l2' as a constraint or regularizer",
    "Keras 3.0",
    "'max_norm', 'non_neg', 'unit_norm', keras.regularizers.L1L2(0.01, 0.01)",
    "taken as today's",
)
NUMBERS = Old(
    "layers with numpy's integers, as in Dense(np.max(y) + 1)",
    "Keras 3.13",
    "Dense(int(np.max(y)) + 1)",
    "taken as Python's",
)

_STRINGS = frozenset(["maxnorm", "nonneg", "unitnorm", "l1_l2"])
_DIMENSIONS = {
    "Conv2D": 2,
    "Conv2DTranspose": 2,
    "SeparableConv2D": 2,
    "DepthwiseConv2D": 2,
    "LocallyConnected2D": 2,
    "ConvLSTM2D": 2,
    "Conv3D": 3,
    "Conv3DTranspose": 3,
}
# Old names that today's Keras has, as aliases, and that say of two numbers what they are.
_ALIASES = ("Convolution2D", "Convolution3D", "SeparableConvolution2D")
_POSITIONS = ("init", "activation", "weights", "border_mode", "subsample")


def put(patches: Patches) -> None:
    """Let layers take what they took."""
    for kind in _kinds():
        translate(patches, kind, "__init__", functools.partial(_of_layer, kind, _words(kind)))
    for module in keras_private.modules("layers"):
        for old in (*then.CLASSES, *_ALIASES):
            if old in _ALIASES or old not in vars(module):
                new = then.CLASSES.get(old, old.replace("Convolution", "Conv"))
                patches.set(module, old, _by_old_name(old, getattr(module, new)))
        if "merge" not in vars(module):
            patches.set(module, "merge", merge)


def merge(
    inputs: Sequence[Any],
    mode: str | Callable[[Sequence[Any]], Any] = "sum",
    concat_axis: int = -1,
    dot_axes: Any = -1,
    output_shape: Any = None,
    output_mask: Any = None,
    arguments: dict[str, Any] | None = None,
    name: str | None = None,
    **kwargs: Any,
) -> Any:
    """Merge tensors as the function of Keras 1 did.

    Args:
        inputs: the tensors.
        mode: `sum`, `mul`, `concat`, `ave`, `cos`, `dot`, `max`, or a function of their list.
        concat_axis, dot_axes: for these modes.
        output_shape, arguments: of a function.
        output_mask: has no effect.
        name: of the layer.

    Raises:
        UnsupportedError: a mode that there was not.
    """
    met(MERGE)
    if callable(mode):
        layer = keras.layers.Lambda(
            mode,
            output_shape=None if callable(output_shape) else output_shape,
            arguments=arguments,
            name=name,
        )
        return layer(list(inputs))
    if mode not in then.MERGES:
        raise UnsupportedError(
            f"merge(mode={mode!r}) is none of {', '.join(then.MERGES)}, nor a function"
        )
    told: dict[str, Any] = {"name": name}
    if mode == "concat":
        told["axis"] = concat_axis
    if mode in ("dot", "cos"):
        told |= {"axes": dot_axes, "normalize": mode == "cos"}
    merged = getattr(keras.layers, then.MERGES[mode])(**told)(list(inputs))
    # Of the cosine it gave one more dimension.
    return keras.layers.Reshape((1, -1))(merged) if mode == "cos" else merged


def _kinds() -> list[type]:
    base = keras.layers.Layer
    found = [value for value in vars(keras.layers).values() if isinstance(value, type)]
    return [
        kind
        for kind in dict.fromkeys(found)
        if issubclass(kind, base) and kind is not base and "__init__" in vars(kind)
    ]


def _words(kind: type) -> dict[str, str]:
    """Return the old names of a layer's arguments, with today's."""
    name = kind.__name__
    words = then.EVERYWHERE | then.ARGUMENTS.get(name, {})
    words |= {"BatchNormalization": _NORMALIZATION, "Reshape": _RESHAPE}.get(name, {})
    known = inspect.signature(kind).parameters
    return {old: new for old, new in words.items() if new in known and old not in known}


def _of_layer(
    kind: type,
    words: dict[str, str],
    layer: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    by_old_name: bool = False,
) -> Arguments:
    """Translate the arguments of one class of layers."""
    name = kind.__name__
    args, kwargs = tuple(map(_number, args)), {key: _number(kwargs[key]) for key in kwargs}
    old = by_old_name or not words.keys().isdisjoint(kwargs)
    args, kwargs = _sizes(_DIMENSIONS.get(name, 0), args, kwargs, old=old)
    for word, new in words.items():
        if word in kwargs:
            kwargs[word] = _value(word, kwargs[word])
            rename(kwargs, word, new, _RENAMED[word])
    if name == "SeparableConv2D" and old and "depthwise_initializer" in kwargs:
        kwargs.setdefault("pointwise_initializer", kwargs["depthwise_initializer"])
    if kwargs.get("data_format") == "default":
        del kwargs["data_format"]
    _of_one_kind(name, kwargs)
    for key, value in kwargs.items():
        if isinstance(value, str) and value in _STRINGS and kind_of(key):
            met(STRINGS)
            kwargs[key] = _object(value)
    return args, kwargs


def _number(value: Any) -> Any:
    if not isinstance(value, np.integer):
        return value
    met(NUMBERS)
    return int(value)


def _object(name: str) -> Any:
    if name == "l1_l2":
        return keras.regularizers.L1L2(0.01, 0.01)  # more than the class's own defaults
    return getattr(keras.constraints, OTHER_OBJECT_NAMES[name])()


def _of_one_kind(name: str, kwargs: dict[str, Any]) -> None:
    """Translate what is more than another name."""
    if name == "BatchNormalization" and "mode" in kwargs:
        met(MODE)
        mode = kwargs.pop("mode")
        if mode != 0:
            raise UnsupportedError(
                f"BatchNormalization(mode={mode!r}) is Keras 1's alone: today's does what mode=0 "
                "did"
            )
    if name == "Embedding" and "input_length" in kwargs:
        met(LENGTH)
        length = kwargs.pop("input_length")
        if "batch_input_shape" not in kwargs:
            kwargs.setdefault("input_shape", (length,))
    if name == "Embedding" and "dropout" in kwargs:
        met(EMBEDDING_DROPOUT)
        del kwargs["dropout"]
    if "forget_bias_init" in kwargs:
        met(FORGET)
        kwargs["unit_forget_bias"] = kwargs.pop("forget_bias_init") == "one"


def _value(word: str, value: Any) -> Any:
    if word == "dim_ordering":
        return then.ORDERINGS.get(value, value)
    if word == "inner_activation" and value == "hard_sigmoid":
        return old_hard_sigmoid
    return value


def _sizes(
    dimensions: int, args: tuple[Any, ...], kwargs: dict[str, Any], *, old: bool
) -> Arguments:
    """Gather a kernel's sizes, which were an argument each."""
    words = [word for word in then.SIZES if word in kwargs]
    if not dimensions or not (old or words):
        return args, kwargs
    given = args[1 : 1 + dimensions - len(words)]
    sizes = (*given, *(kwargs[word] for word in words))
    if len(sizes) != dimensions or not all(isinstance(size, int) for size in sizes):
        return args, kwargs
    met(SIZES)
    for word in words:
        del kwargs[word]
    # What stands behind the sizes was in another order than today.
    rest = dict(zip(_POSITIONS, args[1 + len(given) :], strict=False))
    return args[:1], {**rest, **kwargs, "kernel_size": sizes}


def _by_old_name(old: str, kind: type) -> Callable[..., Any]:
    """Return what makes a layer that is called by its old name."""
    words = _words(kind)

    def make(*args: Any, **kwargs: Any) -> Any:
        if old not in _ALIASES:
            met(CLASSES)
        if kind.__name__ == "Conv2DTranspose":
            kwargs.pop("output_shape", None)
            args = tuple(arg for place, arg in enumerate(args) if place < 3 or _is_no_shape(arg))
        args, kwargs = _of_layer(kind, words, None, args, kwargs, by_old_name=True)
        return kind(*args, **kwargs)

    make.__name__ = old
    return make


def _is_no_shape(value: Any) -> bool:
    return not isinstance(value, (tuple, list))


ROWS = (
    *_RENAMED.values(),
    SIZES,
    CLASSES,
    MERGE,
    MODE,
    EMBEDDING_DROPOUT,
    LENGTH,
    FORGET,
    STRINGS,
    NUMBERS,
)
