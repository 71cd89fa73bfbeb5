"""What Holdfast uses of Keras that Keras does not call public, all of it, with the reason.

| what | why |
| --- | --- |
| `ArrayDataAdapter` | checks and packs x, y and weights exactly as `Model.fit` does |
| `is_tf_dataset`, `is_torch_dataloader`, `is_grain_dataset` | what x is; imports none of them |
| `class_weight_to_sample_weights` | the same weights for a batch's samples as `Model.fit` |
| `make_class_weight_map_fn` | the same for a tf.data.Dataset |
| `Model._symbolic_build` | builds model, metrics and optimizer from a batch's shapes |
| `Model._get_metrics_result_or_logs` | what an epoch's logs are, with a custom `train_step` |
| `CompileMetrics`, `MetricsList`, `Metric._direction` | which way a metric is better; its targets |
| `saving_lib.get_attr_skipset` | saving makes an optimizer, which a `StatelessScope` forbids |
| `saving_lib.H5IOStore`, `_save_state` | `.weights.h5`, made in memory |
| `Optimizer._learning_rate` | whether the rate is a schedule, which cannot be set |
| `Model._compile_config` | the program's own losses and metrics: their code |
| `Model._loss_tracker` | the loss of a single step |
| `pythonify_logs` | the same numbers, in the same order, as callbacks are told |
| `Layer._flatten_layers`, `finalize_state` | Normalization derives from what was loaded |
| `Layer._inbound_nodes`, `backend.compute_output_spec` | how large a model would be |
| `Variable._value` | hands arrays back to a model without a check and copy a step |
| `Variable._initialize`, the list of those not yet initialized | files: no array is made twice |
| `Layer._trainable_variables`, `_non_trainable_variables` | what Keras saves of a layer itself |
| `naming.to_snake_case` | names of groups in `.keras` and `.weights.h5` |
| modules of `keras.src` already imported | which classes a configuration may name |
| `global_state`, the global seed generator | random state that Keras has no call to read |
| `python_utils`, whose `pythonify_logs` `CallbackList` calls | old names of metrics in logs |
| `Sequential._layers` | a first layer may bring its input |
| `Functional` | old names of its arguments |
| `Variable._initializer` | layers that are told their weights before they are built |
| `saving_api` | Keras's own `.keras`, and Orbax, while `keras.saving` is Holdfast's |
| `_tf_keras.keras` | what `tensorflow.keras` is, which holds the names of `keras` again |
| `model_from_json` | Keras's own, while `keras.models` has Holdfast's |
| the objects of a `custom_object_scope` | what a configuration may name |
| `MeanMetricWrapper._fn` | a program's own function among the metrics |
| `Distribution._is_multi_process` | whether one process has all of the devices |
| `module_utils.tensorflow` | Keras finds out once whether there is TensorFlow; saving imports it |

Owns nothing else. Imports Keras: import this module where it is used.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

import keras
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional
from keras.src.models.model import model_from_json
from keras.src.optimizers.schedules.learning_rate_schedule import LearningRateSchedule
from keras.src.random import seed_generator
from keras.src.saving import saving_api, saving_lib
from keras.src.trainers.compile_utils import CompileMetrics, MetricsList
from keras.src.trainers.data_adapters import (
    is_grain_dataset,
    is_tf_dataset,
    is_torch_dataloader,
)
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights
from keras.src.trainers.data_adapters.tf_dataset_adapter import make_class_weight_map_fn
from keras.src.utils import module_utils, python_utils
from keras.src.utils.naming import to_snake_case
from keras.src.utils.python_utils import pythonify_logs

__all__ = [
    "LOGS",
    "ArrayDataAdapter",
    "CompileMetrics",
    "Functional",
    "MetricsList",
    "all_layers",
    "attach",
    "build",
    "claimed",
    "class_weight_to_sample_weights",
    "compiled_with",
    "deferred",
    "epoch_logs",
    "finalize",
    "finds_tensorflow",
    "get_global_seed_generator",
    "initialize",
    "is_empty",
    "is_grain_dataset",
    "is_multi_process",
    "is_tf_dataset",
    "is_torch_dataloader",
    "loss_tracker",
    "metric_direction",
    "metric_function",
    "metric_names",
    "model_from_json",
    "modules",
    "own_variables",
    "packed",
    "prepare_saving",
    "pythonify_logs",
    "saveable",
    "saving_api",
    "schedule",
    "scoped_objects",
    "set_global_seed_generator",
    "set_value",
    "start_with",
    "to_snake_case",
    "value_for",
    "weights_in_hdf5",
    "without_tensorflow",
]

LOGS = (python_utils, "pythonify_logs")
"""The module and the name by which `CallbackList` makes what it tells callbacks."""


def packed(adapter: Any) -> tuple[Any, int, int, int]:
    """Return an adapter's arrays as packed, their number of samples, batch size and batches."""
    return adapter._inputs, adapter._num_samples, adapter.batch_size, adapter.num_batches


def build(model: Any, batch: Any) -> None:
    """Create every variable of a compiled model: its own, its metrics', its optimizer's."""
    model._symbolic_build(data_batch=batch)


def epoch_logs(model: Any, logs: dict[str, Any]) -> dict[str, Any]:
    """Return the logs of an epoch, given those of its last step."""
    return dict(model._get_metrics_result_or_logs(logs))


def is_empty(model: Any) -> bool:
    """Return whether a Sequential has no layer yet, not even one for its input."""
    return not model._layers


def metric_names(model: Any) -> list[str]:
    """Return the names of a built model's metrics, in the order of what `evaluate` returns."""
    found: list[str] = []
    for metric in model.metrics:
        within = isinstance(metric, CompileMetrics)
        found.extend(inner.name for inner in (metric.metrics if within else [metric]))
    return found


def metric_direction(model: Any, name: str) -> str:
    """Return `max` or `min` as a model's metric says, or an empty string where none says so.

    Args:
        model: compiled and built.
        name: of the metric in the logs, without `val_`; of models with several outputs, with
            the output's name before it.
    """
    metrics: list[Any] = []
    for metric in model.metrics:
        within = isinstance(metric, (CompileMetrics, MetricsList))
        metrics.extend(metric.metrics if within else [metric])
    for metric in metrics:
        if metric.name == name or name.endswith(f"_{metric.name}"):
            direction = getattr(metric, "_direction", None)
            if direction in ("up", "down"):
                return "max" if direction == "up" else "min"
    return ""


def metric_function(metric: Any) -> Any | None:
    """Return the function that a metric averages, or None where it is more than a function."""
    return getattr(metric, "_fn", None)


def loss_tracker(model: Any) -> Any | None:
    """Return the metric that averages the loss, or None where a model has none."""
    return getattr(model, "_loss_tracker", None)


def compiled_with(model: Any) -> list[Any]:
    """Return the losses and metrics that a model was compiled with, as they were given."""
    config = getattr(model, "_compile_config", None)
    told = {} if config is None else config.config
    topics = ("loss", "metrics", "weighted_metrics")
    return list(keras.tree.flatten([told.get(topic) for topic in topics]))


def schedule(optimizer: Any) -> Any | None:
    """Return the schedule an optimizer's learning rate follows, or None where it is a number."""
    rate = getattr(getattr(optimizer, "inner_optimizer", optimizer), "_learning_rate", None)
    return rate if isinstance(rate, LearningRateSchedule) else None


def prepare_saving() -> None:
    """Make models savable within a `StatelessScope` of this thread.

    Saving asks which attributes every object of a kind has, by making one, each time: Keras
    notes the answer under another name than it looks for it.
    """
    for kind in ("Layer", "Functional", "Sequential", "Metric", "Optimizer", "Loss"):
        global_state.set_global_attribute(
            f"saving_attr_skiplist_{kind}", saving_lib.get_attr_skipset(kind)
        )


def weights_in_hdf5(model: Any) -> memoryview:
    """Return a `.weights.h5` file of a built model, as Keras 3 writes it.

    It is made in memory: HDF5 does not outlive a disk that fails while it writes.
    """
    made = io.BytesIO()
    store = saving_lib.H5IOStore(made, mode="w")
    saving_lib._save_state(
        model, weights_store=store, assets_store=None, inner_path="", visited_saveables=set()
    )
    store.close()
    return made.getbuffer()


def attach(variables: Iterable[Any], values: Sequence[Any]) -> None:
    """Make `values`, arrays of the backend, the values of a model's variables."""
    for variable, value in zip(variables, values, strict=True):
        variable._value = value


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Make the variables that are created within have shapes, and no values yet.

    Nothing is drawn or allocated. Give each a value afterwards by `set_value` or `initialize`.
    """
    name = "uninitialized_variables"
    before = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Keras would initialize them at the end of whatever scope comes next.
        global_state.set_global_attribute(name, before or [])


def value_for(variable: Any, array: Any) -> Any:
    """Return an array as a value that a variable can be given by `set_value`."""
    return variable._convert_to_tensor(array, dtype=variable._dtype)


def set_value(variable: Any, array: Any) -> None:
    """Give a variable its first value, or another: an array, or what `value_for` made of one."""
    value = value_for(variable, array)
    if variable._value is None:
        variable._initialize(value)
        variable._initializer = None
    else:
        variable.assign(value)


def initialize(variables: Iterable[Any]) -> None:
    """Give those that have no value the one that their initializer makes."""
    for variable in variables:
        if variable._value is None:
            variable._deferred_initialize()


def own_variables(layer: Any) -> list[Any]:
    """Return the variables of a layer itself, without its inner layers', as Keras saves them."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def saveable(module: str, name: str) -> type | None:
    """Return a class of Keras's that can be in a configuration, or None. Imports nothing."""
    found = getattr(sys.modules.get(module), name, None)
    within = module == "keras" or module.startswith("keras.")
    if within and isinstance(found, type) and hasattr(found, "from_config"):
        return found
    return None


def scoped_objects() -> dict[str, Any]:
    """Return what the `custom_object_scope`s around the caller give, by name."""
    return dict(global_state.get_global_attribute("custom_objects_scope_dict", {}))


def claimed(build: Callable[[], Any]) -> int:
    """Return how many numbers a model's variables would be, and what its layers keep between
    batches, by the largest batch of fixed size that any of them is given. Makes none of them.
    """
    sizes: list[int] = []

    def count() -> None:
        with deferred():
            model = build()
        layers = list(model._flatten_layers())
        nodes = [node for layer in layers for node in layer._inbound_nodes]
        shapes = [tensor.shape for node in nodes for tensor in node.input_tensors]
        batch = max((shape[0] for shape in shapes if shape and shape[0]), default=1)
        recurrent = [layer for layer in layers if isinstance(layer, keras.layers.RNN)]
        state = keras.tree.flatten([layer.get_initial_state(batch) for layer in recurrent])
        sizes.extend(math.prod(part.shape) for part in [*model.variables, *state])

    # Within this, arrays are shapes alone.
    backend.compute_output_spec(count)
    return sum(sizes)


def all_layers(model: Any) -> list[Any]:
    """Return a model and all layers within it, each once."""
    return list(model._flatten_layers())


def finalize(model: Any) -> None:
    """Let layers compute what they derive from their variables, as Keras does after loading."""
    for layer in all_layers(model):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def modules(name: str) -> list[ModuleType]:
    """Return `keras.NAME`, and the module that holds its names again for `tensorflow.keras`."""
    return [
        importlib.import_module(f"{whole}.{name}") for whole in ("keras", "keras._tf_keras.keras")
    ]


def is_multi_process(distribution: Any) -> bool:
    """Return whether a distribution spans several processes."""
    return bool(getattr(distribution, "_is_multi_process", False))


def finds_tensorflow() -> bool:
    """Return whether Keras finds TensorFlow. It keeps the answer, and looks only once."""
    return bool(module_utils.tensorflow.available)


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Let Keras not import TensorFlow within, where nobody has: a model can have nothing of it."""
    lazy = module_utils.tensorflow
    before = lazy._available
    if before is None and "tensorflow" not in sys.modules:
        lazy._available = False
    try:
        yield
    finally:
        lazy._available = before


def get_global_seed_generator() -> Any | None:
    """Return Keras's global seed generator, or None where none was needed yet."""
    return global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: Any | None) -> None:
    """Replace Keras's global seed generator; with None, the next use makes a new one."""
    global_state.set_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR, generator)


def start_with(variable: Any, array: Any) -> None:
    """Make an array a new variable's first value, also where it has none yet."""
    if variable._value is None:
        # Made when it is asked for: what is made while a function is traced stays in it.
        variable._initializer = lambda shape, dtype=None: keras.ops.convert_to_tensor(array, dtype)
    else:
        variable.assign(array)


def weighted_by_class(dataset: Any, class_weight: dict[int, float]) -> Any:
    """Return a tf.data.Dataset with the weights of its samples by class."""
    return dataset.map(make_class_weight_map_fn(class_weight))


def made_by(tensor: Any) -> str | None:
    """Return the name of the layer that a model's symbolic input or output is from."""
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else str(history.operation.name)
