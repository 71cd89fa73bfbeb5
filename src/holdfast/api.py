"""The functions of the package: thin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from holdfast.config import choose_backend
from holdfast.run import Run
from holdfast.store.layout import Layout, is_run

if TYPE_CHECKING:
    from holdfast.callbacks.history import History
    from holdfast.conversion import Proof

    AnyPath = str | os.PathLike[str]


def fit(model: Any, *args: Any, run: AnyPath, **kwargs: Any) -> History:
    """Train a model durably in one call: `Run(run).fit(model, ...)`.

    Args:
        model, args, kwargs: as `Run.fit` takes them.
        run: the directory of the run.

    Example:
        `holdfast.fit(model, x, y, epochs=20, run="runs/digits")`
    """
    return Run(run).fit(model, *args, **kwargs)


def load_model(
    path: AnyPath,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,  # noqa: A002
    *,
    kernels: Literal["tensorflow", "theano"] | None = None,
) -> Any:
    """Return a Keras 3 model that computes what the model in a file computed.

    What kind of file it is, its contents say: `.keras`, HDF5 of Keras 1, 2 and 3, a SavedModel of
    TensorFlow 1 or 2, safetensors with a configuration, a zip of any of these, a run, or the JSON
    of an architecture. No code in it is run, and TensorFlow is not needed.

    Args:
        path: of a file or a directory.
        custom_objects: your own classes and functions by name, as Keras takes them; also, by its
            layer's name, what is to stand in a Lambda's place: a function or a layer.
        compile: compile it as the file says, with the optimizer's state, so that training goes on.
        kernels: for a file of Keras 1 with convolutions, the backend it was trained on: Theano
            turns kernels around, and the file does not say.

    Returns:
        A `keras.Model`. Of a SavedModel without a Keras configuration, one for inference only.

    Raises:
        FormatError: the file is damaged, not safe to read, or of no kind that is known.
        CustomObjectError: it has a part that you must give in `custom_objects`.
        MismatchError: its arrays are not those of its own configuration.

    Example:
        `model = holdfast.load_model("model-of-2019.h5")`
    """
    if is_run(Path(path)):
        return Run(path).load_model(custom_objects=dict(custom_objects or {}), compile=compile)
    choose_backend()
    from holdfast.formats.live import reading

    return reading.load_model(path, custom_objects, compile, kernels)


def load_weights(
    model: Any,
    path: AnyPath,
    strict: bool = True,
    *,
    kernels: Literal["tensorflow", "theano"] | None = None,
) -> None:
    """Give a model that you have built the weights of a file.

    Takes whatever `load_model` takes, and files of weights alone: `.weights.h5`, HDF5, TensorFlow's
    checkpoints (a prefix, its `.index`, or the directory with a `checkpoint` file), safetensors.

    Args:
        model: a built `keras.Model`.
        path: of the file.
        strict: refuse a file that does not have exactly the model's arrays. With False, what
            matches is loaded and a warning lists the rest. A run must match in any case.
        kernels: as `load_model` takes it.

    Raises:
        MismatchError: lists each array that differs; the model is as it was.
        FormatError: the file is damaged, not safe to read, or of no kind that is known.

    Example:
        `holdfast.load_weights(model, "training_1/cp.ckpt")`
    """
    if is_run(Path(path)):
        Run(path).load_weights(model)
        return
    from holdfast.formats.live import reading

    reading.load_weights(model, path, strict, kernels)


def save_model(model: Any, path: AnyPath, format: str | None = None) -> None:  # noqa: A002
    """Write a model: its configuration, weights, and how it was compiled.

    The file of that name stands as it was until the new one is whole and on the disk.

    Args:
        model: a built `keras.Model`.
        path: of the file.
        format: `keras`, `h5` (which Keras 2.15 opens too), `safetensors`, `saved_model` (needs
            TensorFlow) or `run` (a directory that is not there yet); by default what the ending
            says: `.keras`, `.h5`, `.hdf5`, `.safetensors`, or none for a SavedModel.

    Raises:
        FormatError: the ending is no format's, or the format cannot hold this model.
        MissingExtraError: TensorFlow is needed and not installed.

    Example:
        `holdfast.save_model(model, "digits.h5")`
    """
    if format == "run":
        from holdfast.training.saved import save

        save(Layout(Path(path).absolute()), model)
        return
    from holdfast.formats import writing

    writing.save_model(model, path, format)


def save_weights(model: Any, path: AnyPath, format: str | None = None) -> None:  # noqa: A002
    """Write a model's weights alone.

    The file of that name stands as it was until the new one is whole and on the disk.

    Args:
        model: a built `keras.Model`.
        path: of the file; of a checkpoint, what its three files' names begin with.
        format: `weights.h5` (of Keras 3), `h5` (as Keras 2 reads it), `checkpoint` (TensorFlow's) or
            `safetensors`; by default what the ending says: `.weights.h5`, `.h5`, `.hdf5`,
            `.safetensors`, and `.ckpt`, `.tf` or none for a checkpoint.

    Raises:
        FormatError: the ending is no format's.

    Example:
        `holdfast.save_weights(model, "digits.ckpt")`
    """  # noqa: E501
    from holdfast.formats import writing

    writing.save_weights(model, path, format)


def convert(
    source: AnyPath,
    target: AnyPath,
    to: str | None = None,
    *,
    weights_only: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    kernels: Literal["tensorflow", "theano"] | None = None,
) -> Proof:
    """Read a file of one format, write one of another, and prove that they hold the same.

    The new file is read again: every array must have the same bits, and, on random inputs, the
    outputs must agree within 1e-5. It gets its name only then.

    Args:
        source: whatever `load_model` takes.
        target: of the new file.
        to: its format, as `save_model` or `save_weights` take it; by default what the ending says.
        weights_only: write the weights alone.
        custom_objects, kernels: as `load_model` takes them.

    Returns:
        What was found to be the same: `format`, `arrays` (how many have the same bits),
        `difference` (the largest of the outputs, or None where they were not compared) and
        `optimizer` (whether its state is the same, or None where there was none to keep).

    Raises:
        FormatError: the source cannot be read, or the two differ; nothing is left at `target`.

    Example:
        `holdfast.convert("model-of-2019.h5", "model.keras")`
    """
    choose_backend()
    from holdfast.conversion import convert as convert_file

    return convert_file(
        Path(source),
        Path(target),
        to,
        weights_only=weights_only,
        load=lambda path: load_model(path, custom_objects, kernels=kernels),
    )
