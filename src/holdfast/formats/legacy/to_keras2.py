"""Configurations of Keras 3 written as those of Keras 2.15, in a dialect that Keras 3 reads too.

Owns the dialect and what cannot be said in it. Leaves the arrays and the file to `live`, and
the other direction to `keras2`.

Both libraries read HDF5 through old code, each with its own habits; where they differ, what is
here suits both:

* A layer has `module`, without which Keras 3 takes strings such as `dot` for functions; an
  `InputLayer` has none, so that Keras 3 looks for `batch_input_shape`.
* Keras 2 counts the calls of a nested functional model from 1 and Keras 3 from 0. Each call is
  written twice, so that both find the call meant under its number; the other is called by nobody.
* A nested `Sequential` has no `InputLayer`: then both count its calls from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.types import Json

_FUNCTIONAL = "keras.src.models.functional"
_MODELS = frozenset(["Functional", "Sequential"])
_OWN = "holdfast>"
_OLD_HARD_SIGMOID = "holdfast>old_hard_sigmoid"

# Classes that both have, with the same numbers for the same arguments, and that order a layer's
# arrays alike.
_LAYERS = frozenset(
    """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional
    CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
    Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense
    DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell
    GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply
    Normalization PReLU Permute RNN RandomContrast RandomFlip RandomRotation RandomTranslation
    RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D
    SimpleRNN SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
    StackedRNNCells Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """.split()  # noqa: SIM905
)

# Layers of Keras 2 that Holdfast has for Keras 3, under their old names.
_OWN_LAYERS = frozenset(["LocallyConnected1D", "LocallyConnected2D", "ThresholdedReLU"])

_OBJECTS = frozenset(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones
    Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm
    CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay
    PolynomialDecay
    """.split()  # noqa: SIM905
)

# Activations by the names that Keras 3 writes, and those of Keras 2.
_ACTIVATIONS = {
    name: name
    for name in """
    elu exponential gelu linear mish relu selu sigmoid softmax softplus softsign tanh
    """.split()  # noqa: SIM905
} | {"silu": "swish", "swish": "swish"}
_ACTIVATION_KEYS = frozenset(["activation", "recurrent_activation"])

_ANY = object()
"""Where an argument makes no difference to what is computed."""

# Arguments that Keras 2 does not have, with the value that means what Keras 2 does.
_ONLY_KERAS_3: Mapping[str, Any] = {
    "antialias": False,
    "autocast": True,
    "bounding_box_format": None,
    "data_format": _ANY,  # of layers where Keras 2 has one, it is kept: see `_NO_DATA_FORMAT`
    "fill_value": 0.0,
    "flash_attention": _ANY,
    "gate": False,
    "gptq_unpacked_column_size": None,
    "gradient_accumulation_steps": None,
    "input_axes": None,
    "lora_alpha": _ANY,
    "lora_rank": None,
    "loss_scale_factor": None,
    "optional": False,
    "output_axes": None,
    "quantization_config": None,
    "rms_scaling": False,
    "sliding_window": None,
    "use_cudnn": _ANY,
    "use_gate": False,
}

# Arguments that only these layers of Keras 2 lack.
_ONLY_KERAS_3_OF: Mapping[str, Mapping[str, Any]] = {
    "AdditiveAttention": {"score_mode": _ANY},
    "BatchNormalization": {"renorm": False, "renorm_clipping": _ANY, "renorm_momentum": _ANY},
    "ConvLSTM1D": {"seed": _ANY},
    "ConvLSTM2D": {"seed": _ANY},
    "ConvLSTM3D": {"seed": _ANY},
    "MultiHeadAttention": {"seed": _ANY},
    "RandomContrast": {"value_range": _ANY},
    "Resizing": {"pad_to_aspect_ratio": False, "fill_mode": _ANY},
    "SimpleRNN": {"seed": _ANY},
}

_NO_DATA_FORMAT = frozenset(
    """
    CenterCrop RandomContrast RandomFlip RandomRotation RandomTranslation RandomZoom Resizing
    ZeroPadding1D
    """.split()  # noqa: SIM905
)

_RENAMED: Mapping[str, Mapping[str, str]] = {
    "InputLayer": {"batch_shape": "batch_input_shape"},
    "LeakyReLU": {"negative_slope": "alpha"},
}

# Defaults that the dialect leaves out: Keras 3 would take the string for the function of its name.
_LEFT_OUT = {"Attention": {"score_mode": "dot"}}


@dataclass
class Dialect:
    """What became of a configuration.

    Args:
        config: as both read it; of no use where there are `reasons`.
        reasons: why Keras 2 cannot read it, in words, each naming the layer.
    """

    config: Json
    reasons: list[str] = field(default_factory=list)


def to_keras2(config: Json) -> Dialect:
    """Return the configuration of a model as Keras 2.15 and Keras 3 both read it.

    Args:
        config: as `keras.saving.serialize_keras_object` gives it, as JSON.
    """
    writer = _Writer()
    whole = writer.model(config, outermost=True)
    return Dialect(whole, list(dict.fromkeys(writer.reasons)))


def schedule_of_keras2(config: Json) -> tuple[Json, list[str]]:
    """Return a schedule of the learning rate as both read it, and why Keras 2 cannot."""
    writer = _Writer()
    writer.where = "the learning rate"
    return writer.object(config), writer.reasons


class _Writer:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.where = "the model"

    def refuse(self, what: str) -> None:
        self.reasons.append(f"{self.where}: {what}")

    def model(self, part: Json, *, outermost: bool = False) -> Json:
        """Return a model, or the layer that takes its place."""
        kind, config = part["class_name"], part["config"]
        if kind not in _MODELS or part.get("registered_name") not in (None, kind):
            self.refuse(f"Keras 2 has no {part.get('registered_name') or kind}")
            return None
        name = config["name"]
        if kind == "Sequential":
            layers = [self.layer(layer) for layer in config["layers"]]
            if not outermost:
                layers = [layer for layer in layers if layer and layer["class_name"] != _INPUT]
            inner: dict[str, Any] = {"name": name, "layers": layers}
        else:
            inner = self._functional(config)
        # A model alone says nothing more; its class is found by name, whatever the module.
        found = {"class_name": kind, "config": inner}
        return found if outermost else {"module": _module(kind), **found, "registered_name": None}

    def layer(self, part: Json) -> Json:
        """Return a layer; something that is none where Keras 2 has no such one."""
        kind, config = part["class_name"], part["config"]
        if kind in _MODELS:
            return self.model(part)
        self.where = f"{kind} {config.get('name', '')!r}"
        module, registered = part.get("module"), part.get("registered_name")
        if registered == f"{_OWN}{kind}" and kind in _OWN_LAYERS:
            head = {"module": module, "class_name": kind, "registered_name": registered}
        elif kind in _LAYERS and module == "keras.layers":
            head = {"module": module, "class_name": kind, "registered_name": None}
        else:
            self.refuse(f"Keras 2 has no {registered or kind}")
            return None
        if kind == _INPUT:
            head = {"class_name": kind}
        return {**head, "config": self._arguments(kind, config)}

    def _functional(self, config: Json) -> dict[str, Any]:
        names = {part["name"]: part["class_name"] for part in config["layers"]}
        doubled = {name for name, kind in names.items() if kind == "Functional"}
        layers = []
        for part in config["layers"]:
            made = self.layer(part)
            self.where = f"{part['class_name']} {part['name']!r}"
            nodes = [self._node(node, doubled) for node in part["inbound_nodes"]]
            if part["name"] in doubled:
                nodes = [node for node in nodes for _ in range(2)]
            layers.append({**(made or {}), "name": part["name"], "inbound_nodes": nodes})
        self.where = f"the model {config['name']!r}"
        ends = {
            key: self._ends(config[key], doubled if key == "output_layers" else set(), key)
            for key in ("input_layers", "output_layers")
        }
        trainable = bool(config.get("trainable", True))
        return {"name": config["name"], "trainable": trainable, "layers": layers, **ends}

    def _ends(self, ends: Json, doubled: set[str], key: str) -> Json:
        """Return the inputs or outputs of a model.

        In these, Keras 3 counts the calls of a nested model from 1, as Keras 2 always does.
        """
        if _is_end(ends):
            name, node, tensor = ends
            return [name, 2 * node - 1 if name in doubled else node, tensor]
        if isinstance(ends, dict):
            # Keras 2 reads a dict as well, and gives it to the functional model as it is.
            return {name: self._ends(end, doubled, key) for name, end in ends.items()}
        return [self._ends(end, doubled, key) for end in ends]

    def _node(self, node: Json, doubled: set[str]) -> Json:
        """Return one call of a layer: for each tensor its layer, the call, the output."""
        args, keywords = node["args"], _keywords(node["kwargs"])
        first = args[0] if len(args) == 1 else None
        tensors = first if isinstance(first, list) else [first]
        histories = [_history(tensor) for tensor in tensors]
        if None in histories or any(map(_has_tensor, keywords.values())):
            self.refuse("it is called with tensors in a way that only Keras 3 can write down")
            return []
        return [
            [name, 2 * index + 1 if name in doubled else index, output, keywords]
            for name, index, output in (history for history in histories if history)
        ]

    def _arguments(self, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a layer's arguments: those that Keras 2 has, in its form."""
        found: dict[str, Any] = {}
        own = _ONLY_KERAS_3_OF.get(kind, {})
        for key, value in config.items():
            if key in own or (key in _ONLY_KERAS_3 and self._unknown(kind, key)):
                neutral = own[key] if key in own else _ONLY_KERAS_3[key]
                if neutral is not _ANY and value != neutral:
                    self.refuse(f"Keras 2 has no {key}={value!r}")
                continue
            left_out = _LEFT_OUT.get(kind, {})
            if key in left_out and left_out[key] == value:
                continue
            found[_RENAMED.get(kind, {}).get(key, key)] = self._value(key, value)
        return found

    def _unknown(self, kind: str, key: str) -> bool:
        return key != "data_format" or kind in _NO_DATA_FORMAT

    def _value(self, key: str, value: Any) -> Json:
        if key in _ACTIVATION_KEYS:
            return self._activation(value)
        if key == "dtype":
            return self._dtype(value)
        if isinstance(value, list):
            return [self._value("", part) for part in value]
        if not isinstance(value, dict):
            return value
        if "class_name" not in value or "config" not in value:
            return {name: self._value(name, part) for name, part in value.items()}
        if key in ("layer", "backward_layer", "cell", "cells", "") and "name" in value["config"]:
            return self._inner(value)
        return self.object(value)

    def _inner(self, value: Json) -> Json:
        where = self.where
        made = self.layer(value)
        self.where = where
        return made

    def object(self, value: Json) -> Json:
        """Return an initializer, a regularizer, a constraint or a schedule."""
        kind = value["class_name"]
        module = value.get("module") or ""
        if kind not in _OBJECTS or not module.startswith("keras."):
            self.refuse(f"Keras 2 has no {value.get('registered_name') or kind}")
            return None
        config = {
            key: self._value(key, part)
            for key, part in value["config"].items()
            if not (key in _ONLY_KERAS_3 and part == _ONLY_KERAS_3[key])
        }
        return {"module": module, "class_name": kind, "config": config, "registered_name": None}

    def _activation(self, value: Any) -> Json:
        if isinstance(value, str) and value in _ACTIVATIONS:
            return _ACTIVATIONS[value]
        if isinstance(value, dict):
            if _OLD_HARD_SIGMOID in (value.get("registered_name"), value.get("config")):
                # Keras 2 calls what its module has under the name of the class: `get`. Keras 3 goes
                # by what is registered, and refuses the file where Holdfast is not imported.
                return {
                    "module": "holdfast.layers",
                    "class_name": "get",
                    "config": {"identifier": "hard_sigmoid"},
                    "registered_name": _OLD_HARD_SIGMOID,
                }
            inner = value.get("config")
            if value.get("class_name") in _LAYERS and isinstance(inner, dict):
                return self._inner(value)
            value = inner if isinstance(inner, str) else value.get("class_name")
        if value is None:
            return None
        self.refuse(f"Keras 2 has no activation {value!r} that computes the same")
        return None

    def _dtype(self, value: Any) -> Json:
        if isinstance(value, dict):
            if value.get("class_name") != "DTypePolicy":
                self.refuse(f"Keras 2 has no {value.get('class_name')}")
                return None
            value = value["config"]["name"]
        return value


_INPUT = "InputLayer"


def _module(kind: str) -> str:
    return _FUNCTIONAL if kind == "Functional" else "keras"


def _is_end(ends: Json) -> bool:
    return isinstance(ends, list) and len(ends) == 3 and isinstance(ends[0], str)


def _keywords(kwargs: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a layer is called with besides its inputs, without what says nothing."""
    return {
        name: value for name, value in kwargs.items() if value is not None and name != "mask"
    } | {name: value for name, value in kwargs.items() if name == "mask" and _has_tensor(value)}


def _history(tensor: Json) -> tuple[str, int, int] | None:
    if isinstance(tensor, dict) and tensor.get("class_name") == "__keras_tensor__":
        name, node, output = tensor["config"]["keras_history"]
        return name, node, output
    return None


def _has_tensor(value: Json) -> bool:
    return any(_history(part) is not None for part in _parts(value))


def _parts(value: Json) -> Iterator[Json]:
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from _parts(part)
