"""What a live model is, in the words of files: its configuration, its values, its objects.

Owns asking Keras for them, and the names of edges by which Keras 2 keeps objects in a TensorFlow
checkpoint. Leaves their forms to the modules that write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError
from holdfast.formats.object_graph import GraphBuilder, ObjectGraph

Path = tuple[str, ...]

# What a layer of Keras 3 keeps for itself, and Keras 2 has under no such name.
_OWN = frozenset(
    [
        "_trainable_variables",
        "_non_trainable_variables",
        "_layers",
        "_metrics",
        "_functional",
        "_operations",
        "_operations_by_depth",
        "_losses",
        "_loss_tracker",
        "_compile_metrics",
        "_compile_loss",
        "_inbound_nodes",
        "_outbound_nodes",
        "_nodes",
        "_nodes_by_depth",
        "optimizer",
    ]
)

# Variables that Keras 2 has under other names, by the classes whose they are.
_RENAMED: tuple[tuple[type, Mapping[str, tuple[str, ...]]], ...] = (
    (keras.layers.DepthwiseConv1D, {"kernel": ("depthwise_kernel",)}),
    (keras.layers.DepthwiseConv2D, {"kernel": ("depthwise_kernel",)}),
    (
        keras.layers.Normalization,
        {"adapt_mean": ("mean", "adapt_mean"), "adapt_variance": ("variance", "adapt_variance")},
    ),
)


def configuration(model: Any) -> dict[str, Any]:
    """Return a model's configuration in the form of Keras 3, as JSON.

    Raises:
        FormatError: it has none: a class of the user's that does not say how it is made.
    """
    try:
        config = keras.saving.serialize_keras_object(model)
        found = json.loads(json.dumps(config))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise FormatError(
            f"{model.name}: its configuration cannot be written ({_line(error)}). Save its "
            "weights alone, and build the model in the program that loads them"
        ) from error
    assert isinstance(found, dict)
    return found


def value_of(variable: Any) -> NDArray[Any]:
    """Return a variable's value in the type it is declared with.

    It is not copied where it can be seen as it is. A backend may compute in another type than is
    declared: JAX has no 64 bits where they are not enabled.
    """
    array = np.asarray(keras.ops.convert_to_numpy(variable.value))
    declared = keras.backend.standardize_dtype(variable.dtype)
    return array if array.dtype.name == declared else array.astype(declared)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def objects(model: Any) -> tuple[ObjectGraph, dict[str, NDArray[Any]]]:
    """Return a model's objects as Keras 2 keeps them, and its arrays by their keys."""
    walk = _Walk(model)
    walk.visit(model, ())
    if getattr(model, "compiled", False):
        walk.optimizer(model.optimizer)
    walk.builder.alias(("root",), ())
    return walk.builder.graph(), walk.arrays


class _Walk:
    """A walk over a model's objects that builds the graph of what Keras 2 would find there."""

    def __init__(self, model: Any) -> None:
        self.builder = GraphBuilder()
        self.arrays: dict[str, NDArray[Any]] = {}
        self._prefix = f"{model.name}/"
        self._paths: dict[int, Path] = {}
        # By the variable's `id`, the type that Keras 2 has where it has a wider one.
        self._wider: dict[int, str] = {}

    def visit(self, owner: Any, path: Path) -> None:
        """Add an object, and what is below it, under a path."""
        known = self._paths.get(id(owner))
        if known is not None:
            self.builder.alias(path, known)
            return
        self._paths[id(owner)] = path
        if isinstance(owner, keras.Variable):
            name = owner.path.removeprefix(self._prefix)
            array = value_of(owner)
            array = array.astype(self._wider.get(id(owner), array.dtype), copy=False)
            self.arrays[self.builder.variable(path, name)] = array
            return
        if isinstance(owner, keras.layers.Normalization):
            self._wider |= {id(v): "int64" for v in owner.weights if v.dtype == "int32"}
        if isinstance(owner, keras.layers.BatchNormalization):
            self._wider |= {id(v): "float32" for v in owner.weights if "float16" in v.dtype}
        self.builder.node(path)
        for names, child in _children(owner):
            first, *others = ((*path, name) for name in names)
            self.visit(child, first)
            for other in others:
                self.builder.alias(other, first)

    def optimizer(self, optimizer: Any) -> None:
        """Add an optimizer of Keras 3 as the newer ones of Keras 2 list their variables.

        They have the learning rate apart, and nothing for a slot that a variable does not have.
        """
        if not type(optimizer).__module__.startswith("keras."):
            return
        rates = [v for v in optimizer.variables if v.path == f"{optimizer.name}/learning_rate"]
        rate = value_of(rates[0]) if rates else np.float32(_rate(optimizer))
        steps = value_of(optimizer.iterations).astype(np.int64)
        name = "_learning_rate" if rates else "_current_learning_rate"
        self.arrays[self.builder.variable(("optimizer", name), name[1:])] = np.asarray(rate)
        self.arrays[self.builder.variable(("optimizer", "_iterations"), "iteration")] = steps
        listed = ("optimizer", "_variables")
        self.builder.alias((*listed, "0"), ("optimizer", "_iterations"))
        for number, slot in enumerate(slots_of(optimizer), start=1):
            key = self.builder.variable((*listed, str(number)), slot.path)
            self.arrays[key] = value_of(slot)


def slots_of(optimizer: Any) -> list[Any]:
    """Return an optimizer's slots in the order of its variables, without placeholders.

    What Keras 3 has besides is not named after the optimizer, or is the steps and the rate.
    """
    beside = {f"{optimizer.name}/iteration", f"{optimizer.name}/learning_rate"}
    return [
        variable
        for variable in optimizer.variables
        if variable.path.startswith(f"{optimizer.name}/") and variable.path not in beside
    ]


def _rate(optimizer: Any) -> float:
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _children(owner: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what an object has, each with the names under which Keras 2 would have it."""
    if isinstance(owner, dict):
        yield from (((str(name),), part) for name, part in owner.items() if _holds(part))
        return
    if isinstance(owner, (list, tuple)):
        yield from (((str(place),), part) for place, part in enumerate(owner) if _holds(part))
        return
    if isinstance(owner, keras.Model) and (found := _steps(owner)) is not None:
        with_weights = 0
        for number, layer in enumerate(found):
            names = [f"layer-{number}"]
            if getattr(layer, "weights", None):
                names.insert(0, f"layer_with_weights-{with_weights}")
                with_weights += 1
            yield tuple(names), layer
    own = type(owner).__module__.startswith("keras.")
    if own and isinstance(owner, keras.Model):
        return
    for name, value in vars(owner).items():
        if name not in _OWN and _holds(value):
            yield _names(owner, name, value), value


def _steps(model: Any) -> list[Any] | None:
    """Return the layers of a functional model or a `Sequential`, in order; None of another one."""
    if isinstance(model, keras.Sequential):
        return list(model.layers)
    operations = getattr(model, "operations", None)
    return None if operations is None else list(operations)


def _names(owner: Any, name: str, value: Any) -> tuple[str, ...]:
    if not type(owner).__module__.startswith("keras."):
        return (name,)
    for kind, renamed in _RENAMED:
        if isinstance(owner, kind) and name in renamed:
            return renamed[name]
    return (name.lstrip("_") if isinstance(value, keras.Variable) else name,)


def _holds(value: Any) -> bool:
    """Return whether there are layers or variables in a value."""
    if isinstance(value, (keras.Variable, keras.Layer)):
        return True
    if isinstance(value, dict):
        return any(_holds(part) for part in value.values())
    return isinstance(value, (list, tuple)) and any(_holds(part) for part in value)
