"""A file's arrays given to a model's variables.

Owns choosing how to match, comparing before anything is changed, and giving the values. Leaves
matching to the modules `by_…`, and the optimizer to `optimizer`.
"""

from __future__ import annotations

import tempfile
import warnings
import weakref
from pathlib import Path
from typing import Any

import keras

from holdfast import keras_private
from holdfast.errors import FormatError, MismatchError
from holdfast.formats.legacy.keras1 import Kernels
from holdfast.formats.legacy.translation import Translation
from holdfast.formats.live import by_group, by_layer, by_name, by_object, by_path, matching
from holdfast.formats.live.forms import forms_of, forms_of_keras1, of_cudnn
from holdfast.formats.live.matching import Match
from holdfast.formats.model_file import ByLayer, ByObject, ByPath, ModelFile

_NOTHING = "nothing"

# What is known of models that were built of an architecture alone: files of weights of Keras 1 do
# not say which version of it wrote them, nor on which backend.
_BUILT: weakref.WeakKeyDictionary[Any, tuple[int | None, Translation]] = weakref.WeakKeyDictionary()


def start(model: Any, file: ModelFile, translation: Translation | None) -> None:
    """Give a model that was built of an architecture alone its initial values.

    Args:
        model: built.
        file: of the architecture.
        translation: by which the model was built, where the file is of an older Keras.
    """
    keras_private.initialize(model.variables)
    if translation is not None:
        _BUILT[model] = (file.major, translation)


def bind(
    model: Any,
    file: ModelFile,
    *,
    translation: Translation | None = None,
    kernels: Kernels | None = None,
    strict: bool = True,
    by_name: bool = False,
) -> list[tuple[str, str, str]]:
    """Give a model the arrays of a file, and what is left its initial values.

    Args:
        model: built; its variables may have no values yet.
        file: open.
        translation: by which the model was built, where the file is of an older Keras.
        kernels: for arrays of Keras 1 in a model of the caller's own, where they were trained.
        strict: refuse a file that does not have exactly the model's arrays; else what matches is
            loaded, and the rest left as it is.
        by_name: load the layers whose names the file has too, and leave the others.

    Returns:
        What did not match, as `MismatchError` has it; empty if `strict`.

    Raises:
        MismatchError: the arrays are not the model's. Nothing has been changed.
        FormatError: an array is damaged, or the file does not say its layers' names. Nothing has
            been changed.
    """
    if by_name:
        found, wanted = _match_named(model, file, kernels)
    else:
        found, wanted = _match(model, file, translation, kernels), None
    different = _differences(model, found, wanted)
    if different and strict:
        raise MismatchError(file.path, different)
    # All are read before any is given: one that is damaged leaves the model as it was.
    values = [
        (variable, keras_private.value_for(variable, entry.read()))
        for variable, entry in found.pairs
        if matching.fits(variable, entry)
    ]
    hooks = [
        (layer, {name: entry.read() for name, entry in group.items()})
        for layer, group in found.hooks
    ]
    for variable, value in values:
        keras_private.set_value(variable, value)
    keras_private.initialize(model.variables)
    _warn_of_narrowed(file, [variable for variable, _ in found.pairs])
    for layer, group in hooks:
        layer.load_own_variables(group)
    if isinstance(file.weights, ByPath) and file.weights.assets:
        _load_assets(model, file.weights)
    keras_private.finalize(model)
    return different


def _warn_of_narrowed(file: ModelFile, variables: list[Any]) -> None:
    """Say that a backend keeps fewer digits than the model asks for, as JAX does by default."""
    narrowed = [v for v in variables if v.dtype == "float64" and _kept(v) != "float64"]
    if narrowed:
        warnings.warn(
            f"{file.path}: {len(narrowed)} arrays, {narrowed[0].path} the first, are of float64, "
            f"and JAX computes with {_kept(narrowed[0])} unless it is told otherwise. To keep all "
            "digits, set JAX_ENABLE_X64=1 before the program starts",
            stacklevel=5,
        )


def _kept(variable: Any) -> str:
    return str(keras.backend.standardize_dtype(variable.value.dtype))


def _match(
    model: Any, file: ModelFile, translation: Translation | None, kernels: Kernels | None
) -> Match:
    weights = file.weights
    if isinstance(weights, ByLayer):
        major, architecture = _BUILT.get(model, (None, None))
        if translation is None and major == file.major:
            translation = architecture
        if translation is not None:
            forms = forms_of(model, translation)
        elif file.major in (0, 1):
            counts = {part.name: len(part.entries) for part in weights.layers}
            forms = forms_of_keras1(model, counts, kernels, file)
        else:
            forms = {}
        renamed = translation.renamed if translation is not None else {}
        found = by_layer.match(model, weights, renamed, forms)
    elif isinstance(weights, ByPath) and translation is not None:
        found = by_group.match(model, weights, file.config, translation)
    elif isinstance(weights, ByPath):
        found = by_path.match(model, weights)
    elif isinstance(weights, ByObject):
        found = by_object.match(model, weights)
    else:
        found = by_name.match(model, weights)
    return found if translation is not None else of_cudnn(model, found)


def _match_named(model: Any, file: ModelFile, kernels: Kernels | None) -> tuple[Match, list[Any]]:
    if not isinstance(file.weights, ByLayer):
        raise FormatError(
            f"{file.path} does not say its layers' names, which by_name=True goes by: expected "
            "HDF5 as Keras 1 and 2 wrote it. Load it without by_name, or with skip_mismatch=True; "
            "or save it again under a name that ends in .h5 and not in .weights.h5"
        )
    counts = {part.name: len(part.entries) for part in file.weights.layers}
    old = file.major in (0, 1)
    forms = forms_of_keras1(model, counts, kernels, file) if old else {}
    found, wanted = by_layer.match_named(model, file.weights, forms)
    return of_cudnn(model, found), wanted


def _differences(
    model: Any, found: Match, wanted: list[Any] | None = None
) -> list[tuple[str, str, str]]:
    """List what does not match, of `wanted` variables or of all that the model has."""
    different = [
        (variable.path, _said(variable.shape, variable.dtype), _said(entry.shape, entry.dtype))
        for variable, entry in found.pairs
        if not matching.fits(variable, entry)
    ]
    hooked = [layer for layer, _ in found.hooks]
    missing = matching.missing(model, found.pairs, hooked)
    if wanted is not None:
        among = {id(variable) for variable in wanted}
        missing = [variable for variable in missing if id(variable) in among]
    different += [
        (variable.path, _said(variable.shape, variable.dtype), _NOTHING) for variable in missing
    ]
    different += [(entry.name, _NOTHING, _said(entry.shape, entry.dtype)) for entry in found.left]
    return different


def _said(shape: Any, dtype: Any) -> str:
    return f"{tuple(shape)} of {dtype}"


def _load_assets(model: Any, weights: ByPath) -> None:
    """Give layers the files that they saved beside their arrays, such as vocabularies."""
    folders: dict[str, dict[str, bytes]] = {}
    for path, read in weights.assets.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = read()
    for layer, folder in by_path.owners(model, list(folders)):
        if not hasattr(layer, "load_assets"):
            continue
        with tempfile.TemporaryDirectory() as directory:
            for name, data in folders[folder].items():
                (Path(directory) / name).write_bytes(data)
            try:
                layer.load_assets(directory)
            except (ImportError, ValueError, OSError) as error:
                raise FormatError(
                    f"the layer {layer.name!r} cannot load what was saved beside it: {error}"
                ) from error
