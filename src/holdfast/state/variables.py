"""A model's variables under stable names, and putting arrays back into them.

Owns the names: group and number, in the model's own order. Keras's paths
(`dense_2/kernel`) change when a notebook builds the model again, so they are labels only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.errors import DamagedError
from holdfast.state import buffers
from holdfast.state.values import from_array
from holdfast.types import Array

GROUPS = ("trainable", "non_trainable", "optimizer", "metrics")


def groups(model: Any) -> tuple[list[Any], ...]:
    """Return a model's variables: trainable, non-trainable, its optimizer's, its metrics'.

    Among the non-trainable are buffers of PyTorch modules, which have what a variable has here:
    path, shape, dtype, value and `assign`.
    """
    optimizer = getattr(model, "optimizer", None)  # a model not compiled has none
    return (
        list(model.trainable_variables),
        [*model.non_trainable_variables, *buffers.of(model)],
        list(optimizer.variables) if optimizer is not None else [],
        list(model.metrics_variables),
    )


def names(model: Any) -> list[tuple[str, str]]:
    """Return name and label of each variable, in the order of `groups`."""
    return [
        (f"{group}/{number:04d}", variable.path)
        for group, variables in zip(GROUPS, groups(model), strict=True)
        for number, variable in enumerate(variables)
    ]


def load(model: Any, arrays: Mapping[str, Array], which: tuple[str, ...] = GROUPS) -> None:
    """Assign arrays to a model's variables, by name.

    Raises:
        DamagedError: an array is missing, left over, or of another shape than its variable.
    """
    left = {name for name in arrays if name.partition("/")[0] in which}
    for group, variables in zip(GROUPS, groups(model), strict=True):
        if group not in which:
            continue
        for number, variable in enumerate(variables):
            name = f"{group}/{number:04d}"
            array = arrays.get(name)
            if array is None or array.shape != tuple(variable.shape):
                found = f"shape {array.shape}" if array else "no such array"
                raise DamagedError(
                    f"{name} ({variable.path}) should have shape {tuple(variable.shape)}, "
                    f"found {found}"
                )
            left.discard(name)
            variable.assign(_value(array, variable))
    if left:
        raise DamagedError(
            f"the checkpoint has {len(left)} variables that the model has not, among them "
            f"{min(left)}; is the model built, and of the same architecture?"
        )
    keras_private.finalize(model)


def load_weights(model: Any, arrays: Mapping[str, Array]) -> None:
    """Assign a model its weights, as `set_weights` does: no random state, no optimizer's.

    Args:
        model: built.
        arrays: of a checkpoint of the same model.
    """
    weights = {id(variable) for variable in model.weights}
    for group, variables in zip(GROUPS[:2], groups(model), strict=False):
        for number, variable in enumerate(variables):
            # Running statistics are weights to whoever goes back to the best of them.
            if id(variable) in weights or isinstance(variable, buffers.Buffer):
                variable.assign(_value(arrays[f"{group}/{number:04d}"], variable))
    keras_private.finalize(model)


def _value(array: Array, variable: Any) -> NDArray[Any]:
    """Return what a variable is given: integers such as seeds have other types elsewhere.

    A copy: some backends keep a view of the memory they are given.
    """
    return from_array(array).astype(str(variable.dtype))
