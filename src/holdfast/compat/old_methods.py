"""Methods of models that are gone, and arguments that today's no longer take.

Owns `fit_generator` and the like, `predict_classes`, `nb_epoch=`, and what else of a model older
programs ask for. Leaves `compile` to `old_compile`, lists as data to `old_data`, and making `fit`
durable to `calls`.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from holdfast import keras_private
from holdfast.compat import old_compile, old_logs
from holdfast.compat.old import Old, met
from holdfast.compat.old_data import arrays, with_arrays
from holdfast.compat.patches import Patches
from holdfast.compat.translating import Arguments, rename, translate
from holdfast.errors import PlanError, UnknownArgumentError, did_you_mean

GENERATORS = Old(
    "model.fit_generator, evaluate_generator, predict_generator",
    "Keras 3.0",
    "model.fit, evaluate, predict",
    "calls these",
)
SAMPLES = Old(
    "samples_per_epoch=, nb_val_samples=, val_samples=",
    "Keras 2.4",
    "steps_per_epoch=, validation_steps=, steps=",
    "divides the samples by the size of a batch, which it takes from the generator's first",
)
EPOCHS = Old("nb_epoch=", "Keras 2.4", "epochs=", "renamed")
CLASSES = Old(
    "model.predict_classes(x)",
    "Keras 2.6",
    "np.argmax(model.predict(x), axis=-1), or model.predict(x) > 0.5 for one output",
    "returns that",
)
PROBABILITIES = Old("model.predict_proba(x)", "Keras 2.6", "model.predict(x)", "calls it")
WORKERS = Old(
    "workers=, use_multiprocessing=, max_queue_size= of fit, evaluate and predict",
    "Keras 3.0",
    "arguments of keras.utils.PyDataset",
    "dropped: they change no number",
)
WORKERS_1 = Old(
    "nb_worker=, pickle_safe=, max_q_size= of the generators' methods",
    "Keras 2.4",
    "arguments of keras.utils.PyDataset",
    "dropped: they change no number",
)
SHOW = Old(
    "fit(show_accuracy=)",
    "Keras 2.0",
    "compile(metrics=['accuracy'])",
    "dropped, as in Keras 1",
)
NAMES = Old(
    "the metrics in model.metrics_names",
    "Keras 3.0",
    "model.evaluate(…, return_dict=True), or metric.name of model.metrics",
    "lists each metric by its name, in the order of what evaluate returns",
)
RESET = Old(
    "model.reset_states()",
    "Keras 3.0",
    "layer.reset_state() of each recurrent layer",
    "does that",
)
SHAPES = Old(
    "layer.input_shape, layer.output_shape",
    "Keras 3.0",
    "layer.input.shape, layer.output.shape",
    "returns these as tuples",
)

ENDS = Old(
    "model.input, model.output of a Sequential",
    "Keras 3.0",
    "model.inputs[0], model.outputs[0]",
    "returns these",
)
_DROPPED = {
    "workers": WORKERS,
    "use_multiprocessing": WORKERS,
    "max_queue_size": WORKERS,
    "nb_worker": WORKERS_1,
    "pickle_safe": WORKERS_1,
    "max_q_size": WORKERS_1,
    "show_accuracy": SHOW,
}
# In the order in which the generators' methods took them after the steps.
_FIT = (
    "epochs",
    "verbose",
    "callbacks",
    "validation_data",
    "validation_steps",
    "validation_freq",
    "class_weight",
    "max_queue_size",
    "workers",
    "use_multiprocessing",
    "shuffle",
    "initial_epoch",
)
_OTHERS = ("callbacks", "max_queue_size", "workers", "use_multiprocessing", "verbose")


def fit_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call of `Model.fit` by the names they have today.

    Args:
        args, kwargs: as the program gave them, without the model.

    Returns:
        Those that were given.

    Raises:
        UnknownArgumentError: one that no Keras has.
        PlanError: one that was given twice.
    """
    kwargs = _current(kwargs)
    signature = fit_signature()
    known = [name for name in signature.parameters if name != "self"]
    for name in kwargs:
        if name not in known:
            raise UnknownArgumentError(
                f"fit has no argument {name!r}{did_you_mean(name, known)}; "
                f"it takes {', '.join(known)}"
            )
    try:
        bound = signature.bind_partial(None, *args, **kwargs)
    except TypeError as error:
        raise PlanError(f"fit: {error}") from None
    given = {name: value for name, value in bound.arguments.items() if name != "self"}
    return with_arrays(given)


def fit_signature() -> inspect.Signature:
    """Return the signature of Keras's own fit, whatever stands in the place of `Model.fit`."""
    return inspect.signature(super(keras.Model, keras.Model).fit)


def put(patches: Patches) -> None:
    """Give models what they had."""
    model, sequential = keras.Model, keras.Sequential
    plain = model.fit

    @functools.wraps(plain)
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        return old_logs.both_names(plain(self, **fit_arguments(args, kwargs)))

    patches.set(model, "fit", fit)
    for name in ("evaluate", "predict"):
        translate(patches, model, name, _of_method)
    old_compile.put(patches)
    patches.set(model, "metrics_names", property(_metrics_names))
    patches.set(model, "reset_states", _reset_states)
    patches.set(model, "fit_generator", _fit_generator)
    patches.set(model, "evaluate_generator", _evaluate_generator)
    patches.set(model, "predict_generator", _predict_generator)
    patches.set(sequential, "predict_classes", _predict_classes)
    patches.set(sequential, "predict_proba", _predict_proba)
    for name in ("input", "output"):
        there = getattr(sequential, name)
        patches.set(sequential, name, property(functools.partial(_end, name, there)))
        patches.set(keras.layers.Layer, f"{name}_shape", _Shape(name))


def _current(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return a method's keywords without those that are gone."""
    kept = {}
    for name, value in kwargs.items():
        if name in _DROPPED:
            met(_DROPPED[name])
        else:
            kept[name] = value
    rename(kept, "nb_epoch", "epochs", EPOCHS)
    return kept


def _of_method(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    return tuple(arrays(value) for value in args), with_arrays(_current(kwargs))


def _fit_generator(
    self: Any, generator: Any, steps_per_epoch: int | None = None, *args: Any, **kwargs: Any
) -> Any:
    met(GENERATORS)
    kwargs |= dict(zip(_FIT, args, strict=False))
    generator, steps = _steps(generator, kwargs, "samples_per_epoch", steps_per_epoch)
    validation, validation_steps = _steps(
        kwargs.get("validation_data"),
        kwargs,
        "nb_val_samples",
        kwargs.get("validation_steps"),
    )
    if validation is not None:
        kwargs |= {"validation_data": validation, "validation_steps": validation_steps}
    return self.fit(generator, steps_per_epoch=steps, **kwargs)


def _evaluate_generator(
    self: Any, generator: Any, steps: int | None = None, *args: Any, **kwargs: Any
) -> Any:
    met(GENERATORS)
    generator, steps = _steps(generator, kwargs, "val_samples", steps)
    return self.evaluate(generator, steps=steps, **_quietly(args, kwargs))


def _predict_generator(
    self: Any, generator: Any, steps: int | None = None, *args: Any, **kwargs: Any
) -> Any:
    met(GENERATORS)
    generator, steps = _steps(generator, kwargs, "val_samples", steps)
    return self.predict(generator, steps=steps, **_quietly(args, kwargs))


def _quietly(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments after `steps` by name; these methods said nothing unless asked to."""
    return {"verbose": 0, **dict(zip(_OTHERS, args, strict=False)), **kwargs}


def _steps(data: Any, kwargs: dict[str, Any], name: str, steps: int | None) -> tuple[Any, Any]:
    """Return data, and how many of its batches are asked for where samples were counted."""
    samples = kwargs.pop(name, None)
    if samples is None or data is None or isinstance(data, (tuple, list)):
        # Programs of Python 2 divide, and mean whole batches.
        return data, math.ceil(steps) if isinstance(steps, float) else steps
    met(SAMPLES)
    if hasattr(data, "__getitem__"):
        first = data[0]
    else:
        first = next(data)
        data = _after(first, data)
    array = keras.tree.flatten(first)[0]
    return data, math.ceil(samples / len(array))


def _after(first: Any, data: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from data


def _predict_classes(
    self: Any, x: Any, batch_size: int | None = None, verbose: int = 0, **kwargs: Any
) -> Any:
    met(CLASSES)
    scores = self.predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
    if scores.shape[-1] > 1:
        return np.argmax(scores, axis=-1)
    return (scores > 0.5).astype("int32")


def _predict_proba(
    self: Any, x: Any, batch_size: int | None = None, verbose: int = 0, **kwargs: Any
) -> Any:
    met(PROBABILITIES)
    return self.predict(x, batch_size=batch_size, verbose=verbose, **kwargs)


def _metrics_names(model: Any) -> list[str]:
    names = keras_private.metric_names(model)
    if len(names) > 1:
        met(NAMES)
    return names


def _reset_states(self: Any) -> None:
    """Put the state of all recurrent layers back to zero."""
    met(RESET)
    for layer in self.layers:
        for name in ("reset_state", "reset_states"):
            if hasattr(layer, name):
                getattr(layer, name)()
                break


def _end(name: str, plain: Any, model: Any) -> Any:
    """Return a Sequential's only input or output; what it has where it is part of a model."""
    try:
        return plain.fget(model)
    except AttributeError:
        tensors = getattr(model, f"{name}s")
        met(ENDS)
        return tensors[0] if len(tensors) == 1 else tensors


class _Shape:
    """A shape that layers had as an attribute; one that a class sets itself comes before it."""

    def __init__(self, end: str) -> None:
        self._end = end

    def __get__(self, layer: Any, kind: type) -> Any:
        if layer is None:
            return self
        if str(sys._getframe(1).f_globals.get("__name__")).startswith("keras."):
            # Keras asks whether layers have one, and does otherwise where they do.
            raise AttributeError(f"{self._end}_shape")
        try:
            tensors = getattr(layer, self._end)
        except (AttributeError, ValueError) as error:
            raise AttributeError(
                f"{kind.__name__} has no {self._end}_shape before it is called: {error}"
            ) from None
        met(SHAPES)
        return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), tensors)


ROWS = (
    GENERATORS,
    SAMPLES,
    EPOCHS,
    CLASSES,
    PROBABILITIES,
    WORKERS,
    WORKERS_1,
    SHOW,
    NAMES,
    RESET,
    SHAPES,
    ENDS,
)
