"""A loss that is computed in a model: what `model.add_loss(tensor)` of Keras 2 put there.

Owns nothing of its numbers. Leaves where it stands to `compat.old_add_loss`.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="holdfast", name="AddLoss")
class AddLoss(keras.layers.Layer):  # type: ignore[misc]
    """Gives the model's output on as it is, and adds to its losses what it is told besides."""

    def call(self, outputs: Any, loss: Any) -> Any:
        """Return `outputs`.

        Args:
            outputs: of the model.
            loss: a number, or one for each sample.
        """
        self.add_loss(keras.ops.mean(loss))
        return outputs

    def compute_output_shape(self, outputs_shape: Any, loss_shape: Any) -> Any:
        """Return the shape of the first."""
        return outputs_shape
