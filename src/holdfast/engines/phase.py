"""Training, or evaluation, on JAX: a source's windows and the programs for them.

Owns tracing, compiling and running a step, one or many at a time; see `fused` for the four ways.
Leaves what a step is to `fused`, compiled code between attempts to `cache`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from numpy.typing import NDArray

from holdfast.data.batches import device_type
from holdfast.data.drawing import Stopped
from holdfast.data.order import Reshuffle
from holdfast.data.source import SampleSource, Source
from holdfast.data.source import State as Place
from holdfast.engines import cache, pooling, spread
from holdfast.engines.base import Logs, Stretch
from holdfast.engines.window import Feed
from holdfast.state import rng

State = tuple[list[Any], ...]
Way = Literal["loop", "ahead", "alone", "eager"]
StepFunction = Callable[[State, State, Any], tuple[Logs, State, Any]]
"""(carried, kept, batch) -> (logs, carried, what was seen of the step or None)."""
Stepped = tuple[State, Logs, Any]
Program = Callable[[State, State, Any, Any, int, int], Stepped]
"""(carried, kept, data, order, first row, number of steps)
-> (carried, the last logs, what was seen of each step or None)."""

# Steps that a compiled loop has room to see: it goes round no more often at a time.
_MOST_SEEN = 4096


# Primitives of steps that call functions of the host.
_HOST_CALLS = frozenset({"pure_callback", "io_callback", "debug_callback"})


class Phase:
    """Training or evaluation: a source's feed and the programs for its batches.

    Programs are compiled for the shapes of `carried`, which a step replaces, and `kept`,
    which it only reads. What training carries is given away to the program, so that the state
    is not in memory twice; evaluation leaves its own be, since what was before it may be saved.

    Args:
        source: of the batches.
        feed: has them on the device.
        step: what to do with one.
        carried, kept: the state, for its shapes.
        eager: whether to compile nothing.
        hooked: whether anything that may change what a step reads runs before the first step.

    Attributes:
        way: how steps are executed.
        names: of what a step logs; None where none was tried.
        asks: the primitive by which a step calls the host, or an empty string.
    """

    def __init__(
        self,
        source: Source,
        feed: Feed,
        step: StepFunction,
        carried: State,
        kept: State,
        eager: bool,
        hooked: bool,
    ) -> None:
        self._donated = () if kept else (0,)
        self._source = source
        self._feed = feed
        self._programs: dict[Any, Program] = {}
        self._step = step
        self.way: Way = "eager"
        self.asks = ""
        self.names: frozenset[str] | None = None
        if not eager:
            dry, found = _dry_run(step, carried, kept, source)
            self.names = frozenset(found[0])
            used = set(_primitives(dry.jaxpr))
            self.asks = min(used & _HOST_CALLS, default="")
            on_cpu = jax.default_backend() == "cpu"
            slow = "conv_general_dilated" in used and on_cpu
            self.way = "alone" if self.asks else "ahead" if slow else "loop"
            if not hooked and not self.asks:
                step = _as_tried(
                    dry, jax.tree.structure((carried, kept, source.specimen())), found, step
                )
            if pooling.GRADIENT in used and on_cpu:
                step = pooling.compared(step)
            # Inlined where it is called. Where there are hooks it is traced with the first batch
            # and not before, as in Keras: until then they may change what a step reads.
            self._step = jax.jit(step, inline=True)

    def run(
        self, carried: State, kept: State, epoch: int, step: int, steps: int
    ) -> tuple[State, Stretch, NDArray[np.float32] | None]:
        logs: Logs = {}
        all_seen = []
        taken, waited, ended = 0, 0.0, False
        while taken < steps:
            number, batch = self._source.schedule.locate(epoch, step + taken)
            try:
                window = self._feed.window(number, batch)
            except Stopped:
                break
            except Exception:
                if not taken:
                    raise
                break  # it is raised when these steps are done and the next one is asked for
            if window is None:
                ended = True
                break
            waited += window.waited
            count = min(steps - taken, window.batches, _MOST_SEEN)
            shape = window.rows, _tails(window.data)
            if shape not in self._programs:
                self._programs[shape] = self._make(window.rows, carried)
            carried, logs, seen = self._programs[shape](
                carried, kept, window.data, window.order, window.row, count
            )
            self._feed.ahead(functools.partial(_is_busy, carried))
            if seen is not None:
                all_seen.append(np.asarray(seen)[:count])
            taken += count
        jax.block_until_ready((carried, logs))
        found = np.concatenate(all_seen) if all_seen else None
        return carried, Stretch(logs, taken, ended, waited), found

    def fetch(self, epoch: int, step: int) -> bool:
        return self._feed.window(*self._source.schedule.locate(epoch, step)) is not None

    def place(self, epoch: int, step: int) -> Place:
        if isinstance(self._source, SampleSource):
            return None
        return {
            "batches": self._source.schedule.batches,
            "feed": self._feed.place(*self._source.schedule.locate(epoch, step)),
        }

    def go_on(self, place: Place) -> None:
        if place is not None:
            self._source.schedule.batches = place["batches"]
            self._feed.go_on(place["feed"])

    def reorder(self, reshuffles: Sequence[Reshuffle]) -> None:
        self._feed.reorder(reshuffles)

    def close(self) -> None:
        self._feed.close()
        self._programs.clear()

    def _make(self, rows: int, carried: State) -> Program:
        """Return the program for batches of `rows` samples, which leaves `carried` as it lies."""
        where = spread.of(carried)
        lies = None if where is None else (where, None, None)

        def one(carried: State, kept: State, data: Any, order: Any, row: Any) -> Stepped:
            index = lax.dynamic_slice(order, (row,), (rows,))
            batch = jax.tree.map(lambda array: jnp.take(array, index, axis=0, mode="clip"), data)
            logs, new, seen = self._step(carried, kept, spread.shared(batch))
            return _like(new, carried), jax.tree.map(jnp.asarray, logs), seen

        if self.way == "eager":
            return _again(one, rows)
        if self.way == "alone":
            return _again(_traced_before_it_runs(jax.jit(one, donate_argnums=self._donated)), rows)
        if self.way == "ahead" or rows < _usual_rows(self._source):
            compiled_step = jax.jit(one, donate_argnums=self._donated, out_shardings=lies)
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

        compiled = jax.jit(loop, donate_argnums=self._donated, out_shardings=lies)
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


def _traced_before_it_runs(step: Any) -> Callable[..., Stepped]:
    """Return `step`, which draws from the random state when it runs, and not when it is traced."""
    compiled: Any = None

    def run(*arguments: Any) -> Stepped:
        nonlocal compiled
        if compiled is None:
            with rng.untouched():
                compiled = step.lower(*arguments).compile()
            cache.publish()
        result: Stepped = compiled(*arguments)
        jax.block_until_ready(result)
        return result

    return run


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


def _as_tried(traced: ClosedJaxpr, given: Any, found: Any, step: StepFunction) -> StepFunction:
    """Return `step` without tracing it again for what it was tried with.

    Args:
        traced: what it does with that.
        given: the structure of its arguments.
        found: what it returns then, in shapes.
        step: for anything else.
    """
    known, returned = jaxpr_as_fun(traced), jax.tree.structure(found)

    def run(carried: State, kept: State, batch: Any) -> tuple[Logs, State, Any]:
        leaves, structure = jax.tree.flatten((carried, kept, batch))
        if structure != given or [jax.typeof(leaf) for leaf in leaves] != traced.in_avals:
            return step(carried, kept, batch)
        logs, new, seen = jax.tree.unflatten(returned, known(*leaves))
        return logs, new, seen

    return run


def _batch_shapes(source: Source) -> Any:
    """Return shapes and types of a whole batch as it lies on the device."""
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(
            array.shape, jax.dtypes.canonicalize_dtype(device_type(array.dtype))
        ),
        source.specimen(),
    )


def _usual_rows(source: Source) -> int:
    """Return how many rows most batches have: a partial one is not worth a loop of its own."""
    return source.batch_size if isinstance(source, SampleSource) else 0


def _tails(data: Any) -> Any:
    return tuple(leaf.shape[1:] for leaf in jax.tree.leaves(data))


def _is_busy(carried: State) -> bool:
    """Return whether the device is still at work on what was sent to it last."""
    return not next(value for group in carried for value in group).is_ready()


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
