"""Holdfast: Keras trainings that cannot be lost. The public names, nothing else.

Importing this imports neither Keras nor a backend. Where nobody has chosen Keras's backend
(no KERAS_BACKEND, no keras.json but the one Keras writes itself) it chooses JAX, so import it
before keras.
"""

from typing import TYPE_CHECKING, Any

from holdfast import errors
from holdfast.config import choose_backend as _choose_backend

if TYPE_CHECKING:
    from holdfast.api import convert, fit, load_model, load_weights, save_model, save_weights
    from holdfast.callbacks.early_stopping import EarlyStopping
    from holdfast.callbacks.model_checkpoint import ModelCheckpoint
    from holdfast.callbacks.rollback import Rollback
    from holdfast.compat.switch import disable, enable
    from holdfast.exporting.export import export
    from holdfast.run import Run
    from holdfast.store.retention import Keep
    from holdfast.training.cadence import Every

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
    "export",
    "fit",
    "load_model",
    "load_weights",
    "save_model",
    "save_weights",
]

# Imported when asked for: what judges on a small board has neither Keras nor the store's needs.
_LATER = {
    "EarlyStopping": "callbacks.early_stopping",
    "Every": "training.cadence",
    "Keep": "store.retention",
    "ModelCheckpoint": "callbacks.model_checkpoint",
    "Rollback": "callbacks.rollback",
    "Run": "run",
    "convert": "api",
    "disable": "compat.switch",
    "enable": "compat.switch",
    "export": "exporting.export",
    "fit": "api",
    "load_model": "api",
    "load_weights": "api",
    "save_model": "api",
    "save_weights": "api",
}

_choose_backend()


def __getattr__(name: str) -> Any:
    """Import what is not imported from the beginning, when it is asked for."""
    from importlib import import_module

    if name == "judge":  # a module of its own, for those who write `import holdfast` alone
        return import_module("holdfast.judge")
    if name not in _LATER:
        hint = errors.did_you_mean(name, __all__)
        if hasattr(errors, name):
            hint = f" (did you mean 'holdfast.errors.{name}'?)"
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}{hint}")
    return getattr(import_module(f"holdfast.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
