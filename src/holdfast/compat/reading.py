"""Models and weights read: what programs of any Keras call for it is Holdfast's.

Owns what the arguments meant in Keras 1 to 3, and what they returned. Leaves the files to
`formats`, and where a file that is not there may be to `saved_places`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from holdfast import api
from holdfast.compat import saved_places
from holdfast.compat.old import Old, met
from holdfast.errors import FormatError, NotThereError
from holdfast.formats.detect import family_of
from holdfast.store.layout import is_run

AnyPath = str | os.PathLike[str]

LOAD_CHECKPOINT = Old(
    'model.load_weights("model.ckpt")',
    "Keras 3.0",
    'model.load_weights("model.weights.h5")',
    "reads TensorFlow's checkpoints and SavedModels, without TensorFlow",
)
LOAD_SAVED_MODEL = Old(
    'load_model("folder")',
    "Keras 3.0",
    'load_model("model.keras"), or keras.layers.TFSMLayer("folder")',
    "builds the Keras model that a SavedModel holds, without TensorFlow",
)
STATUS = Old(
    "model.load_weights(...).expect_partial()",
    "Keras 3.0",
    "model.load_weights(...)",
    "answers as for a checkpoint that was loaded whole; `load_weights` refuses any other",
)
OPTIONS = Old(
    "load_model and model.load_weights(options=)",
    "Keras 3.0",
    "nothing",
    "drops it: it says where TensorFlow is to read",
)
OLD_JSON = Old(
    "model_from_json(JSON of Keras 1 or 2)",
    "Keras 3.0",
    "model_from_json(JSON that today's model.to_json() gave)",
    "translates the architecture",
)
FROM_CONFIG = Old(
    "keras.models.model_from_config",
    "Keras 3.0",
    "keras.models.model_from_json, or type(model).from_config(model.get_config())",
    "builds the model",
)
YAML = Old(
    "model.to_yaml() and model_from_yaml",
    "Keras 2.6",
    "model.to_json() and model_from_json",
    "an error that says so: YAML can name what is to be run, and is not read",
)

ROWS = (
    LOAD_CHECKPOINT,
    LOAD_SAVED_MODEL,
    STATUS,
    OPTIONS,
    OLD_JSON,
    FROM_CONFIG,
    YAML,
)

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def load_model(
    filepath: AnyPath,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,  # noqa: A002
    safe_mode: bool = True,
    options: Any = None,
    kernels: Literal["tensorflow", "theano"] | None = None,
) -> Any:
    """Return the model of a file, as `keras.saving.load_model` and that of Keras 1 and 2 do.

    Args:
        filepath: of any file that `holdfast.load_model` takes.
        custom_objects, compile, kernels: as it takes them.
        safe_mode: of no effect: no code of a file is ever run.
        options: of no effect.

    Raises:
        NotThereError: there is no such file.
        FormatError: as `holdfast.load_model`.
    """
    path = as_path(filepath, "load_model")
    if is_elsewhere(filepath) or _is_of_orbax(path):
        return of_keras().load_model(filepath, custom_objects, compile, safe_mode)
    if options is not None:
        met(OPTIONS)
    if _family(path) == "saved_model":
        met(LOAD_SAVED_MODEL)
    return api.load_model(path, custom_objects, compile, kernels=kernels)


def load_weights(
    model: Any,
    filepath: AnyPath,
    skip_mismatch: bool = False,
    by_name: bool | None = None,
    options: Any = None,
    objects_to_skip: Any = None,
    strict: bool = True,
    kernels: Literal["tensorflow", "theano"] | None = None,
) -> LoadStatus | None:
    """Give a model the weights of a file, as `keras.saving.load_weights` and older ones do.

    Args:
        model: built.
        filepath: of any file that `holdfast.load_weights` takes.
        skip_mismatch: load what matches, and warn of the rest.
        by_name: load the layers whose names the file has, and leave the others.
        options: of no effect.
        objects_to_skip: of `.weights.h5`, which Keras then reads.
        strict, kernels: as `holdfast.load_weights` takes them.

    Returns:
        For a checkpoint of TensorFlow's what TensorFlow returns; else None.

    Raises:
        NotThereError: there is no such file.
        MismatchError: it holds the weights of another architecture; the model is as it was.
        FormatError: as `holdfast.load_weights`.
    """
    path = as_path(filepath, "model.load_weights")
    if is_elsewhere(filepath) or _is_of_orbax(path) or objects_to_skip is not None:
        given = {"by_name": by_name, "objects_to_skip": objects_to_skip}
        given = {name: value for name, value in given.items() if value is not None}
        of_keras().load_weights(model, filepath, skip_mismatch, **given)
        return None
    if options is not None:
        met(OPTIONS)
    of_tensorflow = _family(path) in ("checkpoint", "saved_model")
    if of_tensorflow:
        met(LOAD_CHECKPOINT)
    if not model.built:
        raise FormatError(
            f"{model.name} has no weights yet to be loaded from {path}: call it on data, or "
            "model.build(input_shape), first"
        )
    if is_run(path):
        api.load_weights(model, path)
    else:
        from holdfast.formats.live import reading

        loose = skip_mismatch or not strict
        reading.load_weights(model, path, not loose, kernels, by_name=bool(by_name))
    return LoadStatus() if of_tensorflow else None


class LoadStatus:
    """What `load_weights` returns for a checkpoint of TensorFlow's: all of it was loaded."""

    def assert_consumed(self) -> LoadStatus:
        return self._met()

    def assert_existing_objects_matched(self) -> LoadStatus:
        return self._met()

    def assert_nontrivial_match(self) -> LoadStatus:
        return self._met()

    def expect_partial(self) -> LoadStatus:
        return self._met()

    def initialize_or_restore(self, session: Any = None) -> None:
        self._met()

    def run_restore_ops(self, session: Any = None) -> None:
        self._met()

    def _met(self) -> LoadStatus:
        met(STATUS)
        return self


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the model that the JSON of any Keras describes, with initial weights.

    Args:
        json_string: as `to_json` gave it.
        custom_objects: classes and functions by their names.

    Raises:
        CustomObjectError: a part of it must be given in `custom_objects`.
        FormatError: it is no JSON of a model.
    """
    from holdfast import keras_private
    from holdfast.formats.live import reading

    try:
        config = json.loads(json_string)
    except (TypeError, ValueError):
        config = None
    # What today's Keras wrote, it reads itself.
    if isinstance(config, dict) and "module" in config:
        return keras_private.model_from_json(json_string, custom_objects)
    model = reading.model_of_json(json_string, custom_objects)
    met(OLD_JSON)
    return model


def model_from_config(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the model that a configuration describes: what is in the JSON of `model_from_json`.

    Args:
        config: a dictionary with `class_name` and `config`.
        custom_objects: as `model_from_json` takes them.

    Raises:
        FormatError: as `model_from_json`.
    """
    met(FROM_CONFIG)
    return model_from_json(json.dumps(config), custom_objects)


def model_from_yaml(yaml_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Refuse: YAML can name what is to be run."""
    met(YAML)
    raise FormatError(
        "model_from_yaml: YAML can name what is to be run, and no Keras since 2.6 reads it. Make "
        "JSON of the architecture, by model.to_json() where the program that made it still runs, "
        "and read it by model_from_json; or build the model by its own code and load its weights"
    )


def to_yaml(model: Any, **_: Any) -> str:
    """Refuse: no Keras since 2.6 writes YAML."""
    met(YAML)
    raise FormatError("model.to_yaml(): no Keras since 2.6 writes YAML. Use model.to_json()")


def as_path(filepath: Any, what: str) -> Path:
    """Return what a program gave as a path.

    Args:
        filepath: that it gave.
        what: it called.

    Raises:
        FormatError: it is no path.
    """
    try:
        return Path(os.fsdecode(filepath))
    except TypeError:
        raise FormatError(
            f"{what} takes the path of a file: expected a str or a pathlib.Path, found "
            f"{type(filepath).__name__}"
        ) from None


def _family(path: Path) -> str:
    """Return what kind of file is at a path.

    Raises:
        NotThereError: there is nothing.
    """
    try:
        return family_of(path)
    except NotThereError as error:
        raise saved_places.not_there(path, str(error)) from None


def is_elsewhere(filepath: Any) -> bool:
    """Return whether a path is of another machine, such as `gs://` or `hf://`: Keras's matter."""
    return isinstance(filepath, str) and _ELSEWHERE.match(filepath) is not None


def _is_of_orbax(path: Path) -> bool:
    """Return whether a path is of Keras's OrbaxCheckpoint, which Keras alone reads."""
    return path.is_dir() and bool(of_keras().is_orbax_checkpoint(path))


def of_keras() -> Any:
    """Return Keras's own functions for files."""
    from holdfast import keras_private

    return keras_private.saving_api
