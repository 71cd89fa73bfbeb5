"""One file into another of another format, and the proof that they hold the same.

Owns the comparison, and that nothing gets the target's name before it. Leaves reading and
writing to `formats` and `run`.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError, MissingExtraError
from holdfast.formats import writing
from holdfast.formats.live import reading
from holdfast.store import files
from holdfast.store.layout import Layout
from holdfast.training.saved import save as save_run

_TOLERANCE = 1e-5
_BATCH = 2
_FOLDERS = ("run", "saved_model")
# What a dimension of any length is tried with, until one is taken.
_LENGTHS = (8, 32, 64, 224)


@dataclass(frozen=True)
class Proof:
    """What was found to be the same of two files.

    Args:
        format: of the new one.
        arrays: how many arrays have the same bits.
        difference: the largest of the outputs on random inputs, relative where they are larger than
            1; None where they were not compared.
        optimizer: whether the optimizer's state has the same bits; None where the model has none,
            or the weights alone were asked for.
    """

    format: str
    arrays: int
    difference: float | None
    optimizer: bool | None = None


def convert(
    source: Path,
    target: Path,
    to: str | None,
    *,
    weights_only: bool,
    load: Callable[[Path], Any],
) -> Proof:
    """Write `target` from `source`; see `holdfast.convert`.

    Args:
        source, target, to, weights_only: as `holdfast.convert` has them.
        load: returns the model of a file.

    Returns:
        What was found to be the same.
    """
    if to == "run" and weights_only:
        raise FormatError("a run holds a model, and the weights alone were asked for")
    ending = writing.weights_format if weights_only else writing.model_format
    form = to or ending(target)
    check_target(source, target, form)
    model = load(source)
    files.make_directory(target.absolute().parent)
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=target.absolute().parent) as folder:
        aside = Path(folder) / target.name
        _write(model, aside, form, weights_only)
        if weights_only:
            again = keras.models.clone_model(model)
            reading.load_weights(again, aside)
        else:
            again = load(aside)
        try:
            gap = compare(model, again, outputs=not weights_only)
        except FormatError as error:
            raise FormatError(
                f"{source} and what {form} makes of it are not the same: {error}. "
                f"{target} was not written."
            ) from None
        if form == "checkpoint":
            _write(model, target, form, weights_only)  # its three files are made together
        else:
            files.move(aside, target)
    kept = None if weights_only else _same_optimizer(model, again)
    return Proof(form, len(model.weights), gap, kept)


def check_target(source: Path | None, target: Path, form: str) -> None:
    """Refuse what cannot be replaced by a file, before any work.

    Raises:
        FormatError: it is the source, a directory, or no file.
        MissingExtraError: TensorFlow is needed and not installed.
    """
    if form == "saved_model" and not writing.has_tensorflow():
        raise MissingExtraError("TensorFlow", "tensorflow", f"writing a SavedModel to {target}")
    if not target.exists():
        return
    if source is not None and source.exists() and source.samefile(target):
        raise FormatError(f"{source} cannot be converted into itself; choose another name")
    if form in _FOLDERS:
        if not target.is_dir() or any(target.iterdir()):
            raise FormatError(f"{target} is there already; choose a directory that is not there")
    elif target.is_dir():
        raise FormatError(f"{target} is a directory, and {form} is a file: give the file's name")
    elif not target.is_file():
        raise FormatError(f"{target} is a device or a pipe: give the name of a file")


def _write(model: Any, path: Path, form: str, weights_only: bool) -> None:
    if form == "run":
        save_run(Layout(path.absolute()), model)
    elif weights_only:
        writing.save_weights(model, path, form)
    else:
        writing.save_model(model, path, form)


def compare(model: Any, again: Any, *, outputs: bool) -> float | None:
    """Compare every array, bit for bit, and what comes out for random inputs.

    Returns:
        The largest difference of outputs; None where none could be compared.

    Raises:
        FormatError: names what differs.
    """
    if len(model.weights) != len(again.weights):
        raise FormatError(f"it had {len(model.weights)} arrays, and has {len(again.weights)}")
    for before, after in zip(model.weights, again.weights, strict=True):
        was, now = _array(before), _array(after)
        if not _same(was, now):
            raise FormatError(
                f"the array {before.path} was {was.dtype}{was.shape}, and {after.path} is "
                f"{now.dtype}{now.shape} with other bits"
            )
    return _compare_outputs(model, again) if outputs else None


def _same(was: NDArray[Any], now: NDArray[Any]) -> bool:
    return was.shape == now.shape and was.dtype == now.dtype and was.tobytes() == now.tobytes()


def _same_optimizer(model: Any, again: Any) -> bool | None:
    """Return whether both optimizers have the same state, or None where there was none."""
    before, after = getattr(model, "optimizer", None), getattr(again, "optimizer", None)
    if before is None or not before.built:
        return None
    if after is None or len(before.variables) != len(after.variables):
        return False
    pairs = zip(before.variables, after.variables, strict=True)
    return all(_same(_array(was), _array(now)) for was, now in pairs)


def _compare_outputs(model: Any, again: Any) -> float | None:
    for inputs in _inputs(model):
        try:
            before = keras.tree.flatten(model(inputs, training=False))
        except Exception:
            continue  # an input of that length is not for this model
        after = keras.tree.flatten(again(inputs, training=False))
        pairs = zip(before, after, strict=True)
        gaps = [difference(_array(was), _array(now)) for was, now in pairs]
        for number, gap in enumerate(gaps):
            if not gap <= _TOLERANCE:
                raise FormatError(f"output {number} differs by {gap:.2g} on the same random input")
        return max(gaps)
    return None


def difference(was: NDArray[Any], now: NDArray[Any]) -> float:
    """Return the largest difference of two arrays, relative where they are larger than 1.

    It is infinite where they differ in shape, or in what is no number.
    """
    if was.shape != now.shape:
        return float("inf")
    if was.dtype.kind not in "fiub" and was.dtype.name != "bfloat16":
        return 0.0 if np.array_equal(was, now) else float("inf")
    before, after = was.astype("float64"), now.astype("float64")
    if not np.array_equal(np.isnan(before), np.isnan(after)):
        return float("inf")
    gap = np.abs(before - after) / np.maximum(1.0, np.abs(before))
    return float(np.nanmax(gap, initial=0.0))


def _inputs(model: Any) -> Iterator[Any]:
    """Yield random inputs of a model; of dimensions of any length, several lengths."""
    described = _described(model)
    if described is None or any(x.dtype == "string" for x in keras.tree.flatten(described)):
        return
    random = np.random.default_rng(0)

    def draw(tensor: Any, length: int) -> NDArray[Any]:
        batch, *rest = tensor.shape
        shape = [batch or _BATCH, *(size or length for size in rest)]
        if keras.backend.is_float_dtype(tensor.dtype):
            return random.normal(size=shape).astype(keras.backend.standardize_dtype(tensor.dtype))
        return random.integers(0, 2, shape).astype(tensor.dtype)

    for length in _LENGTHS:
        yield keras.tree.map_structure(functools.partial(draw, length=length), described)


def _described(model: Any) -> Any:
    """Return the inputs of a model as it takes them, or None where it does not say."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0] if model.inputs else None
    return getattr(model, "input", None) if getattr(model, "inputs", None) else None


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(getattr(value, "value", value)))
