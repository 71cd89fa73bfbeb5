"""The configuration of one layer of Keras 2 as Keras 3 takes it, with the same numbers.

Owns arguments: which are kept, renamed, dropped or refused, and what an absent one meant then.
Leaves which class stands for which to `keras2`, and what lies within an argument to `objects`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.formats.legacy import arguments, cudnn, objects, values, wrappers
from holdfast.formats.legacy.context import Context, Place, given, made
from holdfast.types import Json

Make = Callable[[Json, Place], Json]
"""Translates a layer or model within another: (its configuration, where it is)."""

_ACTIVATIONS = ("activation", "recurrent_activation")
_INNER = ("layer", "backward_layer", "cell")


def layer(class_name: str, config: Json, context: Context, place: Place, make: Make) -> Json:
    """Return a layer that `arguments` has, as Keras 3 takes it.

    Args:
        class_name: a key of `LAYERS` or `OWN_LAYERS`, or `CuDNNLSTM` or `CuDNNGRU`.
        config: its arguments, by their names in Keras 2.
        context: gathers what cannot be kept.
        place: of the layer, its own name included.
        make: translates layers within it.
    """
    if class_name in cudnn.PLAIN:
        class_name, config = cudnn.plain(class_name, config, context, place)
    own = _is_own(class_name, config)
    accepted = arguments.OWN_LAYERS[class_name] if own else arguments.LAYERS[class_name]
    config = _as_it_meant(class_name, dict(config), context, place)
    kept: dict[str, Json] = {}
    for key, value in config.items():
        if key in accepted:
            kept[key] = _argument(key, value, context, place, make)
        elif not _without_effect(key, value):
            context.unsupported(
                place, f"the argument {key}={value!r:.60} of a {class_name} has no equal in Keras 3"
            )
    if kept.get("dtype", "") is None:
        del kept["dtype"]
    if place.new:
        kept["name"] = place.new[-1]
    wrappers.lift(class_name, config, context, place)
    if own:
        return made("holdfast.layers", class_name, kept, f"holdfast>{class_name}")
    return made("keras.layers", class_name, kept)


def _is_own(class_name: str, config: Json) -> bool:
    """Return whether the layer is Holdfast's: Keras 3 has none, or not one that does this."""
    if class_name == "SeparableConv1D":
        return bool(config.get("padding") == "causal")
    if class_name == "Bidirectional":
        return wrappers.uneven(config)
    if class_name == "MultiHeadAttention":
        return config.get("value_dim") not in (None, config.get("key_dim"))
    return class_name in arguments.OWN_LAYERS


def custom(name: str, config: Json, context: Context, place: Place, make: Make) -> Json:
    """Return a layer of a class that the caller gives; what lies within it is translated too."""
    kept = {
        key: _within(value, context, place, make)
        for key, value in config.items()
        if key not in ("batch_input_shape", "dtype", "dynamic")
    }
    if dtype := values.policy(config.get("dtype")):
        kept["dtype"] = dtype
    if place.new:
        kept["name"] = place.new[-1]
    return given(name, kept)


def input_layer(config: Json, context: Context, place: Place) -> Json:
    """Return an input, as Keras 3 takes it."""
    shape = values.shape(config.get("batch_input_shape", config.get("batch_shape")))
    if shape is None and isinstance(config.get("input_shape"), list):
        shape = values.shape([None, *config["input_shape"]])
    if shape is None:
        context.unsupported(place, "this input has no shape")
    if config.get("ragged"):
        context.unsupported(place, "this input is ragged, which only TensorFlow can compute")
    return made(
        "keras.layers",
        "InputLayer",
        {
            "batch_shape": shape,
            "dtype": values.variable_dtype(config.get("dtype")),
            "sparse": bool(config.get("sparse")),
            "ragged": False,
            "name": place.new[-1],
        },
    )


def _argument(key: str, value: Json, context: Context, place: Place, make: Make) -> Json:
    if key in _ACTIVATIONS:
        if isinstance(value, dict) and _is_layer(value):
            return make(value, place)
        return objects.activation(value, context, place)
    if kind := objects.kind_of(key):
        return objects.object_of(kind, value, context, place)
    if key == "activity_regularizer":
        return objects.object_of("regularizer", value, context, place)
    if key == "dtype":
        return values.policy(value)
    if key in _INNER:
        return None if value is None else _inner(value, place, make)
    if key == "cells":
        return [_inner(cell, place, make) for cell in value or []]
    return value


def _inner(spec: Json, place: Place, make: Make) -> Json:
    """Translate a layer within a wrapper. A model there keeps its name in the path; a layer's is
    of no use, because its arrays are the wrapper's."""
    return make(spec, wrappers.within(spec, place))


def _within(value: Json, context: Context, place: Place, make: Make) -> Json:
    if isinstance(value, list):
        return [_within(item, context, place, make) for item in value]
    if not isinstance(value, dict):
        return value
    if objects.is_object(value):
        return objects.any_object(value, context, place)
    if isinstance(value.get("class_name"), str) and "config" in value:
        if value["class_name"] == "function":
            return objects.activation(value, context, place)
        return _inner(value, place, make)
    return {key: _within(item, context, place, make) for key, item in value.items()}


def _is_layer(value: Json) -> bool:
    name = value.get("class_name")
    return arguments.OTHER_NAMES.get(name, name) in arguments.LAYERS


def _without_effect(key: str, value: Json) -> bool:
    return value is None or value is False or key in arguments.WITHOUT_EFFECT


def _as_it_meant(
    class_name: str, config: dict[str, Json], context: Context, place: Place
) -> dict[str, Json]:
    """Write what Keras 2 took for granted or said in other words."""
    if class_name.startswith(("LSTM", "GRU", "ConvLSTM")):
        _recurrent(class_name, config, context)
    for names, change in _CHANGES:
        if class_name in names:
            change(config, context, place)
    return config


def _recurrent(class_name: str, config: dict[str, Json], context: Context) -> None:
    if class_name.startswith("GRU"):
        config.setdefault("reset_after", False)
    # Until Keras 2.2, and for convolutions until the last of Keras 2, this was the default.
    old = class_name.startswith("ConvLSTM") or context.version < (2, 3)
    config.setdefault("recurrent_activation", "hard_sigmoid" if old else "sigmoid")


def _batch_normalization(config: dict[str, Json], context: Context, place: Place) -> None:
    axis = config.get("axis")
    if isinstance(axis, list):
        if len(axis) == 1:
            config["axis"] = axis[0]
        else:
            context.unsupported(place, f"it normalizes over the axes {axis}, and Keras 3 over one")
    if (policy := values.policy(config.get("dtype"))) in ("float16", "bfloat16"):
        # It kept its variables in float32 all the same.
        config["dtype"] = f"mixed_{policy}"


def _leaky_relu(config: dict[str, Json], context: Context, place: Place) -> None:
    if "alpha" in config:
        config["negative_slope"] = config.pop("alpha")
    config.setdefault("negative_slope", 0.3)


def _upsampling(config: dict[str, Json], context: Context, place: Place) -> None:
    known = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
    if (how := config.get("interpolation", "nearest")) not in known:
        context.unsupported(
            place, f"it interpolates by {how!r}; Keras 3 only by {', '.join(known)}"
        )


def _one_group(config: dict[str, Json], context: Context, place: Place) -> None:
    # Every convolution had the argument in Keras 2, those that never split among them.
    if (groups := config.pop("groups", 1)) not in (1, None):
        context.unsupported(place, f"it has groups={groups!r}, which Keras 3 takes only of Conv")


def _srelu(config: dict[str, Json], context: Context, place: Place) -> None:
    for name in ("t_left", "a_left", "t_right", "a_right"):
        if f"{name}_init" in config:
            config[f"{name}_initializer"] = config.pop(f"{name}_init")


def _spatial_dropout(config: dict[str, Json], context: Context, place: Place) -> None:
    config.pop("noise_shape", None)


def _category_encoding(config: dict[str, Json], context: Context, place: Place) -> None:
    if "max_tokens" in config:
        config.setdefault("num_tokens", config.pop("max_tokens"))
    if config.get("output_mode") == "binary":
        config["output_mode"] = "multi_hot"


def _discretization(config: dict[str, Json], context: Context, place: Place) -> None:
    if "bins" in config:
        bins = config.pop("bins")
        config.setdefault("bin_boundaries" if isinstance(bins, list) else "num_bins", bins)


def _lookup(config: dict[str, Json], context: Context, place: Place) -> None:
    for words in ("vocabulary", "idf_weights"):
        if isinstance(config.get(words), str):
            context.problem(place, f"its {words} is the name of another file", "unsafe")
            config[words] = None
    if config.get("output_mode") == "binary":
        config["output_mode"] = "multi_hot"
    # What the file's arrays bring is told apart from what the configuration brings elsewhere.
    if config.get("dtype") not in (None, "int64", "float32", "string"):
        config["dtype"] = values.policy(config["dtype"])


def _stacked_cells(config: dict[str, Json], context: Context, place: Place) -> None:
    if config.pop("reverse_state_order", False):
        context.unsupported(place, "its states are in reverse order, which Keras 3 cannot do")


def _recurrent_of_cells(config: dict[str, Json], context: Context, place: Place) -> None:
    cell = config.get("cell")
    if isinstance(cell, list):
        config["cell"] = {"class_name": "StackedRNNCells", "config": {"cells": cell}}
    if config.pop("num_constants", None):
        context.unsupported(place, "its cell takes constants, which Keras 3 cannot give it")


def _attention(config: dict[str, Json], context: Context, place: Place) -> None:
    # Said of the layer until Keras 2.9; `functional` says it of the call.
    config.pop("causal", None)


_NEVER_IN_GROUPS = (
    "Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D DepthwiseConv2D "
    "SeparableConv1D SeparableConv2D ConvLSTM1D ConvLSTM2D ConvLSTM3D"
)

_CHANGES: tuple[tuple[frozenset[str], Callable[[dict[str, Any], Context, Place], None]], ...] = (
    (frozenset(["BatchNormalization"]), _batch_normalization),
    (frozenset(["LeakyReLU"]), _leaky_relu),
    (frozenset(["UpSampling2D"]), _upsampling),
    (frozenset(_NEVER_IN_GROUPS.split()), _one_group),
    (
        frozenset(["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"]),
        _spatial_dropout,
    ),
    (frozenset(["SReLU"]), _srelu),
    (frozenset(["CategoryEncoding"]), _category_encoding),
    (frozenset(["Discretization"]), _discretization),
    (frozenset(["StringLookup", "IntegerLookup", "TextVectorization"]), _lookup),
    (frozenset(["StackedRNNCells"]), _stacked_cells),
    (frozenset(["RNN", "LSTM", "GRU", "SimpleRNN"]), _recurrent_of_cells),
    (frozenset(["Attention", "AdditiveAttention"]), _attention),
)
