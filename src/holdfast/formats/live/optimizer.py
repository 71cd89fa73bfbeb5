"""An optimizer's state out of a file, so that training goes on where it stopped.

Owns giving the values, all of them or none. Leaves what a file holds to `optimizer_state`, whose
it is to `optimizer_slots`, and the optimizer's arguments to `compiling`.

Keras 2 listed slots in the order of its trainable variables, which is that of the layers in the
configuration. Keras 3 sorts some models' layers otherwise, so variables are found by their layers'
names, and the names of the slots, where they have any, are compared.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from holdfast import keras_private
from holdfast.formats.legacy.optimizers import is_old
from holdfast.formats.legacy.translation import Translation
from holdfast.formats.live.optimizer_order import Rearranged, groups
from holdfast.formats.live.optimizer_slots import by_order, by_variable
from holdfast.formats.live.optimizer_state import (
    State,
    Unfit,
    blocks,
    is_known,
    places,
    read_state,
)
from holdfast.formats.model_file import ByPath, Entry, ModelFile
from holdfast.optimizers import saved_variables

# A schedule of momenta is multiplied up to here; then it is nothing.
_MOST_FACTORS = 20_000
_MOST_ITERATIONS = 2**31 - 1

# An optimizer that has taken no step has its count of them and its rate, and nothing of the model.
_BEFORE_TRAINING = 2


@dataclass
class _Plan:
    """What will be given to which variable of the optimizer."""

    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def add(self, variable: Any, array: Any) -> None:
        """Note a value, if it fits."""
        array = np.asarray(array)
        if array.dtype == object or array.dtype.kind == "c":
            kind = "complex ones" if array.dtype.kind == "c" else "texts"
            raise Unfit(f"{variable.path} should be of plain numbers, found {kind}")
        if tuple(variable.shape) != array.shape:
            raise Unfit(
                f"{variable.path} should have shape {tuple(variable.shape)}, found {array.shape}"
            )
        self.pairs.append((variable, array))


def restore_optimizer(model: Any, file: ModelFile, translation: Translation | None = None) -> bool:
    """Give a compiled model's optimizer the state that a file holds.

    Where it cannot be given whole, the optimizer begins anew, and a warning says why.

    Args:
        model: compiled, with the file's weights.
        file: open.
        translation: by which the model was built, where the file is of an older Keras.

    Returns:
        Whether the optimizer has the file's state now.

    Raises:
        FormatError: an array is damaged.
    """
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    state = read_state(file, type(inner).__name__)
    if state is None:
        if isinstance(file.weights, ByPath) and is_old(file.training, file.keras_version):
            _warn(file, inner, "a legacy optimizer of Keras 2 writes none to a .keras file")
        return False
    try:
        if file.major is not None and file.major >= 3:
            plan = _in_place(optimizer, state)
        else:
            plan = _translated(model, inner, state, file, translation or Translation(None))
            _add_scale(optimizer, state, plan)
    except (Unfit, Rearranged) as why:
        _warn(file, inner, str(why))
        return False
    for variable, array in plan.pairs:
        keras_private.set_value(variable, array)
    return True


def _warn(file: ModelFile, optimizer: Any, why: str) -> None:
    warnings.warn(
        f"{file.path}: its optimizer's state cannot be used, and training will go on with a fresh "
        f"{type(optimizer).__name__}: {why}",
        stacklevel=5,
    )


def _in_place(optimizer: Any, state: State) -> _Plan:
    """Match what Keras 3 saved with the optimizer's variables, as it does itself."""
    variables = saved_variables(optimizer)
    if len(state.listed) == _BEFORE_TRAINING:
        variables = variables[:_BEFORE_TRAINING]
    if len(variables) != len(state.listed):
        raise Unfit(f"it has {len(variables)} variables, and the file {len(state.listed)}")
    plan = _Plan()
    for variable, entry in zip(variables, state.listed, strict=True):
        plan.add(variable, entry.read())
    return plan


def _translated(
    model: Any, optimizer: Any, state: State, file: ModelFile, translation: Translation
) -> _Plan:
    kind = type(optimizer).__name__
    if not is_known(kind):
        raise Unfit(f"{kind} is no optimizer of Keras's, and what it keeps is not known")
    own = _own_slots(optimizer, kind, model.trainable_variables)
    plan = _Plan()
    if state.slots:
        head = None
        found = by_variable(model, file, state, translation)
    else:
        in_order = list(groups(model, file, translation))
        head, found = by_order(optimizer, kind, in_order, state)
    _add_head(optimizer, state, head, plan)
    having = {of for _, of in found}
    for (slot, number), variable in own.items():
        of = id(model.trainable_variables[number])
        if (slot, of) in found:
            plan.add(variable, found[slot, of])
        elif of in having or not having:
            raise Unfit(f"the file does not have {variable.path}")
    return plan


def _own_slots(optimizer: Any, kind: str, variables: Sequence[Any]) -> dict[tuple[str, int], Any]:
    """Return the optimizer's variables by the slot and the number of the model's variable."""
    together = blocks(kind, optimizer, old=False)
    if kind == "SGD" and optimizer.momentum == 0:
        together = together[:-1]
    shapes = [tuple(variable.shape) for variable in variables]
    wanted = list(places(together, shapes))
    first = 1 if keras_private.schedule(optimizer) is not None else 2
    have = optimizer.variables[first : first + len(wanted)]
    if [tuple(v.shape) for v in have] != [shape for _, _, shape in wanted]:
        raise Unfit(f"{kind} of this version of Keras keeps its state otherwise")
    return {
        (slot, number): variable
        for (slot, number, _), variable in zip(wanted, have, strict=True)
        if not (slot in ("rows", "columns") and len(shapes[number]) < 2)
    }


def _add_head(optimizer: Any, state: State, head: tuple[Entry, ...] | None, plan: _Plan) -> None:
    """Note the iterations, the learning rate and what Nadam derives of the iterations."""
    entry = state.iterations or (head[0] if head else None)
    steps = 0
    if entry is not None:
        count = entry.read()
        plain = count.shape == () and count.dtype.kind not in "Oc"
        if not plain or not 0 <= count <= _MOST_ITERATIONS:
            raise Unfit(f"{entry.name} should be the number of its steps, found {count!r:.80}")
        steps = int(count)
        plan.add(optimizer.variables[0], np.asarray(steps))
    if state.rate is not None and keras_private.schedule(optimizer) is None:
        plan.add(optimizer.variables[1], state.rate.read())
    slow = getattr(optimizer, "schedule_decay", None)
    if type(optimizer).__name__ in ("Nadam", "SlowNadam"):
        # The files of Keras 2 lack it or have it wrong; it follows from the iterations.
        product = _momenta(optimizer.beta_1, 1.0 if slow is None else slow, steps)
        plan.add(optimizer.variables[-1], np.asarray(product))


def _momenta(beta: float, decay: float, steps: int) -> float:
    count = min(steps, _MOST_FACTORS)
    factors = (beta * (1 - 0.5 * 0.96 ** (decay * step)) for step in range(1, count + 1))
    return math.prod(factors, start=1.0)


def _add_scale(optimizer: Any, state: State, plan: _Plan) -> None:
    """Note by what the loss is scaled."""
    if not hasattr(optimizer, "dynamic_scale"):
        return
    if state.scale is not None:
        plan.add(optimizer.dynamic_scale, state.scale.read())
    if state.good_steps is not None:
        plan.add(optimizer.step_counter, state.good_steps.read())
