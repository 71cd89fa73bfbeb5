"""Writing a model, or its weights, in any format: which one, and durably.

Owns what a name's ending means, and that the old file stands until the new one is whole and on
the disk, whatever kills the process. Leaves the bytes of the formats to `live/write_*`, those of
`.keras` and `.weights.h5` to Keras, and the order of the disk's operations to `store/files`.

Every format but TensorFlow's two is one file. A checkpoint is two and the note `checkpoint`: see
`write_checkpoint`. A SavedModel is a directory, which cannot be replaced at once: one that is there
is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal

from holdfast.errors import FormatError, MissingExtraError, did_you_mean
from holdfast.store import files
from holdfast.store.disk import Buffer

ModelFormat = Literal["keras", "h5", "safetensors", "saved_model"]
WeightsFormat = Literal["weights.h5", "h5", "safetensors", "checkpoint"]

MODEL_ENDINGS: Mapping[str, ModelFormat] = {
    ".keras": "keras",
    ".h5": "h5",
    ".hdf5": "h5",
    ".safetensors": "safetensors",
    "": "saved_model",
}
"""What the endings of a whole model's file mean. A name without one is a directory's."""

WEIGHTS_ENDINGS: Mapping[str, WeightsFormat] = {
    ".weights.h5": "weights.h5",
    ".h5": "h5",
    ".hdf5": "h5",
    ".safetensors": "safetensors",
    ".ckpt": "checkpoint",
    ".tf": "checkpoint",
    "": "checkpoint",
}
"""What the endings of a file of weights mean. A name without one is a checkpoint's prefix."""


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002
    *,
    compiled: bool = True,
) -> None:
    """Write a whole model.

    Args:
        model: built; for `.keras` it may not be yet.
        path: of the file, which is replaced if it is there.
        format: None for what the ending says.
        compiled: write what it was compiled with, and the optimizer's state; Keras's own writers,
            of `.keras` and of SavedModels, do as they do.

    Raises:
        FormatError: the ending says no format of a whole model, or the model cannot be written
            in it. What was there stands.
        MissingExtraError: a SavedModel, and TensorFlow is not installed.
        OSError: the disk. What was there stands.
    """
    path = Path(path)
    kind = model_format(path) if format is None else format
    if kind not in MODEL_ENDINGS.values():
        raise FormatError(_unknown_format(kind, MODEL_ENDINGS))
    if kind != "keras":
        _check_whole(model, kind)
    if kind == "saved_model":
        _export(model, path)
    elif kind == "keras":
        files.make_directory(path.parent)
        # Keras goes by the ending, which may be another where the format was said.
        with_ending = path if path.suffix == ".keras" else path.with_name(f"{path.name}.keras")
        files.replace_by(
            path,
            lambda aside: _keras(model, aside.with_name(with_ending.name), aside),
        )
    else:
        from holdfast.formats.live import write_hdf5, write_safetensors

        module = write_hdf5 if kind == "h5" else write_safetensors
        _put(path, module.whole(model, compiled=compiled))


def save_weights(
    model: Any,
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002
) -> None:
    """Write a model's weights.

    Args:
        model: built.
        path: of the file, which is replaced if it is there; of a checkpoint, its prefix.
        format: None for what the ending says.

    Raises:
        FormatError: the ending says no format of weights, or they cannot be written in it. What
            was there stands.
        OSError: the disk. What was there stands.
    """
    path = Path(path)
    kind = weights_format(path) if format is None else format
    if kind not in WEIGHTS_ENDINGS.values():
        raise FormatError(_unknown_format(kind, WEIGHTS_ENDINGS))
    _check_whole(model, kind)
    if kind == "checkpoint":
        from holdfast.formats.live import write_checkpoint

        files.make_directory(path.parent)
        write_checkpoint.write(model, path)
    elif kind == "weights.h5":
        from holdfast import keras_private

        _put(path, [keras_private.weights_in_hdf5(model)])
    else:
        from holdfast.formats.live import write_hdf5, write_safetensors

        module = write_hdf5 if kind == "h5" else write_safetensors
        _put(path, module.weights(model))


def files_of(path: Path) -> list[Path]:
    """Return the files that writing to a path has made: none where nothing is written yet."""
    if path.exists():
        return [path]
    from holdfast.formats.live import write_checkpoint

    return write_checkpoint.files_of(path)


def model_format(path: Path) -> ModelFormat:
    """Return the format that a name's ending says of a whole model.

    Raises:
        FormatError: it says none.
    """
    if path.name.endswith(".weights.h5"):
        raise FormatError(
            f"{path} names a file of weights: write it by save_weights, or end the name in "
            f"{listed(MODEL_ENDINGS)}"
        )
    ending = ending_of(path)
    if ending not in MODEL_ENDINGS:
        raise FormatError(_unknown_ending(path, ending, MODEL_ENDINGS))
    return MODEL_ENDINGS[ending]


def weights_format(path: Path) -> WeightsFormat:
    """Return the format that a name's ending says of weights.

    Raises:
        FormatError: it says none.
    """
    if path.name.endswith(".weights.h5"):
        return "weights.h5"
    ending = ending_of(path)
    if ending == ".keras":
        raise FormatError(
            f"{path} names a file of a whole model: write it by save_model, or end the name in "
            f"{listed(WEIGHTS_ENDINGS)}"
        )
    if ending not in WEIGHTS_ENDINGS:
        raise FormatError(_unknown_ending(path, ending, WEIGHTS_ENDINGS))
    return WEIGHTS_ENDINGS[ending]


def has_tensorflow() -> bool:
    """Return whether TensorFlow is installed: what stands in for it in a program does not count."""
    return PathFinder.find_spec("tensorflow") is not None


def ending_of(path: Path) -> str:
    """Return a name's ending, or an empty string where it has none.

    A number's point, as in `cp-0.25` or `{val_loss:.2f}`, begins no ending.
    """
    ending = path.suffix
    return "" if ending[1:].isdecimal() or "}" in ending else ending.lower()


def _put(path: Path, buffers: Iterable[Buffer]) -> None:
    files.make_directory(path.parent)
    files.replace_by(path, lambda aside: files.write_new(aside, buffers))


def _keras(model: Any, made: Path, wanted: Path) -> None:
    from holdfast import keras_private

    # Not by `model.save`, which may be Holdfast's own.
    keras_private.saving_api.save_model(model, made)
    if made != wanted:
        made.rename(wanted)


def _export(model: Any, path: Path) -> None:
    """Write a SavedModel by Keras's own export."""
    if not has_tensorflow():
        raise MissingExtraError("TensorFlow", "tensorflow", f"writing a SavedModel to {path}")
    if path.exists():
        raise FormatError(
            f"{path} is there already, and a directory cannot be replaced in one step: remove it "
            "first, or give another name"
        )
    files.make_directory(path.parent)
    files.replace_by(path, lambda aside: _export_to(model, aside))


def _export_to(model: Any, folder: Path) -> None:
    model.export(folder, format="tf_saved_model", verbose=False)
    settle_tree(folder)


def settle_tree(folder: Path) -> None:
    """Make the files in a directory, which another library has written, and their names durable."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            files.settle(Path(root, name))
        files.settle_names(Path(root))


def _check_whole(model: Any, kind: str) -> None:
    """Refuse a model that has no weights yet, or more than the format holds."""
    from holdfast.formats.live import check_modules

    if not model.built:
        raise FormatError(
            f"{model.name} has no weights yet: call it on data, or model.build(input_shape), first"
        )
    check_modules.check_buffers(model, kind)


def listed(endings: Mapping[str, str]) -> str:
    """Return endings for a message."""
    named = [repr(ending) for ending in endings if ending]
    return f"{', '.join(named[:-1])} or {named[-1]}"


def _unknown_ending(path: Path, ending: str, endings: Mapping[str, str]) -> str:
    return (
        f"{path} ends in {ending!r}, which is no format that can be written"
        f"{did_you_mean(ending, [known for known in endings if known])}: end the name in "
        f"{listed(endings)}, or pass format"
    )


def _unknown_format(name: str, endings: Mapping[str, str]) -> str:
    known = list(dict.fromkeys(endings.values()))
    return f"format={name!r} is not known{did_you_mean(name, known)}: use {', '.join(known)}"
