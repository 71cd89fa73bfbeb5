"""What a translated configuration is.

Owns the value that `legacy` gives and `live/build` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from holdfast.formats.model_file import Problem
from holdfast.types import Json

Adapt = Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]]
"""A layer's arrays in the old order and form -> those of the layer that stands for it."""


@dataclass(frozen=True)
class Translation:
    """A configuration as Keras 3 takes it.

    Args:
        config: names only what Keras 3 or `holdfast.layers` has, or what the caller gave. Every
            object in it is a dict with `module`, `class_name`, `config` and `registered_name`.
        adapt: for the layers whose arrays have another form now, by the names of the models they are
            in and their own, from the outermost: `("encoder", "lstm_1")`. These are the names in
            `config`.
        renamed: layers and models with a name that Keras 3 does not take, by their path of names in
            the file, with the name in `config`.
        problems: what could not be translated; a model is not built where there is one.
        old_counts: how many arrays a layer in `adapt` had, where it was another number.
        left_out: layers that only added to the loss or the metrics, which Keras 3 has no layers for.
    """  # noqa: E501

    config: Json
    adapt: Mapping[tuple[str, ...], Adapt] = field(default_factory=dict)
    renamed: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    old_counts: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
