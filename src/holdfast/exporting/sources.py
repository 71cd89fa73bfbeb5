"""What is exported: a run, a file, or a model of this process; and what is known of it.

Owns which checkpoint of a run it is. Leaves reading to `Run` and `load_model`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast import api
from holdfast.config import choose_backend
from holdfast.errors import MissingExtraError
from holdfast.judge import carried
from holdfast.judge.about import About
from holdfast.run import Run
from holdfast.store.layout import is_run


def opened(source: Any, custom_objects: Mapping[str, Any]) -> tuple[Any, About]:
    """Return a model, and what is known of it.

    Args:
        source: a path, or a `keras.Model`.
        custom_objects: as `holdfast.load_model` takes them.

    Raises:
        FormatError: it cannot be read.
        StoreError: the run has no checkpoint, or it cannot be read.
        MissingExtraError: Keras has no backend installed.
    """
    choose_backend()
    try:
        import keras
    except ModuleNotFoundError as error:  # Keras without a backend does not import
        raise MissingExtraError(str(error.name), "jax", "Exporting") from error
    from holdfast.judge.of_run import load_best, of_file, of_model

    if not isinstance(source, str | os.PathLike):
        if not isinstance(source, keras.Model):
            raise TypeError(
                f"expected a path or a keras.Model to export, found {type(source).__name__}"
            )
        return source, of_model(source, source.name)
    path = Path(source)
    if is_run(path):
        return load_best(Run(path), dict(custom_objects))
    model = api.load_model(path, custom_objects, compile=False)
    return model, of_file(model, carried.of_keras(path))
