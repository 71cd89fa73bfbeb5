"""Where arrays lie when a training is spread over several devices of one host.

Owns what a `keras.distribution` means to the programs of the engine on JAX. Which devices there
are, and where variables lie, is Keras's to say.

Every device has all samples of a window, and works on its part of each batch. A batch that the
devices cannot share equally, such as a last partial one, is worked on by each of them whole.
"""

from __future__ import annotations

from typing import Any

import jax
import keras
from jax.sharding import NamedSharding, PartitionSpec


def put(array: Any) -> Any:
    """Send an array of the host to the device, or to all of them."""
    layout = _data_layout(array.ndim)
    if layout is None:
        return jax.device_put(array)
    return jax.device_put(array, NamedSharding(layout.mesh, PartitionSpec()))


def shared(batch: Any) -> Any:
    """Within a program: let each device work on its part of a batch."""

    def share(leaf: Any) -> Any:
        layout = _data_layout(leaf.ndim)
        if layout is None or leaf.shape[0] % _parts(layout):
            return leaf
        return jax.lax.with_sharding_constraint(leaf, layout)

    return jax.tree.map(share, batch)


def of(values: Any) -> Any:
    """Return how values lie, as a program is told where to leave them; None on one device."""
    if keras.distribution.distribution() is None:
        return None
    return jax.tree.map(lambda value: value.sharding, values)


def _data_layout(dimensions: int) -> NamedSharding | None:
    distribution = keras.distribution.distribution()
    if distribution is None or not dimensions:
        return None
    layout: NamedSharding = distribution.get_data_layout((1,) * dimensions).backend_layout
    return layout


def _parts(layout: NamedSharding) -> int:
    axis = layout.spec[0]
    return 1 if axis is None else int(layout.mesh.shape[axis])
