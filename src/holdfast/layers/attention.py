"""Attention that Keras 3 has, and computes on some backends in one case only.

Owns MultiHeadAttention whose values are of another size than its keys.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="holdfast")
class MultiHeadAttention(keras.layers.MultiHeadAttention):  # type: ignore[misc]
    """Keras's MultiHeadAttention, computed step by step, so that any `value_dim` goes on JAX.

    Its arguments are those of Keras's.
    """

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Compute the layer."""
        # Who asks for the scores gets them from the plain products, which take all sizes.
        outputs, scores = super().call(
            query,
            value,
            key,
            query_mask=query_mask,
            value_mask=value_mask,
            key_mask=key_mask,
            attention_mask=attention_mask,
            return_attention_scores=True,
            training=training,
            use_causal_mask=use_causal_mask,
        )
        return (outputs, scores) if return_attention_scores else outputs
