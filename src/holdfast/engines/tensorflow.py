"""Steps on TensorFlow, compiled as Keras's trainer compiles them.

Owns how a step is traced and called, and what of its state nobody can keep. Leaves batches, and
which step comes when, to `stepwise`.

A step is traced with the size of its batches left open, as Keras's trainer has it. So a whole batch
and a last partial one go through the same graph, whichever of them a process sees first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import tree
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.data.source import Tree
from holdfast.engines.base import Logs
from holdfast.engines.watch import Watch
from holdfast.errors import UnsupportedError
from holdfast.state import variables

Outcome = tuple[Logs, Any]
"""The logs of a step, and what was seen of it or None."""

_READS = frozenset({"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape"})


class TensorFlowSteps:
    """Takes single steps. See `engines.stepwise.Steps`.

    Args:
        model: compiled and built.
        watch: whether to see each step's loss and gradient norm.

    Raises:
        UnsupportedError: the model is one of a `tf.distribute` strategy.
    """

    def __init__(self, model: Any, *, watch: bool) -> None:
        _refuse_strategy(model)
        self._model = model
        self._watch = Watch(model) if watch else None
        self._train = _Traced(model, self._train_step)
        self._test = _Traced(model, self._test_step)
        self._seen: Any = None
        self._last: Logs = {}
        self.how = "each step a tf.function"
        if model.run_eagerly:
            self.how = "nothing compiled, as run_eagerly says"
        elif model.jit_compile:
            self.how += ", compiled by XLA"

    def train(self, batch: Tree) -> Logs:
        """Take a training step on a batch of numpy arrays; returns its logs."""
        self._last, self._seen = self._train(batch)
        return self._last

    def test(self, batch: Tree) -> Logs:
        """Take an evaluation step on a batch of numpy arrays; returns its logs."""
        self._last, _ = self._test(batch)
        return self._last

    def seen(self, logs: Logs) -> Any | None:
        """Return loss and gradient norm of the step just taken, if they are watched."""
        return self._seen

    def value(self, variable: Any) -> Any:
        """Return a variable's value as it is now.

        It is no copy: TensorFlow gives a variable other memory while someone holds this one.
        """
        return variable.value.read_value()

    def copy(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """Copy values to memory of the host that nothing else uses."""
        return [np.array(value) for value in values]

    def rest(self) -> None:
        """There is no mode that steps and hooks differ in."""

    def wait(self) -> None:
        """Wait until the device has done what it was sent."""
        for value in tree.flatten(self._last):
            if isinstance(value, tf.Tensor):
                value.numpy()

    def _train_step(self, batch: Tree) -> Outcome:
        if self._watch is None:
            return self._model.train_step(batch), None
        with self._watch.listening():
            logs = self._model.train_step(batch)
            return logs, self._watch.seen(logs)

    def _test_step(self, batch: Tree) -> Outcome:
        return self._model.test_step(batch), None


class _Traced:
    """A step that is traced with the first batch and not before, as in Keras.

    Until then hooks may change what it reads.

    Args:
        model: whose step it is, and which says how to compile it.
        step: takes a batch of tensors.
    """

    def __init__(self, model: Any, step: Callable[[Tree], Outcome]) -> None:
        self._model = model
        self._eager = bool(model.run_eagerly)
        self._is_traced = self._eager
        self._step: Any = step
        if not self._eager:
            self._step = tf.function(
                tf.autograph.experimental.do_not_convert(step),
                reduce_retracing=True,
                jit_compile=model.jit_compile,
            )

    def __call__(self, batch: Tree) -> Outcome:
        if self._eager:
            batch = tree.map_structure(tf.convert_to_tensor, batch, none_is_leaf=False)
        if not self._is_traced:
            self._trace(batch)
        outcome: Outcome = self._step(batch)
        return outcome

    def _trace(self, batch: Tree) -> None:
        def opened(array: NDArray[Any]) -> Any:
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        specs = tree.map_structure(opened, batch, none_is_leaf=False)
        graph = self._step.get_concrete_function(specs).graph
        self._is_traced = True
        for sentence in _not_kept(self._model, graph):
            warnings.warn(sentence, stacklevel=2)


def _refuse_strategy(model: Any) -> None:
    # Outside of every strategy's scope this is the one that distributes nothing.
    if (
        tf.distribute.has_strategy()
        or model.distribute_strategy is not tf.distribute.get_strategy()
    ):
        raise UnsupportedError(
            "the model is to be trained under a tf.distribute strategy "
            f"({type(model.distribute_strategy).__name__}); Run.fit trains on one device. Make the "
            "model, compile it and call Run.fit outside of the strategy's scope."
        )


def _not_kept(model: Any, graph: Any) -> Iterator[str]:
    """Yield a sentence on each kind of state that a traced step changes, and nobody can keep."""
    drawn = sorted(_random_operations(graph))
    if drawn:
        yield (
            f"a step draws random numbers by {', '.join(drawn)} of TensorFlow, which keep their "
            "state to themselves: a run that was interrupted goes on with other numbers there. "
            "Draw them by keras.random with a keras.random.SeedGenerator that the layer keeps."
        )
    own = {id(variable.value) for group in variables.groups(model) for variable in group}
    generator = keras_private.get_global_seed_generator()
    if generator is not None:
        own.add(id(generator.state.value))
    others = [v.name for v in graph.variables if id(v) not in own and _is_written(graph, v)]
    if others:
        yield (
            f"a step changes {', '.join(others)}, which the model does not know as variables of "
            "its own: they are not kept, and a run that was interrupted goes on with them as the "
            "program makes them. Make them by add_weight(..., trainable=False) of a layer."
        )


def _random_operations(graph: Any) -> set[str]:
    """Return the kinds of operations that have seeds, and a state from there on, of their own."""
    whole = graph.as_graph_def()
    nodes = [*whole.node, *(node for inner in whole.library.function for node in inner.node_def)]
    return {node.op for node in nodes if "seed2" in node.attr}


def _is_written(graph: Any, variable: Any) -> bool:
    """Whether an operation may do more than read a variable."""
    within = [inner for outer, inner in graph.captures if outer is variable.handle]
    return any(user.type not in _READS for inner in within for user in inner.consumers())
