"""Models and weights written: what programs of any Keras call for it is Holdfast's.

Owns what the arguments and the names of files meant in Keras 1 to 3. Leaves the formats, and that
no file is ever torn, to `formats/writing`, and reading to `reading`.

A name is in the format that Keras 2.15 took it for, but for a whole model under a name whose ending
is no format's: Keras 2.4 to 2.15 made a directory of TensorFlow's, Keras before that HDF5, and so
does Holdfast. What is read is told by its contents, so either is found again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from holdfast.compat import reading, saved_places
from holdfast.compat.old import Old, met, place, say
from holdfast.compat.patches import Patches
from holdfast.errors import FormatError, did_you_mean
from holdfast.formats import writing
from holdfast.store import files

SAVE_FORMAT = Old(
    "save_format=",
    "Keras 3.0",
    'the ending of the name: model.save("model.keras"), model.save_weights("model.weights.h5")',
    "writes the format it names: `h5`, `keras`, `tf`",
)
SAVED_MODEL = Old(
    'model.save("folder")',
    "Keras 3.0",
    'model.save("model.keras"), or model.export("folder") to serve it',
    "writes a SavedModel by Keras's export where TensorFlow is installed; else one file of that "
    "name, in HDF5, which `load_model` opens; `ModelCheckpoint` always writes the latter",
)
OTHER_ENDING = Old(
    'model.save("model.model")',
    "Keras 3.0",
    'model.save("model.keras")',
    "writes HDF5 where an ending is no format's, as Keras did up to 2.3",
)
SAVE_ARGUMENTS = Old(
    "model.save(signatures=, options=, save_traces=)",
    "Keras 3.0",
    "model.export",
    "drops `options` and `save_traces`; `signatures` is an error that names `model.export`",
)
WEIGHTS_ENDING = Old(
    'model.save_weights("weights.h5")',
    "Keras 3.0",
    'model.save_weights("model.weights.h5")',
    "writes HDF5 as Keras 2 did, which Keras 2 opens; also `.hdf5`",
)
CHECKPOINT = Old(
    'model.save_weights("weights")',
    "Keras 3.0",
    'model.save_weights("model.weights.h5")',
    "writes a TensorFlow checkpoint, without TensorFlow; also `.ckpt` and any other ending",
)

ROWS = (
    SAVE_FORMAT,
    SAVED_MODEL,
    OTHER_ENDING,
    SAVE_ARGUMENTS,
    WEIGHTS_ENDING,
    CHECKPOINT,
)

_HDF5 = (".h5", ".hdf5")
# As Keras 2 took them, for the weights' files and the models'.
_SAID: dict[str, Literal["h5", "keras", "tf"]] = {
    "h5": "h5",
    "hdf5": "h5",
    "keras": "keras",
    "keras_v3": "keras",
    "tf": "tf",
    "tensorflow": "tf",
}
_ASIDE = ".replaced"


def put(patches: Patches) -> None:
    """Put Holdfast's writing and reading of files in the place of Keras's."""
    import keras

    from holdfast import keras_private

    for name, method in _METHODS.items():
        patches.set(keras.Model, name, method)
    for within, functions in (("models", _MODELS), ("saving", _SAVING)):
        for module in keras_private.modules(within):
            for name, function in functions.items():
                patches.set(module, name, function)


def save_model(
    model: Any,
    filepath: reading.AnyPath,
    overwrite: bool = True,
    zipped: bool | None = None,
    include_optimizer: bool = True,
    save_format: str | None = None,
    signatures: Any = None,
    options: Any = None,
    save_traces: bool = True,
) -> None:
    """Write a whole model, as `keras.saving.save_model` and that of Keras 1 and 2 do.

    Args:
        model: built.
        filepath: of the file, whose ending says the format.
        overwrite: replace what is there; else ask on the terminal.
        zipped: False for a directory of what `.keras` holds, which Keras writes.
        include_optimizer: write, in HDF5, what the model was compiled with.
        save_format: `h5`, `keras` or `tf`.
        signatures: of a SavedModel: refused.
        options, save_traces: of a SavedModel: of no effect.

    Raises:
        FormatError: the format cannot hold the model, or is not known.
        MissingExtraError: a SavedModel, and TensorFlow is not installed.
    """
    if reading.is_elsewhere(filepath) or zipped is False:
        reading.of_keras().save_model(model, filepath, overwrite, zipped)
        return
    path = reading.as_path(filepath, "model.save")
    if options is not None or signatures is not None or not save_traces:
        met(SAVE_ARGUMENTS)
    if signatures is not None:
        raise FormatError(
            f"model.save({str(path)!r}, signatures=...): Holdfast writes a SavedModel with the "
            "model's call as its one signature. For others use keras.export.ExportArchive"
        )
    kind = _model_kind(path, save_format)
    if not _may_write(path, overwrite, [path] if path.exists() else []):
        return
    if kind == "saved_model":
        _save_folder(model, path)
    else:
        writing.save_model(model, path, kind, compiled=include_optimizer)
    saved_places.note(path)


def save_weights(
    model: Any,
    filepath: reading.AnyPath,
    overwrite: bool = True,
    max_shard_size: float | None = None,
    save_format: str | None = None,
    options: Any = None,
) -> None:
    """Write a model's weights, as `keras.saving.save_weights` and that of Keras 1 and 2 do.

    Args:
        model: built.
        filepath: of the file, whose ending says the format; of a checkpoint, its prefix.
        overwrite: replace what is there; else ask on the terminal.
        max_shard_size: in GB, for several files of weights, which Keras writes.
        save_format: `h5` or `tf`.
        options: of no effect.

    Raises:
        FormatError: the format cannot hold the weights, or is not known.
    """
    if reading.is_elsewhere(filepath) or max_shard_size is not None:
        reading.of_keras().save_weights(model, filepath, overwrite, max_shard_size)
        return
    path = reading.as_path(filepath, "model.save_weights")
    if options is not None:
        met(SAVE_ARGUMENTS)
    kind = _weights_kind(path, save_format)
    if not _may_write(path, overwrite, writing.files_of(path)):
        return
    writing.save_weights(model, path, kind)
    saved_places.note(path)


def _model_kind(path: Path, save_format: str | None) -> writing.ModelFormat:
    """Return the format of a whole model's file, by what Keras 2.15 took a name for."""
    said = _said(save_format)
    name = path.name
    if said is not None and not name.endswith((*_HDF5, ".keras")):
        met(SAVE_FORMAT)
    if said in ("h5", "keras"):
        return said
    if name.endswith(".keras"):
        return "keras"
    if name.endswith(_HDF5):
        return "h5"
    known = writing.MODEL_ENDINGS.get(writing.ending_of(path)) if said is None else "saved_model"
    if known is None:
        met(OTHER_ENDING)
        return "h5"
    if known != "saved_model":
        return known
    if not writing.has_tensorflow():
        met(SAVED_MODEL)
        say(
            f"{place()}a SavedModel is written by TensorFlow, which is not installed: {path} is a "
            "file in HDF5, which load_model opens"
        )
        return "h5"
    return "saved_model"


def _weights_kind(path: Path, save_format: str | None) -> writing.WeightsFormat:
    """Return the format of a file of weights, by what Keras 2.15 took a name for."""
    said = _said(save_format)
    name = path.name
    if said is not None:
        met(SAVE_FORMAT)
    if name.endswith(".weights.h5"):
        return "weights.h5"
    in_hdf5 = name.endswith((*_HDF5, ".keras"))
    if said == "tf" and in_hdf5:
        raise FormatError(
            f"save_weights({str(path)!r}, save_format={save_format!r}): a TensorFlow checkpoint's "
            "name does not end so. Leave out save_format for HDF5, or the ending for a checkpoint"
        )
    if in_hdf5 or said in ("h5", "keras"):
        met(WEIGHTS_ENDING)
        return "h5"
    if said is None and writing.ending_of(path) == ".safetensors":
        return "safetensors"
    met(CHECKPOINT)
    return "checkpoint"


def _said(save_format: str | None) -> Literal["h5", "keras", "tf"] | None:
    if not save_format:
        return None
    said = _SAID.get(str(save_format).lower().strip())
    if said is None:
        near = did_you_mean(str(save_format), _SAID)
        raise FormatError(
            f"save_format={save_format!r} is not known{near}: use 'keras', 'h5' or 'tf'"
        )
    return said


def _may_write(path: Path, overwrite: bool, there: list[Path]) -> bool:
    """Return whether to write; where a file stands and may not be replaced, a person is asked."""
    if overwrite or not there:
        return True
    try:
        answer = ""
        while answer not in ("y", "n"):
            answer = input(f"{there[0]} is there already. Replace it? [y/n] ").strip().lower()
    except EOFError:
        raise FormatError(
            f"{there[0]} is there already, overwrite=False, and there is nobody to ask: pass "
            "overwrite=True, or give another name"
        ) from None
    return answer == "y"


def _save_folder(model: Any, path: Path) -> None:
    """Write a SavedModel, in the place of one that is there or of an empty directory."""
    met(SAVED_MODEL)
    aside = path.with_name(f"{path.name}{_ASIDE}")
    replaces = (path / "saved_model.pb").is_file()
    if replaces:
        # A directory cannot be replaced in one step: what was there has this name meanwhile.
        files.remove_tree(aside)
        files.move(path, aside)
    elif path.is_dir() and not any(path.iterdir()):
        path.rmdir()
    try:
        writing.save_model(model, path, "saved_model")
    except BaseException:
        if replaces and not path.exists():
            files.move(aside, path)
        raise
    files.remove_tree(aside)


_METHODS: dict[str, Any] = {
    "save": save_model,
    "save_weights": save_weights,
    "load_weights": reading.load_weights,
    "to_yaml": reading.to_yaml,
}
_MODELS: dict[str, Any] = {
    "save_model": save_model,
    "load_model": reading.load_model,
    "model_from_json": reading.model_from_json,
    "model_from_config": reading.model_from_config,
    "model_from_yaml": reading.model_from_yaml,
}
_SAVING: dict[str, Any] = {
    "save_model": save_model,
    "load_model": reading.load_model,
    "save_weights": save_weights,
    "load_weights": reading.load_weights,
}
