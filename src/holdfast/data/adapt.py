"""Whatever the user passed to fit -> sources, or a clear refusal.

Owns which kinds of data there are, how they are told apart, and which arguments go with which.
Leaves each kind to its own module, which alone imports the library it is of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keras.utils import PyDataset, unpack_x_y_sample_weight

from holdfast import keras_private
from holdfast.data.array_kinds import as_arrays
from holdfast.data.arrays import ArraySource, split
from holdfast.data.own_state import apart
from holdfast.data.source import BatchSource, Schedule, Source
from holdfast.errors import PlanError


def adapt(
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
    seed: int,
    batch_size: int | None,
    class_weight: dict[int, float] | None,
    shuffle: bool | str,
    steps_per_epoch: int | None,
    initial_epoch: int,
    validation_split: float,
    validation_data: Any,
    validation_batch_size: int | None,
    validation_steps: int | None,
) -> tuple[Source, Source | None]:
    """Return the training and the validation source for the arguments of `Model.fit`.

    Raises:
        UnsupportedError: data of a kind this version does not take.
        PlanError: arrays that do not fit together.
    """
    if x is None:
        raise PlanError(
            "x is None; expected an array, arrays in a list, tuple or dict, or a data set, "
            "loader or generator of batches"
        )
    batches = _batches(x, y, sample_weight, "x", class_weight, shuffle, seed)
    if batches is None:
        x, y = as_arrays(x, "x"), as_arrays(y, "y")
        sample_weight = as_arrays(sample_weight, "sample_weight")
    if validation_split and validation_data is None:
        if batches is not None:
            raise PlanError(
                f"validation_split is for arrays, and x is {batches.kind}: pass validation_data"
            )
        (x, y, sample_weight), validation_data = split(x, y, sample_weight, validation_split)
    train: Source
    if batches is not None:
        batches.schedule = Schedule(batches.length, steps_per_epoch, initial_epoch)
        train = batches
    else:
        train = ArraySource(
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            class_weight=class_weight,
            shuffle=shuffle,
            steps=steps_per_epoch,
            initial_epoch=initial_epoch,
        )
    if validation_data is None:
        return train, None
    if validation_data is x and (isinstance(x, PyDataset) or _is_iterable(x)):
        # What one of them does to the object would reach the other.
        validation_data = apart(x)
    size = validation_batch_size or batch_size
    return train, _validation(validation_data, size, validation_steps, seed)


def comes_in_batches(x: Any) -> bool:
    """Return whether x makes its own batches, and is no arrays."""
    return (
        isinstance(x, PyDataset)
        or keras_private.is_tf_dataset(x)
        or keras_private.is_torch_dataloader(x)
        or keras_private.is_grain_dataset(x)
        or _is_iterable(x)
    )


def _validation(data: Any, batch_size: int | None, steps: int | None, seed: int) -> Source:
    batches = _batches(data, None, None, "validation_data", None, False, seed)
    if batches is not None:
        length = batches.length
        if batches.once:
            # It goes on where the validation before it ended, since it cannot begin again.
            batches.schedule = Schedule(length, steps)
        else:
            batches.schedule = Schedule(min(steps or length, length) if length else steps)
        return batches
    data = as_arrays(data, "validation_data")
    try:
        x, y, sample_weight = unpack_x_y_sample_weight(data)
    except ValueError as error:
        raise PlanError(f"validation_data: {error}") from error
    return ArraySource(x, y, sample_weight, batch_size=batch_size, steps=steps)


def _batches(
    x: Any,
    y: Any,
    sample_weight: Any,
    name: str,
    class_weight: dict[int, float] | None,
    shuffle: bool | str,
    seed: int,
) -> BatchSource | None:
    """Return the source for data that comes in batches of its own, or None for arrays."""
    source: BatchSource
    weighs = False
    if isinstance(x, PyDataset):
        from holdfast.data.pydataset import PyDatasetSource

        weighs = True
        source = PyDatasetSource(
            x, class_weight=class_weight, shuffle=bool(shuffle), seed=seed, name=name
        )
    elif keras_private.is_tf_dataset(x):
        from holdfast.data.tfdata import TfDataSource

        weighs = True
        source = TfDataSource(x, class_weight=class_weight, seed=seed, name=name)
    elif keras_private.is_torch_dataloader(x):
        from holdfast.data.torch.loader import LoaderSource

        source = LoaderSource(x, seed=seed, name=name)
    elif keras_private.is_grain_dataset(x):
        from holdfast.data.grain import GrainSource

        source = GrainSource(x, name=name)
    elif _is_iterable(x):
        from holdfast.data.generators import GeneratorSource

        source = GeneratorSource(x, seed=seed, name=name)
    else:
        return None
    for value, what in ((y, "y"), (sample_weight, "sample_weight")):
        if value is not None:
            raise PlanError(
                f"{name} is {source.kind}, whose batches have their own targets and weights: "
                f"leave {what} out"
            )
    if class_weight is not None and not weighs:
        raise PlanError(
            f"class_weight is not taken with {source.kind}: let its batches be (inputs, targets, "
            "sample_weights)"
        )
    return source


def _is_iterable(x: Any) -> bool:
    """Return whether x gives batches when it is gone through, and is no array nor arrays."""
    kind = type(x)  # what a closed file answers for itself is an error
    if isinstance(x, (list, tuple, Mapping, str, bytes)) or hasattr(kind, "shape"):
        return False
    if hasattr(kind, "__array__") or hasattr(kind, "dtype"):
        return False
    return isinstance(x, Iterable)
