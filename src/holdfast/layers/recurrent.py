"""Wrappers of recurrent layers that Keras 3 has, and builds with the wrong shape in some cases.

Owns Bidirectional with halves of different sizes.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="holdfast")
class Bidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
    """Keras's Bidirectional, whose two layers may be of different sizes.

    Its arguments are those of Keras's.
    """

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """Return the shape of what comes out, which Keras takes to be twice the first half."""
        forward = self.forward_layer.compute_output_shape(sequences_shape)
        backward = self.backward_layer.compute_output_shape(sequences_shape)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*forward[1:], *backward[1:])
            forward, backward = forward[0], backward[0]
        if self.merge_mode is None:
            return (tuple(forward), tuple(backward), *states)
        merged = tuple(forward)
        if self.merge_mode == "concat":
            merged = (*forward[:-1], forward[-1] + backward[-1])
        return (merged, *states) if states else merged
