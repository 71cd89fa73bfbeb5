"""Whatever the user passed to fit -> sources, or a clear refusal.

Owns which kinds of data there are. This version knows arrays.
"""

from __future__ import annotations

from typing import Any

from keras.utils import unpack_x_y_sample_weight

from holdfast.data.arrays import ArraySource, check_arrays
from holdfast.data.source import Source
from holdfast.errors import PlanError
from holdfast.keras_private import train_validation_split


def adapt(
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
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
        raise PlanError("x is None; expected an array, or arrays in a list, tuple or dict")
    for value, name in ((x, "x"), (y, "y"), (sample_weight, "sample_weight")):
        check_arrays(value, name)
    if validation_split and validation_data is None:
        try:
            (x, y, sample_weight), validation_data = train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        except ValueError as error:
            raise PlanError(str(error)) from error
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
    check_arrays(validation_data, "validation_data")
    try:
        val_x, val_y, val_weight = unpack_x_y_sample_weight(validation_data)
    except ValueError as error:
        raise PlanError(f"validation_data: {error}") from error
    validation = ArraySource(
        val_x,
        val_y,
        val_weight,
        batch_size=validation_batch_size or batch_size,
        steps=validation_steps,
    )
    return train, validation
