"""What one model of the corpus is: the model, what it is asked, how it is trained."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Training:
    """Steps on batches taken in order: step `k` takes batch `k % (samples // batch_size)`."""

    x: Any
    y: Any
    batch_size: int = 4
    steps: int = 6
    more: int = 5


@dataclass
class Case:
    """A built model and what makes it an oracle.

    `refused` says why Keras 3 without TensorFlow cannot be asked to compute it.
    `outputs` is given where this machine cannot run the model itself.
    """

    model: Any
    inputs: Any
    tolerance: float = 1e-5
    refused: str = ""
    training: Training | None = None
    outputs: Any = None
    predict: bool = False
    keep_weights: bool = False
    custom_objects: dict[str, Any] = field(default_factory=dict)


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).normal(size=shape).astype("float32")


def whole(low, high, *shape, seed=0):
    return rng(seed).integers(low, high, size=shape).astype("int32")
