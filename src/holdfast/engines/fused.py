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
from holdfast.data.order import Reshuffle
from holdfast.data.source import Source
from holdfast.engines import cache
from holdfast.engines.base import Logs
from holdfast.engines.feed import Feed, make_feed
from holdfast.engines.watch import Watch
from holdfast.state import rng, variables

State = tuple[list[Any], ...]
Way = Literal["loop", "ahead", "eager"]
StepFunction = Callable[[State, State, Any], tuple[Logs, State, Any]]
"""(carried, kept, batch) -> (logs, carried, what was seen of the step or None)."""
Stepped = tuple[State, Logs, Any]
Program = Callable[[State, State, Any, Any, int, int], Stepped]
"""(carried, kept, data, order, first row, number of steps)
-> (carried, the last logs, what was seen of each step or None)."""

# Steps that a compiled loop has room to see: it goes round no more often at a time.
_MOST_SEEN = 4096

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
        watch: whether to see each step's loss and gradient norm.
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
        watch: bool,
    ) -> None:
        self.name = name
        self.seen: NDArray[np.float32] | None = None
        self._model = model
        self._state: State | None = None
        cache.activate()
        feed, occupied = make_feed(train, seed, 0)
        state = self._current()
        step = _train_step(model, Watch(model) if watch else None)
        self._train = _Phase(train, feed, step, state, (), eager)
        self._test: _Phase | None = None
        if validation is not None:
            feed, _ = make_feed(validation, seed, occupied)
            carried, kept = _divide_for_test(state)
            self._test = _Phase(validation, feed, _test_step(model), carried, kept, eager)
        self.names = _names(self._train, self._test)
        self.reason = f"{reason}; {_WAYS[self._train.way]}"

    def train(self, epoch: int, step: int, steps: int) -> Logs:
        """Execute `steps` training steps from a position; returns the last step's logs."""
        # Until the stretch has ended the state is what was given away: `intact` asks for that.
        self._state = self._current()
        self._state, logs, self.seen = self._train.run(self._state, (), epoch, step, steps)
        return logs

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        """Take training batches in another order from now on."""
        self._train.reorder(reshuffles)

    def test(self, step: int, steps: int) -> Logs:
        """Execute `steps` evaluation steps on the validation data; returns the last's logs."""
        if self._test is None:
            raise RuntimeError("there is no validation data")
        trainable, _, optimizer, _ = state = self._current()
        carried, kept = _divide_for_test(state)
        (fixed, metrics), logs, _ = self._test.run(carried, kept, 0, step, steps)
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
        if jax.default_backend() != "cpu":
            for value in values:  # all transfers begin before one is waited for
                value.copy_to_host_async()
        # On a CPU `asarray` hands out a view of memory that the next stretch writes to.
        return [np.array(np.asarray(value)) for value in values]

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
        self.names: frozenset[str] | None = None
        if not eager:
            dry, (logs, *_) = _dry_run(step, carried, kept, source)
            self.names = frozenset(logs)
            slow = "conv_general_dilated" in set(_primitives(dry.jaxpr))
            self.way = "ahead" if slow and jax.default_backend() == "cpu" else "loop"

    def run(
        self, carried: State, kept: State, epoch: int, step: int, steps: int
    ) -> tuple[State, Logs, NDArray[np.float32] | None]:
        logs: Logs = {}
        all_seen = []
        size = self._source.batch_size
        while steps:
            number, batch = self._source.schedule.locate(epoch, step)
            window = self._feed.window(number, batch)
            whole = min(steps, window.batches, self._source.samples // size - batch)
            count = min(whole, _MOST_SEEN) or 1
            rows = size if whole else self._source.samples % size
            if rows not in self._programs:
                self._programs[rows] = self._make(rows)
            carried, logs, seen = self._programs[rows](
                carried, kept, window.data, window.order, window.row, count
            )
            if seen is not None:
                all_seen.append(np.asarray(seen)[:count])
            step += count
            steps -= count
        jax.block_until_ready((carried, logs))
        return carried, logs, np.concatenate(all_seen) if all_seen else None

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        self._feed.reorder(reshuffles)

    def close(self) -> None:
        self._feed.close()
        self._programs.clear()

    def _make(self, rows: int) -> Program:
        """Return the program for batches of `rows` samples."""

        def one(carried: State, kept: State, data: Any, order: Any, row: Any) -> Stepped:
            index = lax.dynamic_slice(order, (row,), (rows,))
            batch = jax.tree.map(lambda array: jnp.take(array, index, axis=0, mode="clip"), data)
            logs, new, seen = self._step(carried, kept, batch)
            return _like(new, carried), jax.tree.map(jnp.asarray, logs), seen

        if self.way == "eager":
            return _again(one, rows)
        if self.way == "ahead" or rows < self._source.batch_size:
            compiled_step = jax.jit(one, donate_argnums=self._donated)
            return _published(_again(compiled_step, rows))

        def loop(
            carried: State, nothing: Any, kept: State, data: Any, order: Any, row: Any, count: Any
        ) -> Stepped:
            def body(number: Any, now: Stepped) -> Stepped:
                new, logs, seen = one(now[0], kept, data, order, row + number * rows)
                all_seen = now[2] if seen is None else now[2].at[number].set(seen)
                return new, logs, all_seen

            result: Stepped = lax.fori_loop(0, count, body, (carried, *nothing))
            return result

        compiled = jax.jit(loop, donate_argnums=self._donated)
        nothing: tuple[Logs, Any] | None = None

        def run(
            carried: State, kept: State, data: Any, order: Any, row: int, count: int
        ) -> Stepped:
            nonlocal nothing
            if nothing is None:
                _, logs, seen = jax.eval_shape(one, carried, kept, data, order, np.int32(0))
                logs = jax.tree.map(lambda info: np.zeros(info.shape, info.dtype), logs)
                room = None if seen is None else np.zeros((_MOST_SEEN, *seen.shape), seen.dtype)
                nothing = logs, room
            result: Stepped = compiled(
                carried, nothing, kept, data, order, np.int32(row), np.int32(count)
            )
            return result

        return _published(run)


def _published(program: Program) -> Program:
    """Return `program`; what its first call compiles is kept for the next attempt.

    Every attempt traces anew, so tracing must not draw from the random state.
    """
    first = True

    def run(*arguments: Any) -> Stepped:
        nonlocal first
        if not first:
            return program(*arguments)
        with rng.untouched():
            result = program(*arguments)
        cache.publish()
        first = False
        return result

    return run


def _names(train: _Phase, test: _Phase | None) -> frozenset[str] | None:
    """Return the names an epoch's logs will have, or None where no step was tried."""
    if train.names is None or (test is not None and test.names is None):
        return None
    tested = test.names or frozenset() if test is not None else frozenset()
    return train.names | {f"val_{name}" for name in tested}


def _train_step(model: Any, watch: Watch | None) -> StepFunction:
    def step(carried: State, kept: State, batch: Any) -> tuple[Logs, State, Any]:
        if watch is None:
            return (*model.train_step(carried, batch), None)
        with watch.listening():
            logs, new = model.train_step(carried, batch)
        return logs, new, watch.seen(logs)

    return step


def _test_step(model: Any) -> StepFunction:
    def step(carried: State, kept: State, batch: Any) -> tuple[Logs, State, Any]:
        logs, (_, fixed, metrics) = model.test_step((kept[0], *carried), batch)
        return logs, (fixed, metrics), None

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
            traced = jax.make_jaxpr(functools.partial(step), return_shape=True)
            return traced(carried, kept, shapes)
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


def _again(one: Callable[..., Stepped], rows: int) -> Program:
    """Return a program that executes `one` step again and again."""

    def run(carried: State, kept: State, data: Any, order: Any, row: int, count: int) -> Stepped:
        logs: Logs = {}
        all_seen = []
        for number in range(count):
            carried, logs, seen = one(carried, kept, data, order, np.int32(row + number * rows))
            all_seen.append(seen)
        return carried, logs, None if all_seen[0] is None else jax.device_get(all_seen)

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
