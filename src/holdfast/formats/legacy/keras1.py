"""Configurations of Keras 1 made into those of Keras 2, and then of Keras 3.

Owns the arguments and classes that Keras 2 named anew, and models whose first layer merged
others. Leaves what Keras 1 and 2 have in common to `keras2`, and the arrays to `keras1_arrays`.

Source: keras/layers of Keras 1.2.2, and the way Keras 2 read its files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from holdfast.errors import FormatError
from holdfast.formats.legacy import keras1_arrays, keras2
from holdfast.formats.legacy import keras1_names as then
from holdfast.formats.legacy.translation import Adapt, Translation
from holdfast.formats.model_file import Problem
from holdfast.types import Json

Kernels = Literal["tensorflow", "theano"]
"""On which backend Keras 1 trained a model: Theano turned the kernels of convolutions around."""

_Config = dict[str, Json]


def translate(
    config: Json,
    version: str | None,
    custom: Collection[str],
    kernels: Kernels | None = None,
    shapes: Mapping[str, Sequence[tuple[int, ...]]] | None = None,
) -> Translation:
    """Translate a model of Keras 1.

    Args:
        config: as the file has it.
        version: of Keras, as far as the file says: `1`, `1.2.2`.
        custom: the names of what the caller gives.
        kernels: on which backend it was trained.
        shapes: of each layer's arrays, where the file tells.

    Raises:
        FormatError: it has convolutions, and `kernels` was not given; or it is no configuration.
    """
    if kernels not in (None, "tensorflow", "theano"):
        raise FormatError(f"kernels must be 'tensorflow' or 'theano', found {kernels!r}")
    work = _Work(_numbers(version), kernels, _ordering(config, kernels), shapes or {})
    try:
        model = work.model(config, ())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FormatError(f"its configuration is none of Keras 1: {error!r}") from None
    if work.asked and kernels is None:
        raise FormatError(
            f"its layer {work.asked!r} has convolution kernels, and Keras 1 files do not say on "
            "which backend they were trained: Theano turns kernels around. Say which: "
            "kernels='tensorflow' or kernels='theano'"
        )
    found = keras2.translate(model, "2.0.0", custom)
    adapt = {_now(path, found.renamed): one for path, one in work.adapt.items()}
    for path, after in found.adapt.items():
        adapt[path] = _both(adapt[path], after) if path in adapt else after
    counts = {_now(path, found.renamed): count for path, count in work.counts.items()}
    problems = (*work.problems, *found.problems)
    return Translation(found.config, adapt, found.renamed, problems, counts)


@dataclass
class _Work:
    """One translation: what is known of the file, and what is found on the way."""

    version: tuple[int, ...]
    kernels: Kernels | None
    ordering: str
    shapes: Mapping[str, Sequence[tuple[int, ...]]]
    asked: str = ""
    adapt: dict[tuple[str, ...], Adapt] = field(default_factory=dict)
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def model(self, value: Json, path: tuple[str, ...]) -> _Config:
        """Translate a model: a Sequential, or a graph."""
        config = value["config"]
        if value["class_name"] == "Sequential":
            layers = config["layers"] if isinstance(config, dict) else config
            if layers and layers[0]["class_name"] == "Merge":
                return self._merged(layers, path)
            inner = [part for layer in layers for part in _in_a_row(self.layer(layer, path))]
            return {"class_name": "Sequential", "config": inner}
        nodes = [self._node(layer, path) for layer in config["layers"]]
        return {"class_name": "Model", "config": {**config, "layers": _expanded(nodes)}}

    def layer(self, value: Json, path: tuple[str, ...]) -> _Config:
        """Translate a layer, or a model that is used as one."""
        old = value["class_name"]
        if old in ("Sequential", "Model"):
            name = value.get("name") or _name_of(value)
            inner = self.model(value, (*path, name) if name else path)
            if isinstance(inner["config"], list):
                inner["config"] = {"name": name, "layers": inner["config"]}
            return inner
        config = dict(value["config"])
        name = str(config.get("name", value.get("name", "")))
        here = (*path, name)
        kind = then.CLASSES.get(old, old)
        if kind == "Merge":
            return self._merge(config, here)
        if kind in ("TimeDistributed", "Bidirectional"):
            return self._wrapper(kind, config, here)
        self._note(kind, config, here)
        layer = {"class_name": kind, "name": name, "config": self._arguments(kind, config, here)}
        return self._padded(layer, here) if self._pads_otherwise(kind, config) else layer

    def _node(self, value: Json, path: tuple[str, ...]) -> _Config:
        layer = self.layer(value, path)
        return {**layer, "name": value["name"], "inbound_nodes": value["inbound_nodes"]}

    def _wrapper(self, kind: str, config: _Config, here: tuple[str, ...]) -> _Config:
        config["layer"] = self.layer(config["layer"], here)
        config.pop("input_dtype", None)
        if then.PADDING in config["layer"]:
            del config["layer"][then.PADDING]
            self._problem(here, "Theano padded the borders of its layer as no other backend does")
        return {"class_name": kind, "name": here[-1], "config": config}

    def _note(self, kind: str, config: _Config, here: tuple[str, ...]) -> None:
        """Note what becomes of a layer's arrays, and what Keras 3 cannot do."""
        if kind == "BatchNormalization" and config.get("mode", 0) != 0:
            self._problem(here, f"BatchNormalization of mode {config['mode']} is Keras 1's alone")
        if config.get("border_mode") not in (None, "valid", "same"):
            self._problem(here, f"a border mode {config['border_mode']!r} is Theano's alone")
        if kind in keras1_arrays.CONVOLUTIONS:
            self.asked = self.asked or here[-1]
        ordering = then.ORDERINGS.get(str(config.get("dim_ordering")), self.ordering)
        found = keras1_arrays.changes(
            kind, config, ordering, turned=self.kernels == "theano", real_std=self._real_std
        )
        if found is not None:
            self.adapt[here], count = found
            if count is not None:
                self.counts[here] = count

    @property
    def _real_std(self) -> bool:
        return len(self.version) > 1 and self.version <= then.BATCH_NORMALIZATION_STD

    def _pads_otherwise(self, kind: str, config: _Config) -> bool:
        """Return whether Theano padded a layer's borders as no other backend does."""
        same = config.get("border_mode") == "same"
        if self.kernels != "theano" or not same or kind not in keras1_arrays.CONVOLUTIONS:
            return False
        strides = config.get("subsample", config.get("subsample_length", 1))
        ones = all(stride == 1 for stride in (strides if isinstance(strides, list) else [strides]))
        return not ones or any(size % 2 == 0 for size in _kernel_size(config))

    def _padded(self, layer: _Config, here: tuple[str, ...]) -> _Config:
        """Return a layer that pads nothing, with the layer that pads before it.

        Theano put half a kernel before and the rest behind; others put the larger half behind,
        and less where strides leave some out.
        """
        kind, config = layer["class_name"], layer["config"]
        if kind not in then.PADDINGS or config.get("dilation_rate", 1) not in (1, [1, 1]):
            self._problem(here, "Theano padded its borders as no other backend does")
            return layer
        sizes = config["kernel_size"]
        sizes = sizes if isinstance(sizes, list) else [sizes]
        sides = [[size // 2, size - 1 - size // 2] for size in sizes]
        name = f"{here[-1]}_padding"
        padding: _Config = {"name": name, "padding": sides if len(sides) > 1 else sides[0]}
        for key in ("batch_input_shape", "data_format"):
            if key in config:
                padding[key] = config[key]
        config.pop("batch_input_shape", None)
        config["padding"] = "valid"
        before = {"class_name": then.PADDINGS[kind], "name": name, "config": padding}
        return {**layer, then.PADDING: before}

    def _problem(self, here: tuple[str, ...], what: str) -> None:
        self.problems.append(Problem("unsupported", "/".join(here), what))

    def _arguments(self, kind: str, config: _Config, here: tuple[str, ...]) -> _Config:
        """Return a layer's arguments by their names in Keras 2."""
        names = then.EVERYWHERE | then.ARGUMENTS.get(kind, {})
        new = {
            names.get(old, old): value for old, value in config.items() if old not in then.DROPPED
        }
        if size := _kernel_size(config):
            new["kernel_size"] = size if len(size) > 1 else size[0]
        if kind != "InputLayer":
            new.pop("dtype", None)  # of the input, which has its own
        if kind != "Embedding":
            new.pop("input_dim", None)
        if kind in ("Embedding", "MaxoutDense"):
            new.pop("dropout", None)
        if kind == "Conv2DTranspose":
            new.pop("output_shape", None)  # of one batch size: strides and padding say it
        if kind in ("LSTM", "ConvLSTM2D") and "forget_bias_init" in config:
            new["unit_forget_bias"] = config["forget_bias_init"] == "one"
        if kind == "GRU":
            new["reset_after"] = False
        if kind == "BatchNormalization":
            new.pop("mode", None)
        if kind == "PReLU":
            new["shared_axes"] = _shared_axes(self.shapes.get(here[-1]))
        if "data_format" in new or kind in then.ORDERED:
            new["data_format"] = then.ORDERINGS.get(str(new.get("data_format")), self.ordering)
        if kind in ("ZeroPadding2D", "ZeroPadding3D"):
            new["padding"] = _sides(new["padding"])
        for name, value in new.items():
            new[name] = self._object(name, value, here)
        return new

    def _object(self, name: str, value: Json, here: tuple[str, ...]) -> Json:
        """Return an initializer, regularizer or constraint as Keras 2 has it."""
        if name.endswith("_initializer") and isinstance(value, str):
            if value not in then.INITIALIZERS:
                return value
            kind, config = then.INITIALIZERS[value]
            return {"class_name": kind, "config": config}
        if name.endswith("_regularizer") and isinstance(value, dict):
            if not {"l1", "l2"} & set(value):
                self._problem(here, f"the regularizer {value.get('name')!r} is Keras 1's alone")
                return None
            kept = {key: value[key] for key in ("l1", "l2") if key in value}
            return {"class_name": "L1L2", "config": kept}
        if name.endswith("_constraint") and isinstance(value, dict):
            kind, names = then.CONSTRAINTS.get(str(value.get("name")), ("", {}))
            if not kind:
                self._problem(here, f"the constraint {value.get('name')!r} is Keras 1's alone")
                return None
            kept = {new: value[old] for old, new in names.items() if old in value}
            return {"class_name": kind, "config": kept}
        return value

    def _merge(self, config: _Config, here: tuple[str, ...]) -> _Config:
        mode, name = config.get("mode"), here[-1]
        if config.get("mode_type", "raw") != "raw" or mode not in then.MERGES:
            what = "code of Python, which is not run" if config.get("mode_type") else f"{mode!r}"
            unsafe = config.get("mode_type", "raw") == "lambda"
            self.problems.append(
                Problem(
                    "unsafe" if unsafe else "unsupported",
                    "/".join(here),
                    f"it merges by {what}. Pass a layer that does: "
                    f"custom_objects={{{name!r}: layer}}",
                )
            )
            mode = "sum"
        arguments: _Config = {"name": name, "trainable": config.get("trainable", True)}
        if mode == "concat":
            arguments["axis"] = config.get("concat_axis", -1)
        if mode in ("dot", "cos"):
            axes = config.get("dot_axes", -1)
            arguments["axes"] = _axes(axes)
            arguments["normalize"] = mode == "cos"
        return {"class_name": then.MERGES[mode], "name": name, "config": arguments, "mode": mode}

    def _merged(self, layers: list[_Config], path: tuple[str, ...]) -> _Config:
        """Translate a Sequential that merges branches first into a graph."""
        nodes: list[_Config] = []
        inputs: list[list[Json]] = []
        joined = self._branches(layers[0], path, nodes, inputs)
        last = self._chain(layers[1:], path, nodes, joined)
        return {
            "class_name": "Model",
            "config": {
                "name": path[-1] if path else "model",
                "layers": _expanded(nodes),
                "input_layers": inputs,
                "output_layers": [[last, 0, 0]],
            },
        }

    def _branches(
        self, merge: _Config, path: tuple[str, ...], nodes: list[_Config], inputs: list[list[Json]]
    ) -> str:
        """Add what is merged, and the merging layer; return its name."""
        ends: list[list[Json]] = []
        for branch in merge["config"]["layers"]:
            config = branch["config"]
            layers = config if isinstance(config, list) else config["layers"]
            if branch["class_name"] != "Sequential":
                raise ValueError("it merges models that are not Sequential")
            if layers[0]["class_name"] == "Merge":
                start, rest = self._branches(layers[0], path, nodes, inputs), layers[1:]
            else:
                first = layers[0]["config"]
                start, rest = f"{first['name']}_input", layers
                nodes.append(_input_node(start, first))
                inputs.append([start, 0, 0])
            ends.append([self._chain(rest, path, nodes, start), 0, 0])
        layer = self.layer(merge, path)
        nodes.append({**layer, "inbound_nodes": [ends]})
        return str(layer["name"])

    def _chain(
        self, layers: list[_Config], path: tuple[str, ...], nodes: list[_Config], before: str
    ) -> str:
        for value in layers:
            layer = self.layer(value, path)
            for part in _in_a_row(layer):
                part["config"].pop("batch_input_shape", None)
                nodes.append({**part, "inbound_nodes": [[[before, 0, 0]]]})
                before = str(part["name"])
        return before


def _in_a_row(layer: _Config) -> list[_Config]:
    """Return a layer of a Sequential with the one that comes before it, if there is one."""
    kept = {key: value for key, value in layer.items() if key != then.PADDING}
    return [layer[then.PADDING], kept] if then.PADDING in layer else [kept]


def _expanded(nodes: list[_Config]) -> list[_Config]:
    """Return a graph's layers, those that stand for two as two."""
    found: list[_Config] = []
    for node in nodes:
        kept = {key: value for key, value in node.items() if key not in ("mode", then.PADDING)}
        calls = range(len(kept["inbound_nodes"]))
        if then.PADDING in node:
            before = node[then.PADDING]
            found.append({**before, "inbound_nodes": kept["inbound_nodes"]})
            kept["inbound_nodes"] = [[[before["name"], call, 0]] for call in calls]
        if node.get("mode") == "cos":
            # It gave one more dimension than Keras 2's does.
            dot = f"{kept['name']}_dot"
            found.append({**kept, "name": dot, "config": {**kept["config"], "name": dot}})
            kept |= {
                "class_name": "Reshape",
                "config": {"name": kept["name"], "target_shape": [1, -1]},
                "inbound_nodes": [[[dot, call, 0]] for call in calls],
            }
        found.append(kept)
    return found


def _input_node(name: str, first: Mapping[str, Json]) -> _Config:
    config = {
        "name": name,
        "batch_input_shape": first["batch_input_shape"],
        "dtype": first.get("input_dtype", "float32"),
    }
    return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}


def _name_of(value: Json) -> str:
    config = value["config"]
    return str(config.get("name", "")) if isinstance(config, dict) else ""


def _kernel_size(config: Mapping[str, Json]) -> list[int]:
    if "filter_length" in config:
        return [config["filter_length"]]
    return [config[key] for key in then.SIZES if key in config]


def _sides(padding: Json) -> Json:
    """Return the padding of each side; Keras 1 also listed the four sides in a row."""
    if isinstance(padding, dict):
        raise ValueError(f"padding {padding!r}")
    if isinstance(padding, list) and len(padding) == 4:
        return [padding[:2], padding[2:]]
    return padding


def _shared_axes(shapes: Sequence[tuple[int, ...]] | None) -> list[int] | None:
    """Return the axes over which PReLU had one number, which its configuration did not say."""
    alpha = shapes[0] if shapes else ()
    return [axis for axis, size in enumerate(alpha, start=1) if size == 1] or None


def _axes(axes: Json) -> Json:
    if isinstance(axes, list):
        return [axis[0] if isinstance(axis, list) else axis for axis in axes]
    return axes


def _both(first: Adapt, second: Adapt) -> Adapt:
    return lambda arrays: second(first(arrays))


def _now(path: tuple[str, ...], renamed: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    """Return a layer's path by the names it has in Keras 3."""
    return tuple(renamed.get(path[: depth + 1], name) for depth, name in enumerate(path))


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in (version or "").split(".") if part.isdecimal())


def _ordering(config: Json, kernels: Kernels | None) -> str:
    """Return the order of an image's dimensions that the first layer to say so says."""
    waiting: list[Json] = [config]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, dict):
            if part.get("dim_ordering") in then.ORDERINGS:
                return then.ORDERINGS[str(part["dim_ordering"])]
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return "channels_first" if kernels == "theano" else "channels_last"
