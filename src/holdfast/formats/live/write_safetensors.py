"""A model as safetensors: arrays by the paths of their variables, the configuration in the header.

Owns what is in the header and the names. Leaves the bytes to `formats/safetensors`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any

import keras

from holdfast.formats import safetensors
from holdfast.formats.live.by_name import paths_of
from holdfast.formats.live.describe_objects import configuration, value_of
from holdfast.formats.model_file import Entry
from holdfast.store.disk import Buffer


def whole(model: Any, *, compiled: bool = True) -> Iterable[Buffer]:
    """Return a file of a whole model, but for its optimizer's state, in pieces.

    Args:
        model: built.
        compiled: write what it was compiled with.

    Raises:
        FormatError: the model has no configuration, or an array of a type that has no code.
    """
    config = configuration(model)
    given = config.pop("compile_config", None)
    texts = {safetensors.CONFIG: json.dumps(config)}
    if given and compiled:
        texts[safetensors.TRAINING] = json.dumps(given)
    return _encoded(model, texts)


def weights(model: Any) -> Iterable[Buffer]:
    """Return a file of a model's weights, in pieces.

    Raises:
        FormatError: an array is of a type that has no code.
    """
    return _encoded(model, {})


def _encoded(model: Any, texts: dict[str, str]) -> Iterable[Buffer]:
    entries = [
        Entry(
            path,
            tuple(variable.shape),
            keras.backend.standardize_dtype(variable.dtype),
            functools.partial(value_of, variable),
        )
        for path, variable in paths_of(model).items()
    ]
    order = json.dumps([entry.name for entry in entries])
    texts = {**texts, safetensors.ORDER: order, safetensors.VERSION: keras.__version__}
    return safetensors.encode(entries, texts)
