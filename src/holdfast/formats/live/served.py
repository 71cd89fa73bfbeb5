"""A model for inference that runs the graph of a SavedModel.

Owns what Keras sees of it: variables, inputs, outputs. Leaves the graph to `graph_running`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras

from holdfast import keras_private
from holdfast.errors import FormatError
from holdfast.formats.graph import operations
from holdfast.formats.graph.served import ServedGraph, Signature
from holdfast.formats.live.graph_running import Running
from holdfast.formats.live.graph_values import DependsOnDataError, tensor
from holdfast.formats.model_file import ModelFile


def serve(file: ModelFile, signature: str | None = None) -> ServedModel:
    """Return a model that computes what a SavedModel serves.

    Args:
        file: open; it has a graph. It may be closed afterwards.
        signature: which of its signatures; None for the one that servers take.

    Raises:
        FormatError: the graph is not sound, or has an operation that Holdfast does not run, which
            is named.
    """
    graph = file.graph
    if not isinstance(graph, ServedGraph):
        raise FormatError(f"{file.path}: expected a SavedModel with a graph, found none.")
    return ServedModel(graph, graph.signature(signature))


class ServedModel(keras.Model):  # type: ignore[misc]
    """A model for inference, whose computation is a graph that TensorFlow wrote.

    It takes a tensor where the signature has one input, and else a dict by the names of the
    inputs; it gives the same way. Its variables do not train, and it cannot be saved.

    Args:
        graph: of the SavedModel.
        signature: what it computes.

    Raises:
        FormatError: the graph is not sound, or has an operation that Holdfast does not run.
    """

    def __init__(self, graph: ServedGraph, signature: Signature) -> None:
        super().__init__(name="served", trainable=False)
        self._signature = signature
        self._wanted = [spec.tensor for spec in signature.outputs.values()]
        operations.check(graph.graph, self._wanted)
        for name, spec in [*signature.inputs.items(), *signature.outputs.items()]:
            if spec.dtype in ("string", "unknown"):
                raise FormatError(
                    f"{graph.name}: {name!r} of the signature {signature.name!r} is of type "
                    f"{spec.dtype}, which Holdfast does not serve. Build the model and load the "
                    "weights with load_weights."
                )
        self._graph = graph.graph
        self._programs: dict[Any, Any] = {}
        self._by_node: dict[str, Any] = {}
        made: dict[int, Any] = {}
        for node, entry in graph.variables(signature).items():
            if id(entry) not in made:
                made[id(entry)] = self.add_weight(
                    shape=entry.shape,
                    initializer="zeros",
                    dtype=entry.dtype,
                    trainable=False,
                    name=entry.name.replace("/", "_"),
                )
                keras_private.set_value(made[id(entry)], entry.read())
            self._by_node[node] = made[id(entry)]
        self.built = True

    @property
    def input_names(self) -> list[str]:
        """The names of what it takes."""
        return list(self._signature.inputs)

    @property
    def output_names(self) -> list[str]:
        """The names of what it gives."""
        return list(self._signature.outputs)

    def build(self, input_shape: Any = None) -> None:
        """Do nothing: all is known from the file."""

    def call(self, inputs: Any) -> Any:
        given = self._given(inputs)
        running = Running(self._graph, self._value, self._programs)
        found = running.run(given, self._wanted)
        named = dict(zip(self._signature.outputs, map(tensor, found), strict=True))
        return next(iter(named.values())) if len(named) == 1 else named

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict as every model does; eagerly, where the graph's loops depend on the data."""
        model: Any = self
        held = [variable.value for variable in model.variables]
        try:
            return super().predict(*args, **kwargs)
        except FormatError as error:
            # Keras on JAX takes the values out of a model while it compiles.
            keras_private.attach(model.variables, held)
            if not isinstance(error, DependsOnDataError) or model.run_eagerly:
                raise
        warnings.warn(
            "What the served graph does next depends on its data, so it is run eagerly, which is "
            "slower.",
            stacklevel=2,
        )
        model.run_eagerly = True
        model.predict_function = None
        return super().predict(*args, **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse.

        Raises:
            FormatError: always.
        """
        raise FormatError(
            "This model is for inference only: its file has no Keras configuration, only the graph "
            "that it serves. To train, build the model and give it the file's weights with "
            "load_weights."
        )

    train_on_batch = fit

    def get_config(self) -> NoReturn:
        """Refuse.

        Raises:
            FormatError: always.
        """
        raise FormatError(
            "This model is for inference only: its file has no Keras configuration, so it cannot "
            "be saved. Keep the SavedModel."
        )

    def _given(self, inputs: Any) -> dict[str, Any]:
        """Return the inputs by the nodes of the graph that stand for them."""
        specs = self._signature.inputs
        if isinstance(inputs, Mapping):
            named = dict(inputs)
        elif len(specs) == 1:
            one = inputs[0] if isinstance(inputs, (list, tuple)) and len(inputs) == 1 else inputs
            named = {next(iter(specs)): one}
        else:
            named = {}
        if set(named) != set(specs):
            given = ", ".join(named) if isinstance(inputs, Mapping) else _kind(inputs)
            raise ValueError(
                f"Expected a dict of inputs by name ({', '.join(specs)}), got {given}."
            )
        return {
            operations.name_of(spec.tensor): keras.ops.convert_to_tensor(named[name], spec.dtype)
            for name, spec in specs.items()
        }

    def _value(self, node: str) -> Any:
        variable = self._by_node.get(node)
        if variable is None:
            raise FormatError(f"{self._graph.name} is not sound: {node!r} is no variable of its.")
        return variable.value


def _kind(inputs: Any) -> str:
    count = f" of {len(inputs)}" if isinstance(inputs, Sequence) else ""
    return f"a {type(inputs).__name__}{count}"
