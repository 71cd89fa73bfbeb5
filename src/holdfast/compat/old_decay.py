"""Optimizers whose rate decays as `decay=` had it, and can be set meanwhile.

Owns the rate of an optimizer that was made with a decay. Leaves the argument to `old_arguments`,
and what a file of such an optimizer holds to `holdfast.optimizers`.

`optimizer.learning_rate` is the rate without the decay, which a callback or the program may set: a
variable of the optimizer's, as of any other. Each step divides it by `1 + decay * iterations`, as
Keras 2 did. Its configuration, and so every file of it, has `InverseTimeDecay` of today's Keras, by
a name that tells it from one of the program's own.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from holdfast.compat.patches import Patches
from holdfast.compat.translating import standing_for
from holdfast.optimizers import DECAY, decay_of, saved_variables

_STEPPING = "holdfast_stepping"


def put(patches: Patches) -> None:
    """Let the rate of optimizers that have a decay be divided at each step."""
    kind = keras.optimizers.Optimizer
    plain, apply = kind.learning_rate, kind.apply
    save, load = kind.save_own_variables, kind.load_own_variables

    def rate(self: Any) -> Any:
        found = plain.fget(self)
        return _divided(self, found) if vars(self).get(_STEPPING) else found

    @standing_for(apply)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not decay_of(self):
            return apply(self, *args, **kwargs)
        vars(self)[_STEPPING] = True
        try:
            return apply(self, *args, **kwargs)
        finally:
            del vars(self)[_STEPPING]

    @standing_for(save)
    def save_own_variables(self: Any, store: Any) -> None:
        if not decay_of(self):
            save(self, store)
            return
        for number, variable in enumerate(saved_variables(self)):
            store[str(number)] = ops.convert_to_numpy(variable)

    @standing_for(load)
    def load_own_variables(self: Any, store: Any) -> None:
        variables = saved_variables(self)
        if not decay_of(self) or len(store.keys()) != len(variables):
            load(self, store)
            return
        for number, variable in enumerate(variables):
            variable.assign(store[str(number)])

    patches.set(kind, "learning_rate", property(rate, plain.fset))
    patches.set(kind, "apply", step)
    patches.set(kind, "save_own_variables", save_own_variables)
    patches.set(kind, "load_own_variables", load_own_variables)
    patches.set(kind, "get_config", _telling(kind.get_config))


def begin(optimizer: Any, decay: float) -> None:
    """Have an optimizer that is being made decay."""
    vars(optimizer)[DECAY] = decay


def from_file(rate: Any) -> tuple[float, float] | None:
    """Return the rate and the decay of a schedule that stands for them in a configuration."""
    schedule = keras.optimizers.schedules.InverseTimeDecay
    if isinstance(rate, schedule) and rate.name == DECAY:
        return float(rate.initial_learning_rate), float(rate.decay_rate)
    return None


def _divided(optimizer: Any, rate: Any) -> Any:
    dtype = rate.dtype
    steps = ops.cast(optimizer.iterations, dtype)
    return ops.divide(rate, 1 + ops.cast(decay_of(optimizer), dtype) * steps)


def _telling(plain: Any) -> Any:
    """Return a get_config that has the schedule in the place of the rate."""

    @functools.wraps(plain)
    def get_config(self: Any) -> dict[str, Any]:
        config: dict[str, Any] = plain(self)
        rate, decay = config.get("learning_rate"), decay_of(self)
        if decay and isinstance(rate, float):
            schedule = keras.optimizers.schedules.InverseTimeDecay(rate, 1, decay, name=DECAY)
            config["learning_rate"] = keras.optimizers.schedules.serialize(schedule)
        return config

    return get_config
