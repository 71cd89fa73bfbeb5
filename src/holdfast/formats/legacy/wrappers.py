"""Layers within layers: Bidirectional, TimeDistributed, and cells.

Owns where an inner layer is, and what becomes of its arrays, which are the wrapper's in a file.
Leaves the layers themselves to `layer_configs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from holdfast.formats.legacy.context import Context, Place, legal
from holdfast.formats.legacy.translation import Adapt
from holdfast.types import Json

# Arrays of a CuDNN layer, which alone changes form within a wrapper.
_OF_CUDNN = 3

_SIZES = ("units", "filters")


def own_name(spec: Json) -> str:
    """Return the name of a layer or model in its configuration, or nothing."""
    config = spec.get("config") if isinstance(spec, dict) else None
    name = config.get("name") if isinstance(config, dict) else None
    if not isinstance(name, str):
        name = spec.get("name") if isinstance(spec, dict) else None
    return name if isinstance(name, str) else ""


def within(spec: Json, place: Place) -> Place:
    """Return the place of a layer within another, by its own name."""
    name = own_name(spec)
    return place.inner(name, legal(name)) if name else place


def uneven(config: Json) -> bool:
    """Return whether a Bidirectional's two layers give outputs of different sizes."""
    halves = [config.get("layer"), config.get("backward_layer")]
    if halves[1] is None:
        return False
    sizes = [
        half["config"].get(size)
        for half in halves
        for size in _SIZES
        if isinstance(half, dict)
        and isinstance(half.get("config"), dict)
        and size in half["config"]
    ]
    return len(set(map(str, sizes))) > 1


def lift(class_name: str, config: Json, context: Context, place: Place) -> None:
    """Make the changed form of an inner layer's arrays that of the wrapper's."""
    forward = _taken(config.get("layer"), context, place)
    if class_name != "Bidirectional":
        if forward:
            context.adapt[place.new] = forward
        return
    backward = _taken(config.get("backward_layer"), context, place)
    if config.get("backward_layer") is None:
        backward = forward
    if forward or backward:
        context.adapt[place.new] = _halves(forward, backward)


def _taken(spec: Json, context: Context, place: Place) -> Adapt | None:
    inner = within(spec, place)
    return context.adapt.pop(inner.new, None) if inner != place else None


def _halves(forward: Adapt | None, backward: Adapt | None) -> Adapt:
    def adapt(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        count = _OF_CUDNN if forward else len(arrays) - _OF_CUDNN
        first, second = list(arrays[:count]), list(arrays[count:])
        return [
            *(forward(first) if forward else first),
            *(backward(second) if backward else second),
        ]

    return adapt
