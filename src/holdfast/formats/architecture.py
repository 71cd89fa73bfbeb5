"""A model's configuration alone, as `model.to_json()` gave it: no arrays.

Owns telling which Keras wrote it. Leaves what it means to `legacy` and `live`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from holdfast.errors import FormatError
from holdfast.formats.guard import parse_json
from holdfast.formats.model_file import ByLayer, ModelFile
from holdfast.formats.problems import find_problems
from holdfast.formats.region import open_region
from holdfast.types import Json


def read(path: Path) -> ModelFile:
    """Open the JSON of an architecture.

    Args:
        path: of the file.

    Raises:
        FormatError: it is no JSON, or not a model's.
    """
    with contextlib.ExitStack() as closing:
        region = open_region(path, closing)
        text = region.read(0, region.size)
    return parse(text, path)


def parse(text: bytes | str, path: Path) -> ModelFile:
    """Read the JSON of an architecture.

    Args:
        text: the JSON.
        path: of its file, for messages.

    Raises:
        FormatError: it is no JSON, or not a model's.
    """
    config = parse_json(text, str(path))
    if isinstance(config, str):
        # Programs that wrote `json.dump(model.to_json(), file)` made JSON of JSON.
        config = parse_json(config, str(path))
    if not isinstance(config, dict) or (version := _version(config)) is None:
        raise FormatError(
            f"{path}: expected the JSON of a model's architecture, with class_name and config; "
            "found none"
        )
    return ModelFile(
        path,
        "json",
        ByLayer(()),
        keras_version=version,
        backend=_text(config.get("backend")),
        config=config,
        problems=find_problems(config),
    )


def _version(config: dict[str, Json]) -> str | None:
    """Return the version of Keras, as far as it can be told, or None of what is no model's."""
    if not {"class_name", "config"} <= config.keys():
        return "0.3" if {"name", "layers"} <= config.keys() or "node_config" in config else None
    if said := _text(config.get("keras_version")):
        return said
    return "3" if "module" in config else "1"


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
