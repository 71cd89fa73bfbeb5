"""Classes and functions that are gone from modules which Keras still has, by their full names.

Owns the table of them, and the few small functions that stand in. Leaves methods and arguments to
`old_methods`, `old_arguments` and `old_layers`, the functions of `keras.backend` to `old_backend`,
models from a configuration to `reading`, and modules to `old_modules`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

from holdfast.compat.gone import FOR_TENSORFLOW
from holdfast.compat.imports import import_module
from holdfast.compat.old import Old, met
from holdfast.errors import MissingExtraError

CUDNN = Old(
    "keras.layers.CuDNNLSTM, CuDNNGRU",
    "Keras 2.13",
    "keras.layers.LSTM, GRU",
    "the layers of today, which compute the same",
)
LOCALLY_CONNECTED = Old(
    "keras.layers.LocallyConnected1D, LocallyConnected2D",
    "Keras 3.0",
    "holdfast.layers",
    "Holdfast's own layers, with the numbers they gave",
)
THRESHOLDED = Old(
    "keras.layers.ThresholdedReLU",
    "Keras 3.0",
    "keras.activations.threshold",
    "Holdfast's own layer, with the numbers it gave",
)
RANDOM_SIZE = Old(
    "keras.layers.RandomHeight, RandomWidth",
    "Keras 3.0",
    "holdfast.layers",
    "Holdfast's own layers",
)
KERAS_1_LAYERS = Old(
    "keras.layers.Highway, MaxoutDense",
    "Keras 2.4",
    "holdfast.layers",
    "Holdfast's own layers, with the numbers they gave",
)
DECONVOLUTION_3D = Old(
    "keras.layers.Deconvolution3D, Deconv3D",
    "Keras 2.4",
    "keras.layers.Conv3DTranspose",
    "the layer of today",
)
SYNCHRONIZED = Old(
    "keras.layers.experimental.SyncBatchNormalization",
    "Keras 3.0",
    "keras.layers.BatchNormalization(synchronized=True)",
    "makes the layer of today",
)
RNN_CELL = Old(
    "keras.layers.AbstractRNNCell",
    "Keras 3.0",
    "keras.layers.Layer",
    "the base of all layers, which a cell needs no more than",
)
FROM_MODELS = Old(
    "Input, InputLayer and Layer from keras.models",
    "Keras 2.9",
    "keras.Input, keras.layers",
    "the same objects from where they are",
)
LOSSES = Old(
    "keras.losses.mse, mae, kld and the like",
    "Keras 3.0",
    "keras.losses.mean_squared_error and the like",
    "Keras's own function, by its long name",
)
METRICS = Old(
    "keras.metrics.mse, mae, kld and the like",
    "Keras 3.0",
    "keras.metrics.mean_squared_error and the like",
    "Keras's own function, by its long name",
)
COSINE = Old(
    "keras.losses.cosine_proximity, cosine",
    "Keras 2.4",
    "keras.losses.cosine_similarity",
    "the function of today, which computes the same",
)
HUBER = Old("keras.losses.huber_loss", "Keras 2.13", "keras.losses.huber", "the function of today")
CONSTRAINTS = Old(
    "keras.constraints.maxnorm, nonneg, unitnorm",
    "Keras 2.13",
    "keras.constraints.MaxNorm, NonNeg, UnitNorm",
    "the class of today",
)
INITIALIZERS = Old(
    "keras.initializers.normal, uniform, zero, one",
    "Keras 2.4",
    "keras.initializers.RandomNormal, RandomUniform, Zeros, Ones",
    "the class of today",
)
IMAGE = Old(
    "keras.preprocessing.image.ImageDataGenerator and the like",
    "Keras 3.0",
    "layers such as keras.layers.RandomFlip, keras.utils.image_dataset_from_directory",
    "Keras's own, which it still has for TensorFlow's sake",
)
SEQUENCE = Old(
    "keras.preprocessing.sequence.TimeseriesGenerator and the like",
    "Keras 3.0",
    "keras.utils.timeseries_dataset_from_array",
    "Keras's own, which it still has for TensorFlow's sake",
)
DATASETS = Old(
    "image_dataset_from_directory and the like from keras.preprocessing's modules",
    "Keras 2.9",
    "keras.utils",
    "the same functions from where they are",
)
BACKEND = Old(
    "keras.backend.ctc_batch_cost, conv1d, rnn and the like",
    "Keras 3.0",
    "keras.ops, keras.layers",
    "Keras's own function, which needs TensorFlow",
)
COUNT = Old(
    "keras.utils.layer_utils.count_params",
    "Keras 2.13",
    "model.count_params()",
    "counts the numbers in a list of weights",
)
SUMMARY = Old(
    "keras.utils.print_summary", "Keras 2.4", "model.summary()", "calls the model's method"
)
SCIKIT_LEARN = Old(
    "keras.wrappers.scikit_learn.KerasClassifier, KerasRegressor",
    "Keras 2.13",
    "scikeras.wrappers.KerasClassifier(model=…), KerasRegressor(model=…)",
    "scikeras's, which take the old arguments; needs the extra scikeras",
)
MULTI_GPU = Old(
    "keras.utils.multi_gpu_model",
    "Keras 2.6",
    "keras.distribution.set_distribution(keras.distribution.DataParallel())",
    "an error that says so",
)
MATRIX = Old(
    "keras.utils.HDF5Matrix",
    "Keras 2.6",
    "h5py.File(path)[name][start:end]",
    "an error that says so",
)
ENQUEUERS = Old(
    "keras.utils.OrderedEnqueuer, GeneratorEnqueuer, SequenceEnqueuer",
    "Keras 3.0",
    "keras.utils.PyDataset(workers=…)",
    "an error that says so",
)
RECURRENT = Old("keras.layers.Recurrent", "Keras 2.4", "keras.layers.RNN", "an error that says so")
MERGE = Old(
    "keras.layers.Merge", "Keras 2.2", "keras.layers.Concatenate, Add", "an error that says so"
)
APPLICATIONS = Old(
    "keras.applications.RegNet…, ResNetRS…",
    "Keras 3.0",
    "keras_hub.models.Backbone.from_preset(…)",
    "an error that says so",
)


def _count(weights: Iterable[Any]) -> int:
    each = {id(weight): weight for weight in weights}.values()
    return sum(math.prod(weight.shape) for weight in each)


def _print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Any = None,
    print_fn: Callable[[str], Any] | None = None,
) -> None:
    model.summary(line_length=line_length, positions=positions, print_fn=print_fn)


def _synchronized(**options: Any) -> Any:
    import keras

    return keras.layers.BatchNormalization(synchronized=True, **options)


def _wrapper(name: str) -> Any:
    try:
        import_module("scikeras.wrappers")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("scikeras"):
            raise
        raise MissingExtraError(
            "scikeras", "scikeras", f"keras.wrappers.scikit_learn.{name}"
        ) from None
    from holdfast.compat import scikit_learn

    return getattr(scikit_learn, name)


_CALLED = {
    "keras.utils.layer_utils.count_params": (COUNT, _count),
    "keras.utils.print_summary": (SUMMARY, _print_summary),
    "keras.utils.layer_utils.print_summary": (SUMMARY, _print_summary),
    "keras.layers.experimental.SyncBatchNormalization": (SYNCHRONIZED, _synchronized),
}
"""What a function of this module does."""

MOVED = {
    "keras.layers.CuDNNLSTM": (CUDNN, "keras.layers.LSTM"),
    "keras.layers.CuDNNGRU": (CUDNN, "keras.layers.GRU"),
    "keras.layers.LocallyConnected1D": (LOCALLY_CONNECTED, "holdfast.layers.LocallyConnected1D"),
    "keras.layers.LocallyConnected2D": (LOCALLY_CONNECTED, "holdfast.layers.LocallyConnected2D"),
    "keras.layers.ThresholdedReLU": (THRESHOLDED, "holdfast.layers.ThresholdedReLU"),
    "keras.layers.RandomHeight": (RANDOM_SIZE, "holdfast.layers.RandomHeight"),
    "keras.layers.RandomWidth": (RANDOM_SIZE, "holdfast.layers.RandomWidth"),
    "keras.layers.Highway": (KERAS_1_LAYERS, "holdfast.layers.Highway"),
    "keras.layers.MaxoutDense": (KERAS_1_LAYERS, "holdfast.layers.MaxoutDense"),
    "keras.layers.Deconvolution3D": (DECONVOLUTION_3D, "keras.layers.Conv3DTranspose"),
    "keras.layers.Deconv3D": (DECONVOLUTION_3D, "keras.layers.Conv3DTranspose"),
    "keras.layers.AbstractRNNCell": (RNN_CELL, "keras.layers.Layer"),
    "keras.models.Input": (FROM_MODELS, "keras.Input"),
    "keras.models.InputLayer": (FROM_MODELS, "keras.layers.InputLayer"),
    "keras.models.Layer": (FROM_MODELS, "keras.layers.Layer"),
    "keras.models.model_from_config": (None, "keras.saving.deserialize_keras_object"),
    "keras.engine.topology.Container": (None, "keras.Model"),
    "keras.engine.network.Network": (None, "keras.Model"),
    "keras.engine.functional.Functional": (None, "keras.Model"),
    "keras.optimizers.optimizer_v2.optimizer_v2.OptimizerV2": (None, "keras.optimizers.Optimizer"),
    "keras.optimizer_v2.optimizer_v2.OptimizerV2": (None, "keras.optimizers.Optimizer"),
    "keras.losses.bce": (LOSSES, "keras.losses.binary_crossentropy"),
    "keras.losses.BCE": (LOSSES, "keras.losses.binary_crossentropy"),
    "keras.losses.cosine": (COSINE, "keras.losses.cosine_similarity"),
    "keras.losses.cosine_proximity": (COSINE, "keras.losses.cosine_similarity"),
    "keras.losses.huber_loss": (HUBER, "keras.losses.huber"),
    "keras.metrics.bce": (METRICS, "keras.metrics.binary_crossentropy"),
    "keras.metrics.BCE": (METRICS, "keras.metrics.binary_crossentropy"),
    "keras.metrics.cosine": (COSINE, "keras.losses.cosine_similarity"),
    "keras.metrics.cosine_proximity": (COSINE, "keras.losses.cosine_similarity"),
    "keras.constraints.maxnorm": (CONSTRAINTS, "keras.constraints.MaxNorm"),
    "keras.constraints.nonneg": (CONSTRAINTS, "keras.constraints.NonNeg"),
    "keras.constraints.unitnorm": (CONSTRAINTS, "keras.constraints.UnitNorm"),
    "keras.initializers.normal": (INITIALIZERS, "keras.initializers.RandomNormal"),
    "keras.initializers.uniform": (INITIALIZERS, "keras.initializers.RandomUniform"),
    "keras.initializers.zero": (INITIALIZERS, "keras.initializers.Zeros"),
    "keras.initializers.one": (INITIALIZERS, "keras.initializers.Ones"),
    "keras.preprocessing.image.image_dataset_from_directory": (
        DATASETS,
        "keras.utils.image_dataset_from_directory",
    ),
    "keras.preprocessing.text.text_dataset_from_directory": (
        DATASETS,
        "keras.utils.text_dataset_from_directory",
    ),
}
"""Where it is today."""

_REFUSED = {
    "keras.utils.multi_gpu_model": MULTI_GPU,
    "keras.utils.HDF5Matrix": MATRIX,
    "keras.utils.io_utils.HDF5Matrix": MATRIX,
    "keras.utils.OrderedEnqueuer": ENQUEUERS,
    "keras.utils.GeneratorEnqueuer": ENQUEUERS,
    "keras.utils.SequenceEnqueuer": ENQUEUERS,
    "keras.layers.Recurrent": RECURRENT,
    "keras.layers.Merge": MERGE,
}
"""What nothing stands in for."""

_FOR_TENSORFLOW = {
    "keras.losses": LOSSES,
    "keras.metrics": METRICS,
    "keras.preprocessing.image": IMAGE,
    "keras.preprocessing.sequence": SEQUENCE,
    "keras.backend": BACKEND,
}
"""Modules that have more names where Keras stands in for `tensorflow.keras`."""


def find(module: str, name: str) -> tuple[bool, Any]:
    """Return whether a name that is gone has something in its place, and what.

    Args:
        module: full name of the module that had it.
        name: of the class or function.

    Raises:
        MissingExtraError: it needs a package that is not installed.
    """
    path = f"{module}.{name}"
    if module == "keras.wrappers.scikit_learn" and name in ("KerasClassifier", "KerasRegressor"):
        found = _wrapper(name)
        met(SCIKIT_LEARN)
        return True, found
    if path in _CALLED:
        row, function = _CALLED[path]
        met(row)
        return True, function
    if path in MOVED:
        moved, today = MOVED[path]
        if moved is not None:
            met(moved)
        home, _, there = today.rpartition(".")
        return True, getattr(import_module(home), there)
    if module in _FOR_TENSORFLOW:
        more = vars(import_module(module.replace("keras", FOR_TENSORFLOW, 1)))
        if name in more:
            met(_FOR_TENSORFLOW[module])
            return True, more[name]
    return False, None


def refused(module: str, name: str) -> str:
    """Return why nothing stands in for a name that is gone, or an empty string."""
    row = _REFUSED.get(f"{module}.{name}")
    if module == "keras.applications" and name.startswith(("RegNet", "ResNetRS")):
        row = APPLICATIONS
    if row is None:
        return ""
    return (
        f"{module}.{name} is gone since {row.gone}, and nothing stands in for it; "
        f"today: {row.today}"
    )


ROWS = tuple(value for value in vars(sys.modules[__name__]).values() if isinstance(value, Old))
