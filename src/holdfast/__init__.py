"""Holdfast: Keras trainings that cannot be lost. The public names, nothing else.

Importing this imports neither Keras nor a backend. Where nobody has chosen Keras's backend
(no KERAS_BACKEND, no keras.json but the one Keras writes itself) it chooses JAX, so import it
before keras.
"""

from typing import TYPE_CHECKING, Any

from holdfast import errors
from holdfast.api import convert, fit, load_model, load_weights, save_model, save_weights
from holdfast.config import choose_backend as _choose_backend
from holdfast.run import Run
from holdfast.store.retention import Keep
from holdfast.training.cadence import Every

if TYPE_CHECKING:
    from holdfast.callbacks.early_stopping import EarlyStopping
    from holdfast.callbacks.model_checkpoint import ModelCheckpoint
    from holdfast.callbacks.rollback import Rollback
    from holdfast.compat.switch import disable, enable

__all__ = [
    "EarlyStopping",
    "Every",
    "Keep",
    "ModelCheckpoint",
    "Rollback",
    "Run",
    "convert",
    "disable",
    "enable",
    "errors",
    "fit",
    "load_model",
    "load_weights",
    "save_model",
    "save_weights",
]

# Callbacks are Keras's, and their modules import it; the others not every program needs.
_LATER = {
    "EarlyStopping": "callbacks.early_stopping",
    "ModelCheckpoint": "callbacks.model_checkpoint",
    "Rollback": "callbacks.rollback",
    "disable": "compat.switch",
    "enable": "compat.switch",
}

_choose_backend()


def __getattr__(name: str) -> Any:
    """Import what is not imported from the beginning, when it is asked for."""
    if name not in _LATER:
        hint = errors.did_you_mean(name, __all__)
        if hasattr(errors, name):
            hint = f" (did you mean 'holdfast.errors.{name}'?)"
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}{hint}")
    from importlib import import_module

    return getattr(import_module(f"holdfast.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
