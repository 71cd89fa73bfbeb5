"""Which runtime a path is for.

Owns the choice. Leaves files of models that Keras runs to `holdfast.load_model`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.errors import FormatError, MissingExtraError
from holdfast.judge import carried
from holdfast.judge.about import About
from holdfast.judge.judge import Judge, Runtime
from holdfast.judge.one_by_one import OneByOne, is_of_one
from holdfast.judge.signature import Signature, Tensor

_LITE = b"TFL3"


def load(path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None = None) -> Judge:
    """Return a model to judge with.

    An `.onnx` is run by onnxruntime, a `.tflite` by LiteRT, a `.stablehlo` by JAX, a SavedModel's
    directory by TensorFlow; a run (its best checkpoint) and whatever else `holdfast.load_model`
    opens by Keras. Only these last import Keras.

    Args:
        path: of a file or a directory.
        custom_objects: as `holdfast.load_model` takes them, for what Keras runs.

    Raises:
        FormatError: the file is damaged, or of no kind that is known.
        NotThereError: there is nothing at the path.
        MissingExtraError: what runs it is not installed.

    Example:
        `probabilities = holdfast.judge.load("digits.onnx")(rows)`
    """
    path = Path(path)
    runtime, about = _loaded(path, dict(custom_objects or {}))
    if not runtime.signature.inputs or not runtime.signature.outputs:
        raise FormatError(f"{path}: expected a model with an input and an output")
    runtime = _in_order(runtime, about)
    check_classes(path, about, runtime.signature)
    return Judge(path, OneByOne(runtime) if is_of_one(runtime.signature) else runtime, about)


def check_classes(path: object, about: About, signature: Signature) -> None:
    """Check that there are as many names of classes as the model tells apart.

    Raises:
        FormatError: there are not.
    """
    if _fits(about, signature):
        return
    output, told = signature.outputs[0], len(about.classes)
    found = _scores(signature)
    names = ", ".join(about.classes[:4]) + (", …" if told > 4 else "")
    raise FormatError(
        f"{path}: its output {output.name} has {found} numbers for each row, and {told} names of "
        f"classes were given ({names}): there should be as many"
    )


def _fits(about: About, signature: Signature) -> bool:
    found, told = _scores(signature), len(about.classes)
    return not told or found in (None, told) or (found, told) == (1, 2)


def _scores(signature: Signature) -> int | None:
    output = signature.outputs[0]
    return output.shape[-1] if output.sample else 1


def _loaded(path: Path, custom_objects: dict[str, Any]) -> tuple[Runtime, About]:
    if path.is_file():
        if _begins_as_lite(path):
            from holdfast.judge.litert import LiteRT

            about = carried.of_appended(path)
            carried.check_sum(path, about)
            lite = LiteRT(path)
            # Names that others have put there may be of what they make of the outputs.
            if not about.export and not _fits(about, lite.signature):
                about = replace(about, classes=())
            return lite, about
        ending = path.suffix.lower()
        if ending == ".onnx":
            from holdfast.judge.onnx import Onnx

            onnx = Onnx(path)
            return onnx, carried.of_onnx(path, onnx.metadata)
        if ending == ".stablehlo":
            from holdfast.judge.stablehlo import StableHLO

            about = carried.of_appended(path)
            carried.check_sum(path, about)
            return StableHLO(path), about
    if (path / "saved_model.pb").is_file():
        return _saved_model(path, custom_objects)
    return _by_keras(path, custom_objects)


def _saved_model(path: Path, custom_objects: dict[str, Any]) -> tuple[Runtime, About]:
    """Return a SavedModel in TensorFlow, or without it what Holdfast itself reads of it."""
    from holdfast.judge.saved_model import SavedModel

    try:
        return SavedModel(path), carried.of_saved_model(path)
    except MissingExtraError as missing:
        try:
            return _by_keras(path, custom_objects)
        except FormatError:
            raise missing from None


def _by_keras(path: Path, custom_objects: dict[str, Any]) -> tuple[Runtime, About]:
    from holdfast.config import choose_backend

    choose_backend()
    try:
        import keras  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "jax", f"Judging with {path}") from error
    from holdfast.store.layout import is_run

    if is_run(path):
        from holdfast.judge.of_run import load_best
        from holdfast.run import Run

        model, about = load_best(Run(path), custom_objects)
    else:
        from holdfast.api import load_model

        try:
            about = carried.of_keras(path)
            model = load_model(path, custom_objects, compile=False)
        except FormatError as error:
            if "\nKnown are: " not in str(error):
                raise
            raise FormatError(f"{error}\nAnd: .onnx, .tflite and .stablehlo.") from None
        from holdfast.judge.of_run import of_file

        about = of_file(model, about)
    from holdfast.judge.keras_model import KerasModel

    return KerasModel(model), about


def _begins_as_lite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == _LITE


def _in_order(runtime: Runtime, about: About) -> Runtime:
    """Put inputs and outputs in the order in which the model had them before it was exported.

    TensorFlow and LiteRT sort them by name. The file may tell: `export` has `inputs` and `outputs`,
    lists of names.
    """
    signature = runtime.signature
    runtime.signature = replace(
        signature,
        inputs=_sorted(signature.inputs, about.export.get("inputs")),
        outputs=_sorted(signature.outputs, about.export.get("outputs")),
    )
    return runtime


def _sorted(tensors: tuple[Tensor, ...], names: Any) -> tuple[Tensor, ...]:
    by_name = {tensor.name: tensor for tensor in tensors}
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return tensors
    if sorted(names) != sorted(by_name):
        return tensors
    return tuple(by_name[name] for name in names)
