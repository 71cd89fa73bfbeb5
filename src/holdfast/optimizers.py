"""What Keras 3 no longer has of optimizers: Nadam as it was until Keras 2.10, and `decay=`.

Owns Nadam's numbers, and which variables of an optimizer with a decay are in files. Which file asks
for this Nadam, `formats.legacy.optimizers` knows; how the rate decays, `compat.old_decay`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_DECAY = 0.96
DECAY = "holdfast_decay"
"""By this name an optimizer has the decay that it was made with."""


def decay_of(optimizer: Any) -> float:
    """Return the decay that an optimizer was made with, and 0 where it has none."""
    return float(vars(optimizer).get(DECAY, 0.0))


def saved_variables(optimizer: Any) -> list[Any]:
    """Return an optimizer's variables that files hold.

    All, but for the rate of one with a decay: its configuration has a schedule there.
    """
    rate = f"{optimizer.name}/learning_rate"
    decays = decay_of(optimizer) != 0
    return [v for v in optimizer.variables if not (decays and v.path == rate)]


@keras.saving.register_keras_serializable(package="holdfast", name="SlowNadam")
class SlowNadam(keras.optimizers.Nadam):  # type: ignore[misc]
    """Nadam whose momentum grows slowly, as in Keras 1 and 2.

    At step t the momentum is `beta_1 * (1 - 0.5 * 0.96 ** (schedule_decay * t))`. In Keras 3, and
    in Keras 2 since 2.11, `schedule_decay` is 1.

    Args:
        schedule_decay: how fast the momentum comes near `beta_1`.
        **kwargs: those of `keras.optimizers.Nadam`.
    """

    def __init__(self, *, schedule_decay: float = 0.004, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schedule_decay = schedule_decay

    def get_config(self) -> dict[str, Any]:
        """Return the arguments it was made with."""
        return {**super().get_config(), "schedule_decay": self.schedule_decay}

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:
        product = self._u_product
        self.assign(product, product * self._momentum_at(1, product.dtype))
        # Not Nadam's own, which would multiply by the momentum of the other schedule.
        super(keras.optimizers.Nadam, self)._backend_update_step(
            grads, trainable_variables, learning_rate
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one variable by its gradient."""
        dtype = variable.dtype
        rate, gradient = ops.cast(learning_rate, dtype), ops.cast(gradient, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        now, then = self._momentum_at(1, dtype), self._momentum_at(2, dtype)
        product = ops.cast(self._u_product, dtype)
        place = self._get_variable_index(variable)
        m, v = self._momentums[place], self._velocities[place]
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        ahead = then * m / (1 - product * then) + (1 - now) * gradient / (1 - product)
        spread = v / (1 - ops.power(ops.cast(self.beta_2, dtype), step))
        self.assign_sub(variable, rate * ahead / (ops.sqrt(spread) + self.epsilon))

    def _momentum_at(self, ahead: int, dtype: str) -> Any:
        step = ops.cast(self.iterations + ahead, dtype)
        return self.beta_1 * (1.0 - 0.5 * ops.power(_DECAY, self.schedule_decay * step))
