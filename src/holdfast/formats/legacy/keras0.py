"""Configurations of Keras 0.3 made into those of Keras 1.

Owns the list of layers that Keras 0 wrote, whose entries named their class and nothing more. Leaves
all that Keras 0 and 1 have in common to `keras1`.

Source: files of Keras 0.3.3, and keras/models.py of that version, read for its facts.
"""

from __future__ import annotations

from collections import Counter

from holdfast.errors import FormatError
from holdfast.types import Json

_DROPPED = frozenset(["name", "custom_name", "cache_enabled", "input_shape"])


def to_keras1(config: Json) -> Json:
    """Return a configuration as Keras 1 would have written it.

    Args:
        config: as Keras 0 wrote it.

    Raises:
        FormatError: it is of a Graph, or no list of layers.
    """
    layers = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list) or config.get("name") != "Sequential":
        raise FormatError(
            "it is a Graph of Keras 0, which is not translated. Build the model, and call "
            "holdfast.load_weights(model, path)"
        )
    counts: Counter[str] = Counter()
    return {"class_name": "Sequential", "config": [_layer(spec, counts) for spec in layers]}


def _layer(spec: Json, counts: Counter[str]) -> Json:
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str) or "layers" in spec:
        raise FormatError(f"one of its layers is {spec!r:.80}, which is not known of Keras 0")
    kind = spec["name"]
    counts[kind] += 1
    config = {key: value for key, value in spec.items() if key not in _DROPPED}
    # Keras 0 gave all layers of a class one name.
    config["name"] = f"{kind.lower()}_{counts[kind]}"
    shape = spec.get("input_shape")
    if kind == "Embedding":
        # What it says of its input is the size of its vocabulary.
        shape = [spec.get("input_length")]
        config["input_dtype"] = "int32"
    if isinstance(shape, list):
        config["batch_input_shape"] = [None, *shape]
    if kind == "Reshape" and "dims" in config:
        config["target_shape"] = config.pop("dims")
    return {"class_name": kind, "config": config}
