"""From a checkpoint to a model.

Owns building a model from what a run holds of it, and giving one its weights. What its
configuration may name is decided in `formats/live/allowed`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from holdfast.errors import StoreError
from holdfast.formats.live import allowed
from holdfast.state import variables
from holdfast.store.checkpoints import load_arrays, load_manifest
from holdfast.store.identity import load_identity, run_id
from holdfast.store.layout import Layout
from holdfast.types import Array

_MODEL = ("trainable", "non_trainable")
_OPTIMIZER = ("optimizer",)


def build_model(
    layout: Layout,
    checkpoint: Path,
    custom_objects: dict[str, Any] | None,
    *,
    compile: bool = True,  # noqa: A002
) -> Any:
    """Return a model with a checkpoint's weights and optimizer; see `Run.load_model`."""
    config = load_identity(layout).model
    if config is None:
        raise StoreError(
            f"{layout.root} does not hold its model's configuration: Keras could not serialize "
            "it, or it has PyTorch modules, which would be pickled. Build the model yourself and "
            "call load_weights(model)."
        )
    given = allowed.custom(custom_objects)
    allowed.check(config, layout.root, given)
    if not compile:
        config = {name: part for name, part in config.items() if name != "compile_config"}
    try:
        model = keras.saving.deserialize_keras_object(config, custom_objects=given)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{layout.root}: the model cannot be built from its configuration: {error}"
        ) from error
    load_weights(layout, checkpoint, model)
    _load_optimizer(layout, checkpoint, model)
    return model


def load_weights(layout: Layout, checkpoint: Path, model: Any) -> None:
    """Give a built model a checkpoint's weights; see `Run.load_weights`."""
    variables.load(model, _arrays(layout, checkpoint, _MODEL), _MODEL)


def _load_optimizer(layout: Layout, checkpoint: Path, model: Any) -> None:
    """Give a compiled model's optimizer what the checkpoint has of it."""
    optimizer = getattr(model, "optimizer", None)
    arrays = _arrays(layout, checkpoint, _OPTIMIZER)
    if optimizer is None or not arrays:
        return
    optimizer.build(model.trainable_variables)
    variables.load(model, arrays, _OPTIMIZER)


def _arrays(layout: Layout, checkpoint: Path, groups: tuple[str, ...]) -> dict[str, Array]:
    prefixes = tuple(f"{group}/" for group in groups)
    arrays = load_arrays(layout, load_manifest(checkpoint, run_id(layout)), prefixes)
    return {array.name: array for array in arrays}
