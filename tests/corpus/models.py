"""All models of the corpus by name: one function in `families/` for each."""

import inspect

import numpy as np
import tensorflow as tf
from case import Case
from families import (
    attention,
    convolution,
    core,
    everyday,
    normalization,
    operations,
    precision,
    preprocessing,
    recurrent,
    structures,
    trained,
)

FAMILIES = [
    core, convolution, normalization, attention, recurrent, preprocessing, structures, operations,
    precision, everyday, trained,
]  # fmt: skip


def builders():
    """Name -> (family, function), in the order in which they are written down."""
    found = {}
    for family in FAMILIES:
        for name, function in inspect.getmembers(family, inspect.isfunction):
            if function.__module__ == family.__name__ and not name.startswith("_"):
                found[name] = (family.__name__.rpartition(".")[2], function)
    return found


def tensors(inputs):
    return tf.nest.map_structure(tf.constant, inputs)


def build(name) -> Case:
    """The model as the corpus has it: same layer names, same random weights."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(sum(name.encode()))
    case = builders()[name][1]()
    if case.outputs is None and not case.predict:
        case.model(tensors(case.inputs), training=False)
    if not case.keep_weights:
        _fill(case.model, np.random.default_rng(sum(name.encode())))
    return case


def _fill(model, random):
    """Ordinary numbers everywhere: zero biases and unit variances would hide what is lost."""
    adapted = {
        id(weight)
        for layer in model._flatten_layers()
        if type(layer).__name__ in ("Normalization", "Discretization")
        for weight in layer.weights
    }
    for weight in model.weights:
        if not isinstance(weight, tf.Variable) or id(weight) in adapted:
            continue
        if not weight.dtype.is_floating or not weight.shape.is_fully_defined():
            continue
        values = random.normal(size=weight.shape) * 0.4
        name = weight.name.rpartition("/")[2]
        if "variance" in name:
            values = np.abs(values) + 0.5
        elif name.startswith("gamma"):
            values = values + 1.0
        elif name.startswith("sn_u"):
            values = values / np.linalg.norm(values)
        weight.assign(tf.cast(values, weight.dtype))
