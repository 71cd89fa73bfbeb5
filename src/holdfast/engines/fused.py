"""The engine on JAX: compiled programs that take any number of steps.

Owns tracing, compiling and running `train_step` and `test_step`. Leaves samples on the device
to `feed`, compiled code between attempts to `cache`.

A stretch is executed in one of three ways, which gives the same bits for any cutting of an
epoch into stretches, since every step runs the same compiled code:

* `loop`: one compiled loop whose number of steps is an argument.
* `ahead`: one compiled step, sent again and again without waiting. For models with
  convolutions on a CPU: XLA's CPU compiler puts convolutions in the form its fast kernels
  take only outside of loops.
* `eager`: nothing compiled, where the model says `run_eagerly` or `jit_compile=False`.

A last partial batch is its own program, of one step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.data.arrays import device_type
from holdfast.data.source import Source
from holdfast.engines import cache
from holdfast.engines.base import Logs
from holdfast.engines.feed import Feed, make_feed
from holdfast.state import rng, variables

State = tuple[list[Any], ...]
Way = Literal["loop", "ahead", "eager"]
StepFunction = Callable[[State, State, Any], tuple[Logs, State]]
"""(carried, kept, batch) -> (logs, carried)."""
Program = Callable[[State, State, Any, Any, int, int], tuple[State, Logs]]
"""(carried, kept, data, order, first row, number of steps) -> (carried, the last logs)."""

_WAYS: Mapping[Way, str] = {
    "loop": "one compiled loop",
    "ahead": "one compiled step, sent ahead, since XLA's CPU compiler slows convolutions in loops",
    "eager": "nothing compiled",
}


class JaxEngine:
    """Executes steps on JAX. See `engines.base.Engine`.

    Args:
        model: compiled and built.
        train: the source of training batches.
        validation: the source of validation batches, or None.
        seed: of the shuffling.
        name: `fused` or `stepwise`.
        reason: why that one, in words.
        eager: whether to compile nothing.
    """

    def __init__(
        self,
        model: Any,
        train: Source,
        validation: Source | None,
        *,
        seed: int,
        name: str,
        reason: str,
        eager: bool,
    ) -> None:
        self.name = name
        self._model = model
        self._state: State | None = None
        cache.activate()
        feed, occupied = make_feed(train, seed, 0)
        state = self._current()
        self._train = _Phase(train, feed, _train_step(model), state, (), eager)
        self._test: _Phase | None = None
        if validation is not None:
            feed, _ = make_feed(validation, seed, occupied)
            carried, kept = _divide_for_test(state)
            self._test = _Phase(validation, feed, _test_step(model), carried, kept, eager)
        self.reason = f"{reason}; {_WAYS[self._train.way]}"

    def train(self, epoch: int, step: int, steps: int) -> Logs:
        """Execute `steps` training steps from a position; returns the last step's logs."""
        # Until the stretch has ended the state is what was given away: `intact` asks for that.
        self._state = self._current()
        self._state, logs = self._train.run(self._state, (), epoch, step, steps)
        return logs

    def test(self, step: int, steps: int) -> Logs:
        """Execute `steps` evaluation steps on the validation data; returns the last's logs."""
        if self._test is None:
            raise RuntimeError("there is no validation data")
        trainable, _, optimizer, _ = state = self._current()
        carried, kept = _divide_for_test(state)
        (fixed, metrics), logs = self._test.run(carried, kept, 0, step, steps)
        self._state = (trainable, fixed, optimizer, metrics)
        return logs

    def attach(self) -> None:
        """Give the model its variables' values."""
        if self._state is not None:
            for group, values in zip(variables.groups(self._model), self._state, strict=True):
                keras_private.attach(group, values)
            self._state = None

    def values(self) -> Sequence[Any]:
        """Return the values of all variables, as immutable arrays, without copying."""
        return [value for group in self._current() for value in group]

    def intact(self) -> bool:
        """Return whether no value was given away to a stretch that did not end."""
        return not any(value.is_deleted() for value in self.values())

    def copy(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """Copy values to memory of the host that nothing else uses."""
        # device_get starts all transfers before it waits for one; on a CPU it hands out
        # views of memory that the next stretch writes to.
        return [np.array(value) for value in jax.device_get(list(values))]

    def close(self) -> None:
        """Give up threads and device memory."""
        self._train.close()
        if self._test is not None:
            self._test.close()

    def _current(self) -> State:
        if self._state is not None:
            return self._state
        return tuple([v.value for v in group] for group in variables.groups(self._model))


class _Phase:
    """Training or evaluation: a source's feed and the programs for its batches.

    Programs are compiled for the shapes of `carried`, which a step replaces, and `kept`,
    which it only reads. What training carries is given away to the program, so that the state
    is not in memory twice; evaluation leaves its own be, since what was before it may be saved.
    """

    def __init__(
        self,
        source: Source,
        feed: Feed,
        step: StepFunction,
        carried: State,
        kept: State,
        eager: bool,
    ) -> None:
        self._donated = () if kept else (0,)
        self._source = source
        self._feed = feed
        self._programs: dict[int, Program] = {}
        # Inlined where it is called. It is traced with the first batch and not before, as in
        # Keras: until then hooks may change what a step reads.
        self._step = step if eager else jax.jit(step, inline=True)
        self.way: Way = "eager"
        if not eager:
            dry = _dry_run(step, carried, kept, source)
            slow = "conv_general_dilated" in set(_primitives(dry.jaxpr))
            self.way = "ahead" if slow and jax.default_backend() == "cpu" else "loop"

    def run(
        self, carried: State, kept: State, epoch: int, step: int, steps: int
    ) -> tuple[State, Logs]:
        logs: Logs = {}
        size = self._source.batch_size
        while steps:
            number, batch = self._source.schedule.locate(epoch, step)
            window = self._feed.window(number, batch)
            whole = min(steps, window.batches, self._source.samples // size - batch)
            count = whole or 1
            rows = size if whole else self._source.samples % size
            if rows not in self._programs:
                self._programs[rows] = self._make(rows)
            carried, logs = self._programs[rows](
                carried, kept, window.data, window.order, window.row, count
            )
            step += count
            steps -= count
        jax.block_until_ready((carried, logs))
        return carried, logs

    def close(self) -> None:
        self._feed.close()
        self._programs.clear()

    def _make(self, rows: int) -> Program:
        """Return the program for batches of `rows` samples."""

        def one(carried: State, kept: State, data: Any, order: Any, row: Any) -> tuple[State, Logs]:
            index = lax.dynamic_slice(order, (row,), (rows,))
            batch = jax.tree.map(lambda array: jnp.take(array, index, axis=0, mode="clip"), data)
            logs, new = self._step(carried, kept, batch)
            return _like(new, carried), jax.tree.map(jnp.asarray, logs)

        if self.way == "eager":
            return _again(one, rows)
        if self.way == "ahead" or rows < self._source.batch_size:
            compiled_step = jax.jit(one, donate_argnums=self._donated)
            return _published(_again(compiled_step, rows))

        def loop(
            carried: State, logs: Logs, kept: State, data: Any, order: Any, row: Any, count: Any
        ) -> tuple[State, Logs]:
            def body(number: Any, now: tuple[State, Logs]) -> tuple[State, Logs]:
                return one(now[0], kept, data, order, row + number * rows)

            result: tuple[State, Logs] = lax.fori_loop(0, count, body, (carried, logs))
            return result

        compiled = jax.jit(loop, donate_argnums=self._donated)
        nothing: Logs | None = None

        def run(
            carried: State, kept: State, data: Any, order: Any, row: int, count: int
        ) -> tuple[State, Logs]:
            nonlocal nothing
            if nothing is None:
                _, shapes = jax.eval_shape(one, carried, kept, data, order, np.int32(0))
                nothing = jax.tree.map(lambda info: np.zeros(info.shape, info.dtype), shapes)
            result: tuple[State, Logs] = compiled(
                carried, nothing, kept, data, order, np.int32(row), np.int32(count)
            )
            return result

        return _published(run)


def _published(program: Program) -> Program:
    """Return `program`; what its first call compiles is kept for the next attempt.

    Every attempt traces anew, so tracing must not draw from the random state.
    """
    first = True

    def run(*arguments: Any) -> tuple[State, Logs]:
        nonlocal first
        if not first:
            return program(*arguments)
        with rng.untouched():
            result = program(*arguments)
        cache.publish()
        first = False
        return result

    return run


def _train_step(model: Any) -> StepFunction:
    def step(carried: State, kept: State, batch: Any) -> tuple[Logs, State]:
        result: tuple[Logs, State] = model.train_step(carried, batch)
        return result

    return step


def _test_step(model: Any) -> StepFunction:
    def step(carried: State, kept: State, batch: Any) -> tuple[Logs, State]:
        logs, (_, fixed, metrics) = model.test_step((kept[0], *carried), batch)
        return logs, (fixed, metrics)

    return step


def _divide_for_test(state: State) -> tuple[State, State]:
    """Return what an evaluation step replaces, and what it reads."""
    trainable, fixed, _, metrics = state
    return (fixed, metrics), (trainable,)


def _dry_run(step: StepFunction, carried: State, kept: State, source: Source) -> Any:
    """Try a step on shapes alone: what is wrong with it shows before the first step is taken."""
    shapes = _batch_shapes(source)
    try:
        with rng.untouched():
            # JAX keeps traces by function: one of its own, so that training traces anew.
            return jax.make_jaxpr(functools.partial(step))(carried, kept, shapes)
    except Exception as error:
        kind = "an evaluation step" if kept else "a training step"
        given = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(shapes))
        error.add_note(f"holdfast: nothing was trained: this came of trying {kind} on {given}")
        raise


def _batch_shapes(source: Source) -> Any:
    """Return shapes and types of a whole batch as it lies on the device."""
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(
            (source.batch_size, *array.shape[1:]),
            jax.dtypes.canonicalize_dtype(device_type(array)),
        ),
        source.arrays,
    )


def _again(one: Callable[..., tuple[State, Logs]], rows: int) -> Program:
    """Return a program that executes `one` step again and again."""

    def run(
        carried: State, kept: State, data: Any, order: Any, row: int, count: int
    ) -> tuple[State, Logs]:
        logs: Logs = {}
        for number in range(count):
            carried, logs = one(carried, kept, data, order, np.int32(row + number * rows))
        return carried, logs

    return run


def _like(new: Sequence[Sequence[Any]], old: State) -> State:
    """Return `new` in the structure and with the types of `old`, as a loop has to carry it."""
    return tuple(
        [
            lax.convert_element_type(value, was.dtype)
            for value, was in zip(values, group, strict=True)
        ]
        for values, group in zip(new, old, strict=True)
    )


def _primitives(jaxpr: Any) -> Iterator[str]:
    """Yield the name of every primitive in a jaxpr and in those within it."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for parameter in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _primitives(inner)
