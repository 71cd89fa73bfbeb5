"""A loop by hand in Flax NNX: its functional training loop, which Flax's guide says is fastest.

Model, optimizer and metrics are taken apart once, outside of the loop, and put together again
within the compiled step, whose state is given away at each call. Data lies on the device; a step
takes its batch by number, so that nothing is sent to the device between steps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import task
from flax import nnx


class Classifier(nnx.Module):
    """The programs' models: [convolution,] a hidden layer, [dropout,] the answer."""

    def __init__(self, program: str, rngs: nnx.Rngs) -> None:
        glorot = nnx.initializers.glorot_uniform()
        wide = {"mlp": 64, "dropout": 100, "cnn": 100}[program]
        self.convolution = (
            nnx.Conv(1, 16, (3, 3), padding="VALID", kernel_init=glorot, rngs=rngs)
            if program == "cnn"
            else None
        )
        entering = 16 * 13 * 13 if program == "cnn" else 784
        self.hidden = nnx.Linear(entering, wide, kernel_init=glorot, rngs=rngs)
        dropped = task.DROPPED.get(program)
        self.dropout = nnx.Dropout(dropped, rngs=rngs) if dropped else None
        self.answer = nnx.Linear(wide, 10, kernel_init=glorot, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.convolution is not None:
            x = nnx.max_pool(nnx.relu(self.convolution(x)), (2, 2), (2, 2))
        x = nnx.relu(self.hidden(x.reshape(len(x), -1)))
        return self.answer(x if self.dropout is None else self.dropout(x))


def main() -> None:
    given = task.read()
    model = Classifier(given.program, nnx.Rngs(1))
    optimizer = nnx.Optimizer(model, _updates(given.program), wrt=nnx.Param)
    metrics = nnx.MultiMetric(loss=nnx.metrics.Average("loss"), accuracy=nnx.metrics.Accuracy())
    model.train()
    training, state = nnx.split((model, optimizer, metrics))
    model.eval()
    judging = nnx.graphdef((model, optimizer, metrics))
    train, judge = _step(training, _learn), _step(judging, _judge)
    afresh = _reset(training)

    data = jax.device_put(given.train)
    held = None if given.validation is None else jax.device_put(given.validation)
    count = len(given.train[0])
    clock, val_accuracy = task.Clock(), None
    for _ in range(task.EPOCHS):
        order = np.random.permutation(count).astype("int32")
        state = _over(train, afresh(state), data, order)
        found = _found(training, state)
        if held is not None:
            in_order = np.arange(len(held[0]), dtype="int32")
            state = _over(judge, afresh(state), held, in_order)
            val_accuracy = _found(judging, state)["accuracy"]
        clock.tick()
    task.tell(clock, found["loss"], found["accuracy"], val_accuracy)


def _updates(program: str) -> optax.GradientTransformation:
    if program == "dropout":
        return optax.adam(task.ADAM_RATE, eps=task.ADAM_EPSILON)
    return optax.sgd(task.SGD_RATE)


def _over(step: Any, state: Any, data: Any, order: Any) -> Any:
    """Take all batches in this order; the last may be smaller."""
    whole = len(order) // task.BATCH
    batches = jax.device_put(order[: whole * task.BATCH].reshape(whole, task.BATCH))
    number = jnp.zeros((), "int32")
    for _ in range(whole):
        state, number = step(state, number, data, batches)
    rest = order[whole * task.BATCH :]
    if len(rest):
        state, _ = step(state, jnp.zeros((), "int32"), data, jax.device_put(rest[None]))
    return state


def _step(graph: Any, work: Any) -> Any:
    def step(state: Any, number: Any, data: Any, batches: Any) -> tuple[Any, Any]:
        x, y = (jnp.take(array, batches[number], axis=0, mode="clip") for array in data)
        model, optimizer, metrics = nnx.merge(graph, state)
        work(model, optimizer, metrics, x, y)
        return nnx.state((model, optimizer, metrics)), number + 1

    return jax.jit(step, donate_argnums=(0, 1))


def _learn(model: Any, optimizer: Any, metrics: Any, x: Any, y: Any) -> None:
    def loss_of(model: Any) -> tuple[Any, Any]:
        logits = model(x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), logits

    (loss, logits), gradients = nnx.value_and_grad(loss_of, has_aux=True)(model)
    optimizer.update(model, gradients)
    metrics.update(loss=loss, logits=logits, labels=y)


def _judge(model: Any, optimizer: Any, metrics: Any, x: Any, y: Any) -> None:
    logits = model(x)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
    metrics.update(loss=loss, logits=logits, labels=y)


def _reset(graph: Any) -> Any:
    @jax.jit
    def reset(state: Any) -> Any:
        model, optimizer, metrics = nnx.merge(graph, state)
        metrics.reset()
        return nnx.state((model, optimizer, metrics))

    return reset


def _found(graph: Any, state: Any) -> dict[str, float]:
    _, _, metrics = nnx.merge(graph, state)
    return {name: float(value) for name, value in metrics.compute().items()}


if __name__ == "__main__":
    main()
