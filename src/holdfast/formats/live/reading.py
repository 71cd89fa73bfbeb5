"""Models out of files, and weights into models.

Owns the order of the steps: open, build, bind, compile. Leaves each to its module.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.formats import architecture
from holdfast.formats.legacy.keras1 import Kernels
from holdfast.formats.live import bind
from holdfast.formats.live.build import build_model
from holdfast.formats.live.compiling import compile_model
from holdfast.formats.live.optimizer import restore_optimizer
from holdfast.formats.opening import open_file


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,  # noqa: A002
    kernels: Kernels | None = None,
) -> Any:
    """Return the model of a file; see `holdfast.load_model`."""
    with open_file(Path(path)) as file:
        if file.config is None and file.graph is not None:
            from holdfast.formats.live.served import serve

            return serve(file)
        built = build_model(file, custom_objects, kernels)
        if file.format == "json":
            bind.start(built.model, file, built.translation)
            warnings.warn(
                f"{path} is a model's architecture and holds no weights: these are initial ones. "
                "Load those of training with holdfast.load_weights(model, path)",
                stacklevel=3,
            )
            return built.model
        bind.bind(built.model, file, translation=built.translation)
        if compile and compile_model(built.model, file, custom_objects):
            restore_optimizer(built.model, file, built.translation)
        return built.model


def model_of_json(text: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the model of an architecture, as any Keras's `to_json` gave it, with initial weights.

    Raises:
        CustomObjectError, FormatError: as `load_model` does.
    """
    file = architecture.parse(text, Path("the JSON"))
    built = build_model(file, custom_objects)
    bind.start(built.model, file, built.translation)
    return built.model


def load_weights(
    model: Any,
    path: str | os.PathLike[str],
    strict: bool = True,
    kernels: Kernels | None = None,
    *,
    by_name: bool = False,
) -> None:
    """Give a model the weights of a file; see `holdfast.load_weights`, and `bind` for `by_name`."""
    with open_file(Path(path)) as file:
        different = bind.bind(model, file, kernels=kernels, strict=strict, by_name=by_name)
    if different:
        lines = [f"  {name}: expected {then}, found {now}" for name, then, now in different]
        warnings.warn(
            f"{path}: not all of it matches the model:\n" + "\n".join(lines), stacklevel=3
        )
