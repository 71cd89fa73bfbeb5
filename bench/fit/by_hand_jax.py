"""The limit: Keras's training step in a loop by hand, with nothing around it.

The setting is the form of the loop: `fori`, an epoch in one compiled `lax.fori_loop`, or `steps`,
one compiled step sent again and again. Data lies on the device, the state is given away at each
call, and nothing is logged or saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import task
from jax import lax
from keras_models import build

State = tuple[list[Any], ...]
Body = Callable[[State, Any], State]


def main() -> None:
    given = task.read()
    model = build(given.program)
    x, y = given.train
    # What Keras's own trainer on JAX does before its first step.
    model._symbolic_build(data_batch=(x[: task.BATCH], y[: task.BATCH]))
    state = _state(model)
    train = _pass(partial(_train, model), given.setting)
    test = _pass(partial(_test, model), given.setting)
    data = jax.device_put((x, y))
    held = None if given.validation is None else jax.device_put(given.validation)
    in_order = np.arange(0 if held is None else len(held[0]), dtype="int32")
    clock, judged = task.Clock(), None
    for _ in range(task.EPOCHS):
        order = np.random.permutation(len(x)).astype("int32")
        trained = state = train(_afresh(state), data, order)
        told = list(trained[3])
        if held is not None:
            # The metrics of training are kept from being given away.
            told = [jnp.array(value) for value in told]
            state = test(_afresh(state), held, in_order)
            judged = state[3]
        jax.block_until_ready(state)
        clock.tick()
    logs = _logs(model, told)
    val_accuracy = None if judged is None else _logs(model, judged)["accuracy"]
    task.tell(clock, logs["loss"], logs["accuracy"], val_accuracy)


def _pass(body: Body, form: str) -> Callable[[State, Any, Any], State]:
    """Return what goes over all data once, in an order, with a last batch of what remains."""
    loop, step = _programs(body)

    def go(state: State, data: Any, order: Any) -> State:
        whole = len(order) // task.BATCH
        batches, rest = order[: whole * task.BATCH], order[whole * task.BATCH :]
        if form == "fori":
            state = loop(state, data, jax.device_put(batches.reshape(whole, task.BATCH)))
        else:
            for indices in _sent(batches):
                state = step(state, data, indices)
        return step(state, data, jax.device_put(rest)) if len(rest) else state

    return go


def _sent(order: Any) -> Iterator[Any]:
    return iter(order.reshape(-1, task.BATCH))


def _programs(body: Body) -> tuple[Callable[..., State], Callable[..., State]]:
    def step(state: State, data: Any, indices: Any) -> State:
        batch = jax.tree.map(lambda a: jnp.take(a, indices, axis=0, mode="clip"), data)
        return body(state, batch)

    def loop(state: State, data: Any, order: Any) -> State:
        return lax.fori_loop(
            0, len(order), lambda number, state: step(state, data, order[number]), state
        )

    return jax.jit(loop, donate_argnums=0), jax.jit(step, donate_argnums=0)


def _train(model: Any, state: State, batch: Any) -> State:
    return model.train_step(state, batch)[1]


def _test(model: Any, state: State, batch: Any) -> State:
    trainable, fixed, optimizer, metrics = state
    _, (_, fixed, metrics) = model.test_step((trainable, fixed, metrics), batch)
    return trainable, fixed, optimizer, metrics


def _state(model: Any) -> State:
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    return tuple([variable.value for variable in group] for group in groups)


def _afresh(state: State) -> State:
    """Return the state with the metrics at nought."""
    return *state[:3], [np.zeros(value.shape, value.dtype) for value in state[3]]


def _logs(model: Any, values: list[Any]) -> dict[str, Any]:
    for variable, value in zip(model.metrics_variables, values, strict=True):
        variable.assign(value)
    return model.get_metrics_result()


if __name__ == "__main__":
    keras.utils.set_random_seed(1)
    main()
