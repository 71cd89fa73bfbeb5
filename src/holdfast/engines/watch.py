"""Watching a training step: its own loss, and the norm of its gradient.

Owns how both are seen from outside a step that returns neither. Leaves what they mean to
`callbacks/rollback`.

Logs have the mean over the epoch so far, and a gradient never leaves `train_step`. Both pass
through objects of the model's, the optimizer and the metric that averages the loss, which are
listened to while the step is traced or executed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops, tree

from holdfast import keras_private
from holdfast.errors import PlanError


class Watch:
    """Listens to one step after the other.

    Args:
        model: compiled and built.
    """

    def __init__(self, model: Any) -> None:
        self._tracker = keras_private.loss_tracker(model)
        self._optimizer = model.optimizer
        # JAX's step applies gradients to values, the others' to variables.
        stateless = keras.config.backend() == "jax"
        self._applies = "stateless_apply" if stateless else "apply"
        # Its gradients are multiplied by a scale, and it lets no infinite one pass.
        self._scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        self._loss: Any = None
        self._norm: Any = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, one step is traced or executed."""
        self._loss = self._norm = None
        with contextlib.ExitStack() as stack:
            stack.enter_context(_heard(self._optimizer, self._applies, self._hear_gradient))
            if self._tracker is not None:
                stack.enter_context(_heard(self._tracker, "update_state", self._hear_loss))
            yield

    def seen(self, logs: dict[str, Any]) -> Any:
        """Return loss and gradient norm of the step just taken, as an array of two.

        Where a step of the user's own does not pass them by, it is the logs' loss, and 0.

        Raises:
            PlanError: there is no loss to be seen.
        """
        loss = self._loss if self._loss is not None else logs.get("loss")
        if loss is None:
            raise PlanError(
                "Rollback watches the loss, and the model's train_step reports none: return "
                f"it as 'loss' in the logs, which have {', '.join(sorted(logs)) or 'nothing'}"
            )
        norm = ops.convert_to_tensor(0.0 if self._norm is None else self._norm, "float32")
        return ops.stack([ops.cast(ops.mean(ops.stop_gradient(loss)), "float32"), norm])

    def _hear_loss(self, *args: Any, **kwargs: Any) -> None:
        self._loss = args[0] if args else kwargs.get("values")

    def _hear_gradient(self, *args: Any, **kwargs: Any) -> None:
        # The first argument of `stateless_apply` is the optimizer's variables.
        place = 1 if self._applies == "stateless_apply" else 0
        gradients = args[place] if len(args) > place else kwargs.get("grads")
        if not self._scales:
            squares = [
                ops.sum(ops.square(ops.cast(ops.convert_to_tensor(leaf), "float32")))
                for leaf in tree.flatten(gradients)
                if leaf is not None
            ]
            self._norm = ops.sqrt(sum(squares)) if squares else None


@contextlib.contextmanager
def _heard(owner: Any, name: str, hear: Callable[..., None]) -> Iterator[None]:
    """While this lasts, `hear` is told the arguments of each call of a method of `owner`."""
    method = getattr(owner, name)

    def told(*args: Any, **kwargs: Any) -> Any:
        hear(*args, **kwargs)
        return method(*args, **kwargs)

    # Not by setattr: Keras's objects look at what is set on them.
    before = vars(owner).get(name)
    vars(owner)[name] = told
    try:
        yield
    finally:
        del vars(owner)[name]
        if before is not None:
            vars(owner)[name] = before
