"""Layers and functions of Keras 1 and 2 that Keras 3 no longer has, with the numbers they gave.

Import this to open, with plain Keras, a file that Holdfast made of a model with one of them.
"""

from holdfast.layers.activations import (
    ParametricSoftplus,
    SReLU,
    ThresholdedReLU,
    old_hard_sigmoid,
)
from holdfast.layers.add_loss import AddLoss
from holdfast.layers.attention import MultiHeadAttention
from holdfast.layers.convolution import SeparableConv1D
from holdfast.layers.dense import Highway, MaxoutDense
from holdfast.layers.locally_connected import LocallyConnected1D, LocallyConnected2D
from holdfast.layers.operation import Operation
from holdfast.layers.random_size import RandomCrop, RandomHeight, RandomWidth
from holdfast.layers.recurrent import Bidirectional

__all__ = [
    "AddLoss",
    "Bidirectional",
    "Highway",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "MaxoutDense",
    "MultiHeadAttention",
    "Operation",
    "ParametricSoftplus",
    "RandomCrop",
    "RandomHeight",
    "RandomWidth",
    "SReLU",
    "SeparableConv1D",
    "ThresholdedReLU",
    "old_hard_sigmoid",
]
