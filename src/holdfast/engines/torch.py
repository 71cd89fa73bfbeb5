"""Steps on PyTorch, as Keras's trainer takes them.

Owns what surrounds a step there: batches on the device, the modes of modules, gradients left from
the step before, and copies of variables, which PyTorch changes in place. The step itself is
Keras's, or the model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import torch
from keras import tree
from numpy.typing import NDArray

from holdfast.data.source import Tree
from holdfast.engines.base import Logs
from holdfast.engines.watch import Watch
from holdfast.errors import UnsupportedError

# Of these PyTorch takes numpy's memory as it is.
_TAKEN = frozenset({"float16", "float32", "float64", "int8", "int16", "int32", "int64"}) | {
    "uint8",
    "bool",
}
_SMALL = 1 << 20
_SHARE = 16


class TorchSteps:
    """Takes single steps. See `engines.stepwise.Steps`.

    Args:
        model: compiled and built.
        watch: whether to see each step's loss and gradient norm.

    Raises:
        UnsupportedError: `steps_per_execution` is not 1.
    """

    def __init__(self, model: Any, *, watch: bool) -> None:
        if model.steps_per_execution != 1:
            raise UnsupportedError(
                f"the model was compiled with steps_per_execution={model.steps_per_execution}, and "
                "Keras takes one step at a time on the backend torch. Compile it without, or "
                "choose the backend jax."
            )
        self._model = model
        self._device = keras.ops.convert_to_tensor(np.zeros(1, "float32")).device
        self._watch = Watch(model) if watch else None
        self._left: list[Any] | None = None
        model.make_train_function()
        model.make_test_function()
        self.how = "each step as Keras's trainer takes it"
        if model.jit_compile:
            self.how += ", compiled by torch.compile"

    def train(self, batch: Tree) -> Logs:
        """Take a training step on a batch of numpy arrays; returns its logs."""
        model = self._model
        if not model.training:
            model.train()
        if self._left is None:
            self._left = _left_by_zero_grad(model)
        for parameter in self._left:
            parameter.grad = None
        data = [tree.map_structure(self._on_device, batch, none_is_leaf=False)]
        if self._watch is None:
            return dict(model.train_function(data))
        with self._watch.listening():
            return dict(model.train_function(data))

    def test(self, batch: Tree) -> Logs:
        """Take an evaluation step on a batch of numpy arrays; returns its logs."""
        self.rest()
        data = tree.map_structure(self._on_device, batch, none_is_leaf=False)
        return dict(self._model.test_function([data]))

    def seen(self, logs: Logs) -> Any | None:
        """Return loss and gradient norm of the step just taken, if they are watched."""
        return None if self._watch is None else self._watch.seen(logs)

    def value(self, variable: Any) -> Any:
        """Return a copy of a variable's value: on the device if it has room."""
        tensor = variable.value.detach()
        return tensor.clone() if _has_room(tensor) else tensor.cpu()

    def copy(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """Copy values to memory of the host that nothing else uses."""
        return [keras.ops.convert_to_numpy(value) for value in values]

    def rest(self) -> None:
        """Switch modules to evaluation, as they are in Keras's hooks between epochs."""
        if self._model.training:
            self._model.eval()

    def wait(self) -> None:
        """Wait until the device has done what it was sent."""
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)

    def _on_device(self, leaf: NDArray[Any]) -> Any:
        if leaf.dtype.name not in _TAKEN:
            return keras.ops.convert_to_tensor(leaf)
        whole = np.ascontiguousarray(leaf)
        if not whole.flags.writeable:
            whole = whole.copy()  # PyTorch warns of memory that it may not write to
        return torch.as_tensor(whole, device=self._device)


def _has_room(tensor: Any) -> bool:
    """Return whether a tensor's device has room for a copy of it, and for much else."""
    if not tensor.is_cuda or tensor.nbytes < _SMALL:
        return True
    free, _ = torch.cuda.mem_get_info(tensor.device)
    return bool(tensor.nbytes * _SHARE < free)


def _left_by_zero_grad(model: Any) -> list[Any]:
    """Return the parameters whose gradients Keras's step would add up from step to step.

    It knows a model's parameters by their paths, of which two layers of one name may have the same.
    """
    if type(model).train_step is not keras.Model.train_step:
        return []  # it may mean to add them up
    known = {id(parameter) for parameter in model.parameters()}
    values = [variable.value for variable in model.trainable_variables]
    return [value for value in values if id(value) not in known]
