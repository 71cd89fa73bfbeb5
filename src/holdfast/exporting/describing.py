"""What an exported file will say of its model.

Owns putting together what is known from the source, what was told, and how the file was made.
Leaves the value to `judge/about`, and what a run knows of itself to the run.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from holdfast.errors import ExportError, did_you_mean
from holdfast.exporting.kinds import Kind
from holdfast.exporting.portable import Portable
from holdfast.judge.about import About
from holdfast.judge.keras_model import signature_of
from holdfast.judge.loading import check_classes
from holdfast.types import Json

_PACKAGES = {"ai_edge_litert": "ai-edge-litert"}


def described(
    known: About,
    model: Portable,
    classes: Sequence[str] | None,
    inputs: Mapping[str, str] | None,
) -> About:
    """Return what is known of a model, with what was told now in its place.

    Raises:
        FormatError: what was told does not fit the model.
    """
    told = tuple(known.classes if classes is None else classes)
    # Formats take fewer names than Keras does.
    asked = zip(signature_of(model.original).inputs, model.signature.inputs, strict=True)
    named = {original.name: tensor.name for original, tensor in asked}
    meaning = {
        named.get(name, name): words
        for name, words in (dict(known.inputs) | dict(inputs or {})).items()
    }
    if len(set(told)) != len(told):
        twice = next(name for name in told if told.count(name) > 1)
        raise ExportError(f"two classes are named {twice!r}")
    _check_inputs(meaning, model)
    about = dataclasses.replace(known, classes=told, inputs=meaning)
    check_classes(model.model.name, about, model.signature)
    return about


def made_by(kind: Kind, model: Portable) -> dict[str, Json]:
    """Return by which versions a file was made, and the order of what the model takes and gives."""
    packages = {"holdfast": "holdfast", "keras": "keras", **kind.needs}
    signature = model.signature
    made: dict[str, Json] = {
        "format": kind.name,
        "versions": {"python": platform.python_version(), **_versions(packages)},
        # The order that the model has them in: other runtimes sort names.
        "inputs": [tensor.name for tensor in signature.inputs],
        "outputs": [tensor.name for tensor in signature.outputs],
    }
    if model.computed != "float32":
        made["trained_in"] = model.computed
    return made


def _versions(modules: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for module in modules:
        for package in (_PACKAGES.get(module, module), f"{module}-cpu"):
            try:
                found[module] = version(package)
                break
            except PackageNotFoundError:
                continue
    return found


def _check_inputs(meaning: Mapping[str, Any], model: Portable) -> None:
    names = [tensor.name for tensor in model.signature.inputs]
    for name in meaning:
        if name not in names:
            raise ExportError(
                f"the model has no input {name!r}{did_you_mean(name, names)}: it has "
                f"{', '.join(names)}"
            )
