"""Callbacks as older programs make them.

Owns the classes that are `keras.callbacks.ModelCheckpoint` and `EarlyStopping` while Holdfast is
enabled, the old arguments of Keras's other callbacks, and which callbacks a run does without.
Leaves what metrics are called to `old_logs`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from holdfast import keras_private
from holdfast.arguments import count
from holdfast.callbacks import early_stopping, model_checkpoint
from holdfast.compat import old_logs, saving
from holdfast.compat.old import Old, met, place, say
from holdfast.compat.patches import Patches
from holdfast.compat.translating import Arguments, translate
from holdfast.formats import writing

PERIOD = Old(
    "ModelCheckpoint(period=n)",
    "Keras 3.0",
    "ModelCheckpoint(save_freq=…), which counts batches",
    "looks at every n-th epoch, and goes on counting after a restart",
)
LOADS = Old(
    "ModelCheckpoint(load_weights_on_restart=)",
    "Keras 3.0",
    "nothing: the run goes on by itself",
    "ignored: a run that was interrupted goes on with all of its state",
)
OPTIONS = Old(
    "ModelCheckpoint(options=)",
    "Keras 3.0",
    "nothing",
    "ignored",
)
PLATEAU = Old(
    "ReduceLROnPlateau(epsilon=)",
    "Keras 3.0",
    "ReduceLROnPlateau(min_delta=)",
    "taken as min_delta; Keras 3 ignores it",
)
TENSORBOARD = Old(
    "TensorBoard(batch_size=, write_grads=, embeddings_layer_names=, embeddings_data=)",
    "Keras 3.0",
    "nothing",
    "ignored, as in Keras 2",
)
_BOARDS = ("batch_size", "write_grads", "embeddings_layer_names", "embeddings_data")


class ModelCheckpoint(model_checkpoint.ModelCheckpoint):
    """Holdfast's, with the arguments of older Keras.

    Args:
        period: look at every n-th epoch only, as Keras 2 counted them: from 1 on in each training.
        load_weights_on_restart: has no effect: the run goes on by itself.
        options: has no effect.

    Raises:
        PlanError: an argument that cannot be used.
    """

    # The others are those of Holdfast's, which names them where one is misspelt.
    def __init__(
        self,
        *args: Any,
        period: int = 1,
        load_weights_on_restart: bool = False,
        options: Any = None,
        **kwargs: Any,
    ) -> None:
        self.period = count("ModelCheckpoint", "period", period, 1)
        if self.period > 1:
            met(PERIOD)
        if load_weights_on_restart:
            met(LOADS)
        if options is not None:
            met(OPTIONS)
        self._since = 0
        if not kwargs.get("save_weights_only", args[4:5] == (True,)):
            self._form = _whole_model(kwargs.get("filepath", args[0] if args else ""))
        super().__init__(*args, **kwargs)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._since = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._since += 1
        if self._since < self.period and self.save_freq == "epoch":
            return
        self._since = 0
        super().on_epoch_end(epoch, logs)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "since": self._since}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._since = state.get("since", 0)


class _EitherOne(type):
    """A class whose instances are Holdfast's, and Keras's those of its subclasses."""

    def __instancecheck__(cls, item: object) -> bool:
        ours = cls is EarlyStopping and isinstance(item, early_stopping.EarlyStopping)
        return ours or super().__instancecheck__(item)


class EarlyStopping(keras.callbacks.EarlyStopping, metaclass=_EitherOne):  # type: ignore[misc]
    """Holdfast's, which takes what Keras's takes.

    Subclasses are of Keras's: they are written against what is inside it.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is EarlyStopping:
            return early_stopping.EarlyStopping(*args, **kwargs)
        return super().__new__(cls)


def today(callbacks: Any) -> list[Any]:
    """Return the callbacks of a call of fit that a run trains with.

    Args:
        callbacks: as they were given: one, a list, nested lists, a `CallbackList` or None.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    found: list[Any] = []
    for callback in keras.tree.flatten(callbacks) if callbacks else []:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            _say("BackupAndRestore is left out: the run itself does what it does, to the step")
        elif isinstance(callback, keras.callbacks.TensorBoard) and not writing.has_tensorflow():
            _say(
                "TensorBoard is left out: it writes by TensorFlow, which is not installed. "
                "`holdfast show` and `plot` have the run's curves"
            )
        else:
            found.append(callback)
    return found


def _whole_model(filepath: Any) -> str | None:
    """Return the format of a whole model's file where its name says none, such as a folder's."""
    path = Path(os.fspath(filepath))
    if writing.ending_of(path) in (".keras", ".h5", ".hdf5", ".safetensors"):
        return None
    met(saving.SAVED_MODEL)
    return "h5"


def rename(callbacks: Sequence[Any], model: Any) -> None:
    """Call what callbacks monitor, and what names their files, as the model's logs will call it.

    Args:
        callbacks: of a plan.
        model: compiled and built.
    """
    bare = ["loss", *keras_private.metric_names(model)]
    names = {*bare, *(f"val_{name}" for name in bare)}

    def present(name: str) -> str:
        return old_logs.present(name, names)

    for callback in callbacks:
        if hasattr(callback, "rename"):
            callback.rename(present)
        elif isinstance(getattr(callback, "monitor", None), str):
            callback.monitor = present(callback.monitor)


def put(patches: Patches) -> None:
    """Bind the names in `keras.callbacks`, and let Keras's own take old arguments."""
    old_logs.put(patches)
    for module in keras_private.modules("callbacks"):
        patches.set(module, "ModelCheckpoint", ModelCheckpoint)
        patches.set(module, "EarlyStopping", EarlyStopping)
    translate(patches, keras.callbacks.ReduceLROnPlateau, "__init__", _plateau)
    translate(patches, keras.callbacks.ReduceLROnPlateau, "on_epoch_end", _monitoring)
    translate(patches, keras.callbacks.TensorBoard, "__init__", _board)


def _plateau(callback: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    if "epsilon" in kwargs:
        met(PLATEAU)
        kwargs["min_delta"] = kwargs.pop("epsilon")
    return args, kwargs


def _monitoring(callback: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Rename what is monitored, where no run has done it before."""
    logs = kwargs.get("logs", args[1] if len(args) > 1 else None)
    callback.monitor = old_logs.present(callback.monitor, list(logs or ()))
    return args, kwargs


def _board(callback: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    for name in _BOARDS:
        if name in kwargs:
            met(TENSORBOARD)
            del kwargs[name]
    return args, kwargs


@functools.cache
def _say(text: str) -> None:
    """Say something once a process."""
    say(f"{place()}{text}")


ROWS = (PERIOD, LOADS, OPTIONS, PLATEAU, TENSORBOARD)
