"""From a checkpoint to a model.

Owns building a model from what a run holds of it, and giving one its weights. Runs no code
from the run: see `_check_modules`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras

from holdfast.errors import StoreError
from holdfast.state import variables
from holdfast.store.checkpoints import load_arrays, load_manifest
from holdfast.store.identity import load_identity, run_id
from holdfast.store.layout import Layout
from holdfast.types import Json

_MODEL = ("trainable", "non_trainable")


def build_model(layout: Layout, checkpoint: Path, custom_objects: dict[str, Any] | None) -> Any:
    """Return a model with a checkpoint's weights; see `Run.load_model`."""
    config = load_identity(layout).model
    if config is None:
        raise StoreError(
            f"{layout.root} does not hold its model's configuration: Keras could not serialize "
            "it. Build the model yourself and call load_weights(model)."
        )
    _check_modules(config, layout.root)
    try:
        model = keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{layout.root}: the model cannot be built from its configuration: {error}"
        ) from error
    load_weights(layout, checkpoint, model)
    return model


def load_weights(layout: Layout, checkpoint: Path, model: Any) -> None:
    """Give a built model a checkpoint's weights; see `Run.load_weights`."""
    prefixes = tuple(f"{group}/" for group in _MODEL)
    arrays = load_arrays(layout, load_manifest(checkpoint, run_id(layout)), prefixes)
    variables.load(model, {array.name: array for array in arrays}, _MODEL)


def _check_modules(config: Json, root: Path) -> None:
    """Refuse a configuration for which Keras would import a module: importing runs code."""
    if isinstance(config, dict):
        module = config.get("module")
        known = ("keras", "builtins")
        foreign = isinstance(module, str) and module.partition(".")[0] not in known
        if foreign and module not in sys.modules:
            raise StoreError(
                f"{root}: the model has a part of module {module!r}, which is not imported. "
                "If you trust the run, import that module first."
            )
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            _check_modules(part, root)
