"""A model compiled as the file says.

Owns making the objects that `compile` takes, and leaving the model uncompiled, with one warning,
where one of them cannot be made: what a model computes does not depend on them. Leaves what old
files mean to `legacy.training`, which names are allowed to `allowed`, and the optimizer's state to
`optimizer`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras

import holdfast.optimizers  # noqa: F401  (registers what Keras 3 no longer has)
from holdfast.errors import CustomObjectError
from holdfast.formats.legacy.training import translate_training
from holdfast.formats.live import allowed
from holdfast.formats.model_file import ModelFile
from holdfast.types import Json


def compile_model(model: Any, file: ModelFile, custom_objects: Mapping[str, Any] | None) -> bool:
    """Compile a model with what its file says it was compiled with.

    Warns where that cannot be done: of a loss, metric or optimizer that only the caller has, for
    one. The model is then as if it had been saved uncompiled.

    Args:
        model: built.
        file: that it was built from.
        custom_objects: the caller's classes and functions, by name.

    Returns:
        Whether it is compiled now.
    """
    given = allowed.custom(custom_objects)
    arguments, problems = translate_training(file.training, file.keras_version, list(given))
    if problems:
        _warn(file, "; ".join(f"{problem.where}: {problem.what}" for problem in problems))
    if arguments is None:
        return False
    if type(model).compile is not keras.Model.compile:
        _warn(file, f"{type(model).__name__} has a compile of its own")
        return False
    for key in ("metrics", "weighted_metrics"):
        arguments[key] = _by_output(arguments.get(key), getattr(model, "output_names", None) or [])
    try:
        allowed.check(arguments, file.path, given)
        made = keras.saving.deserialize_keras_object(arguments, custom_objects=given)
        model.compile(**made)
    except CustomObjectError as error:
        _warn(file, str(error).removeprefix(f"{file.path}: "))
        return False
    except MemoryError:
        raise
    except Exception as error:
        # Whatever a class says of arguments that it does not take.
        _warn(file, f"{type(error).__name__}: {str(error).strip()[:500]}")
        return False
    return True


def _by_output(metrics: Json, outputs: list[str]) -> Json:
    """Return metrics as Keras 3 takes them of a model with several outputs.

    A list that was not nested was for each output. What `compile` had resolved has the output's
    name before its own, which Keras 3 will put there again.
    """
    if not isinstance(metrics, list) or len(outputs) < 2 or not metrics:
        return metrics
    if not any(isinstance(part, list) or part is None for part in metrics):
        return [list(metrics) for _ in outputs]
    if len(metrics) != len(outputs):
        return metrics
    return [
        [_unprefixed(part, output) for part in of_output]
        if isinstance(of_output, list)
        else of_output
        for of_output, output in zip(metrics, outputs, strict=True)
    ]


def _unprefixed(metric: Json, output: str) -> Json:
    config = metric.get("config") if isinstance(metric, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        return metric
    return {**metric, "config": {**config, "name": config["name"].removeprefix(f"{output}_")}}


def _warn(file: ModelFile, why: str) -> None:
    warnings.warn(
        f"{file.path}: its model is loaded and not compiled: {why}. To train it, pass what is "
        "missing, or call model.compile.",
        stacklevel=5,
    )
