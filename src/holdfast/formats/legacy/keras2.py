"""Configurations of Keras 2.0 to 2.15 made into those of Keras 3.

Owns which class stands for which, and the models that are a list of layers. Leaves graphs to
`functional`, a layer's arguments to `layer_configs`, TensorFlow's operations to `operations`.

Only the names in `arguments` and those the caller gave get through. What a file says of modules,
of registered names that nobody gave, of building and of compiling is not looked at.
"""

from __future__ import annotations

from collections.abc import Collection

from holdfast.errors import FormatError
from holdfast.formats.legacy import arguments, cudnn, functional, layer_configs, values
from holdfast.formats.legacy.context import Context, Place, given, legal, made
from holdfast.formats.legacy.translation import Translation
from holdfast.formats.legacy.wrappers import own_name
from holdfast.types import Json

_NEWEST = (2, 15)

_TENSORFLOW_ONLY = {
    "AbstractRNNCell": "it is a cell of the program's own",
    "DenseFeatures": "it reads TensorFlow's feature columns, which Keras 3 does not have",
    "ClassMethod": "it calls a method of a TensorFlow class",
    "InstanceMethod": "it calls a method of a ragged or sparse tensor, which needs TensorFlow",
    "InstanceProperty": "it reads a part of a ragged or sparse tensor, which needs TensorFlow",
}


def translate(config: Json, version: str | None, custom: Collection[str] = ()) -> Translation:
    """Make a configuration of Keras 2 one that Keras 3 takes.

    Args:
        config: of a model, as HDF5, `.keras` or a SavedModel's metadata have it.
        version: of Keras that wrote it, or None where the file does not say.
        custom: the names under which the caller gives classes and functions.

    Raises:
        FormatError: it is no configuration of a model.
    """
    context = Context(_numbers(version), custom)
    plain = values.plain(config)
    if not isinstance(plain, dict) or not isinstance(plain.get("class_name"), str):
        raise FormatError("the configuration names no class")
    made_config = _Translator(context).part(plain, Place())
    return Translation(
        made_config,
        context.adapt,
        context.renamed,
        tuple(context.problems),
        left_out=tuple(context.left_out),
    )


def _numbers(version: str | None) -> tuple[int, ...]:
    parts = (version or "").replace("-", ".").split(".")[:2]
    return tuple(int(part) for part in parts) if all(map(str.isdecimal, parts)) else _NEWEST


class _Translator:
    """Translates the parts of one configuration, which may lie within each other."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def part(self, spec: Json, place: Place) -> Json:
        """Return a layer or a model as Keras 3 takes it, or something empty and a problem."""
        if not isinstance(spec, dict) or not isinstance(spec.get("class_name"), str):
            raise FormatError(f"{place}: one of its layers names no class")
        name, config = spec["class_name"], spec.get("config")
        bare = name.rpartition(">")[2]
        if found := self._context.given(spec.get("registered_name"), name, bare):
            return self._given(found, config, place)
        name = arguments.OTHER_NAMES.get(name, name)
        if name == "Sequential":
            return self._sequential(spec, place)
        if not isinstance(config, dict):
            raise FormatError(f"{place}: the configuration of a {name} is {config!r:.60}")
        if name in arguments.MODELS and "layers" in config:
            return self._functional(config, place)
        if name == "InputLayer":
            return layer_configs.input_layer(config, self._context, place)
        if name in arguments.LAYERS or name in arguments.OWN_LAYERS or name in cudnn.PLAIN:
            return layer_configs.layer(name, config, self._context, place, self.part)
        if name == "Lambda":
            return self._lambda(config, place)
        self._refuse(str(name), bare, config, place)
        return made("keras.layers", "Identity", {"name": legal(own_name(spec))})

    def _refuse(self, name: str, bare: str, config: Json, place: Place) -> None:
        if name in _TENSORFLOW_ONLY:
            self._context.unsupported(place, f"it is a {name}: {_TENSORFLOW_ONLY[name]}")
        elif not place.old and not config.get("layers"):
            self._context.unsupported(
                place,
                f"it is of the class {bare!r} and has no configuration of layers. Give the class: "
                f"custom_objects={{{bare!r}: {bare}}}, or build it by its own program and load "
                "the weights into it: holdfast.load_weights(model, path)",
            )
        else:
            self._context.unsupported(
                place,
                f"it is of the class {bare!r}, which Keras 3 does not have. If it is yours, pass "
                f"it: custom_objects={{{bare!r}: {bare}}}",
            )

    def _given(self, name: str, config: Json, place: Place) -> Json:
        if not isinstance(config, dict):
            raise FormatError(f"{place}: the configuration of a {name} is {config!r:.60}")
        if "input_layers" in config and "layers" in config:
            return given(name, self._functional(config, place)["config"])
        return layer_configs.custom(name, config, self._context, place, self.part)

    def _lambda(self, config: Json, place: Place) -> Json:
        """Return a Lambda whose function the caller gives by the layer's name."""
        name = place.old[-1] if place.old else "lambda"
        if not self._context.given(name):
            self._context.problem(
                place,
                "it is a Lambda, whose code would have to be run from the file. Pass what it "
                f"computes: custom_objects={{{name!r}: function}}",
                "unsafe",
            )
        kept = {
            "name": place.new[-1] if place.new else legal(name),
            "trainable": bool(config.get("trainable", True)),
            "dtype": values.policy(config.get("dtype")) or "float32",
            "function": given("function", name),
            "arguments": config.get("arguments") or {},
        }
        return made("keras.layers", "Lambda", kept)

    def _functional(self, config: Json, place: Place) -> Json:
        for key in ("input_layers", "output_layers"):
            if not isinstance(config.get(key), (list, dict)):
                raise FormatError(f"{place}: the configuration of a model has no {key}")
        if not isinstance(config["layers"], list):
            raise FormatError(f"{place}: the layers of a model are {config['layers']!r:.60}")
        return functional.model(
            config, self._context, place, self.part, self._own(config.get("name"), "model", place)
        )

    def _sequential(self, spec: Json, place: Place) -> Json:
        config = spec.get("config")
        # Until Keras 2.2.2 the layers alone.
        config = config if isinstance(config, dict) else {"layers": config}
        specs = config.get("layers")
        if not isinstance(specs, list) or not all(isinstance(each, dict) for each in specs):
            raise FormatError(f"{place}: the layers of a Sequential are {specs!r:.60}")
        olds = [own_name(each) for each in specs]
        named = [old for old in olds if old]
        if len(set(named)) != len(named):
            raise FormatError(f"{place}: two of its layers have the same name")
        names = self._context.names(place, olds)
        layers = [
            self.part(each, place.inner(old, names[old]))
            for each, old in zip(specs, olds, strict=True)
        ]
        if specs and (entrance := _entrance(specs[0], set(names.values()))):
            layers.insert(0, entrance)
        return made(
            "keras",
            "Sequential",
            {
                "name": self._own(config.get("name"), "sequential", place),
                "trainable": bool(config.get("trainable", True)),
                "layers": layers,
                "build_input_shape": _built_on(spec, config),
            },
        )

    def _own(self, old: Json, otherwise: str, place: Place) -> str:
        """Return a model's own name, which within another is the one that the other gave it."""
        if place.new:
            return place.new[-1]
        new = legal(old) if isinstance(old, str) else otherwise
        if isinstance(old, str) and new != old:
            self._context.renamed[()] = new
        return new


def _entrance(first: Json, taken: Collection[str]) -> Json | None:
    """Return the input that a Sequential's first layer tells of, where it is no layer itself."""
    if first["class_name"] == "InputLayer":
        return None
    shape, dtype = _input_of(first)
    if shape is None:
        return None
    name = legal(own_name(first)) + "_input"
    while name in taken:
        name += "_"
    config = {"batch_shape": shape, "dtype": dtype, "sparse": False, "ragged": False, "name": name}
    return made("keras.layers", "InputLayer", config)


def _input_of(spec: Json) -> tuple[list[int | None] | None, str]:
    """Return the shape and type of what a layer or model is called on, where it says so."""
    config = spec.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    if isinstance(layers, list) and layers and isinstance(layers[0], dict):
        if isinstance(config, dict) and "input_layers" in config:
            inputs = [each for each in layers if each.get("class_name") == "InputLayer"]
            return _input_of(inputs[0]) if len(inputs) == 1 else (None, "float32")
        return _input_of(layers[0])
    if not isinstance(config, dict):
        return None, "float32"
    return values.shape(config.get("batch_input_shape")), values.variable_dtype(config.get("dtype"))


def _built_on(spec: Json, config: Json) -> list[int | None] | None:
    built = spec.get("build_config")
    for shape in (
        config.get("build_input_shape"),
        spec.get("build_input_shape"),
        built.get("input_shape") if isinstance(built, dict) else None,
    ):
        if found := values.shape(shape):
            return found
    return None
