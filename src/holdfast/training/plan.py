"""fit()'s arguments -> a frozen, checked Plan.

Owns the checking: bad input is refused here, before the first step. Leaves the kinds of data
to `data/adapt` and the description of the model to `describe`.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from holdfast import keras_private
from holdfast.callbacks.csv_rows import accompany
from holdfast.callbacks.hosted import hosted
from holdfast.callbacks.rollback import Rollback
from holdfast.data.adapt import adapt
from holdfast.data.source import SampleSource, Source
from holdfast.errors import PlanError, UnsupportedError
from holdfast.state import rng
from holdfast.store.manifest import fingerprint
from holdfast.training.describe import describe_model, describe_training
from holdfast.types import Json

_NOT_CALLED = {
    "make_train_function": "Override train_step instead.",
    "make_test_function": "Override test_step instead.",
}


@dataclass(frozen=True)
class Plan:
    """The arguments of fit, checked.

    `description` says by topic what must be the same for a run to go on with the same bits;
    `fingerprint` is its BLAKE3. More epochs, another verbosity, other callbacks are no change.
    """

    epochs: int
    initial_epoch: int
    verbose: int
    validation_freq: int | Sequence[int]
    callbacks: Sequence[Any]
    train: Source
    validation: Source | None
    seed: int
    description: Mapping[str, Json]
    fingerprint: str

    def validates(self, epoch: int) -> bool:
        """Return whether epoch `epoch`, counted from 0, ends with a validation."""
        if self.validation is None:
            return False
        if isinstance(self.validation_freq, int):
            return (epoch + 1) % self.validation_freq == 0
        return epoch + 1 in self.validation_freq

    def validations(self, epoch: int) -> int:
        """Return how many validations there are before that of epoch `epoch`."""
        return _validations(epoch, self.initial_epoch, self.validation_freq)


def make_plan(
    model: Any,
    *,
    seed: int | None = None,
    x: Any,
    y: Any,
    batch_size: int | None,
    epochs: int,
    verbose: str | int,
    callbacks: Any,
    validation_split: float,
    validation_data: Any,
    shuffle: bool | str,
    class_weight: dict[int, float] | None,
    sample_weight: Any,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validation_steps: int | None,
    validation_batch_size: int | None,
    validation_freq: int | Sequence[int],
) -> Plan:
    """Check the arguments of `Model.fit`, build the model from the data's shapes, and plan.

    Args:
        model: to train.
        seed: of the shuffling, where the run has one already.

    The others are those of `Model.fit`.

    Raises:
        PlanError: an argument, or the model, that cannot be trained with.
        UnsupportedError: what a later version may take, and this one does not.
    """
    _check_model(model)
    epochs = _capped(_integer("epochs", epochs, 0), keras.config.max_epochs(), "epochs")
    initial_epoch = _integer("initial_epoch", initial_epoch, 0)
    steps = _optional("steps_per_epoch", steps_per_epoch)
    most = keras.config.max_steps_per_epoch()
    if most:
        steps = _capped(steps or most, most, "steps_per_epoch")
    if verbose not in ("auto", 0, 1, 2):
        raise PlanError(f"verbose must be 'auto', 0, 1 or 2, found {verbose!r}")
    if shuffle not in (True, False, None, "batch"):
        raise PlanError(f"shuffle must be True, False or 'batch', found {shuffle!r}")
    if not 0 <= validation_split < 1:
        raise PlanError(f"validation_split must be from 0 to below 1, found {validation_split!r}")
    if class_weight is not None and not isinstance(class_weight, Mapping):
        raise PlanError(
            f"class_weight must be a dict of class to weight, found a {type(class_weight).__name__}"
        )
    frequency = _frequency(validation_freq)
    if validation_steps is None:
        _check_validates_once(validation_data, epochs, initial_epoch, frequency)
    seed = rng.draw_seed() if seed is None else seed
    train, validation = adapt(
        x,
        y,
        sample_weight,
        seed=seed,
        batch_size=_optional("batch_size", batch_size),
        class_weight=dict(class_weight) if class_weight is not None else None,
        shuffle=shuffle or False,
        steps_per_epoch=steps,
        initial_epoch=initial_epoch,
        validation_split=validation_split,
        validation_data=validation_data,
        validation_batch_size=_optional("validation_batch_size", validation_batch_size),
        validation_steps=_optional("validation_steps", validation_steps),
    )
    train.schedule.epochs = epochs
    for name, source in (("steps_per_epoch", train), ("validation_steps", validation)):
        _warn_of_too_few(name, source)
    _build(model, train)
    description = {
        "model": describe_model(model),
        **describe_training(model),
        "training data": train.fingerprint(),
        "validation data": validation.fingerprint() if validation is not None else None,
        "validation frequency": frequency,
        "initial epoch": initial_epoch,
    }
    plan = Plan(
        epochs=epochs,
        initial_epoch=initial_epoch,
        verbose=1 if verbose == "auto" else int(verbose),
        validation_freq=frequency,
        callbacks=_callbacks(callbacks),
        train=train,
        validation=validation,
        seed=seed,
        description=description,
        fingerprint=fingerprint(description),
    )
    if validation is not None:
        validation.schedule.epochs = plan.validations(epochs)
    _check_going_back(plan)
    return plan


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise PlanError(f"expected a keras.Model to train, found a {type(model).__name__}")
    if not model.compiled:
        raise PlanError("the model is not compiled: call model.compile(...) before fit")
    if model.optimizer is None:
        raise PlanError("the model is compiled without an optimizer: there is nothing to train by")
    for name, instead in _NOT_CALLED.items():
        _refuse_own(model, name, instead)
    _check_distribution()


def _check_validates_once(
    data: Any, epochs: int, initial_epoch: int, frequency: int | Sequence[int]
) -> None:
    """Refuse validation data that the first validation would use up, where more are to come."""
    if not isinstance(data, Iterator):
        return
    times = _validations(epochs, initial_epoch, frequency)
    if times > 1:
        raise UnsupportedError(
            f"validation_data is a {type(data).__name__}, which gives its batches once, and there "
            f"are {times} validations. Pass validation_steps, the batches of each, or what can be "
            "gone through again, such as a keras.utils.PyDataset or arrays."
        )


def _validations(epoch: int, initial_epoch: int, frequency: int | Sequence[int]) -> int:
    """Return how many validations there are before that of epoch `epoch`."""
    if isinstance(frequency, int):
        return epoch // frequency - initial_epoch // frequency
    return sum(initial_epoch < number <= epoch for number in frequency)


def _check_going_back(plan: Plan) -> None:
    """Refuse a Rollback where the data cannot go back."""
    rolls = any(isinstance(callback, Rollback) for callback in plan.callbacks)
    if rolls and not isinstance(plan.train, SampleSource) and plan.train.once:
        raise PlanError(
            f"callbacks holds a Rollback, and x is {plan.train.kind}, which gives its batches once "
            "and cannot go back to one. Pass what can, such as a keras.utils.PyDataset."
        )


def _check_distribution() -> None:
    distribution = keras.distribution.distribution()
    if distribution is None:
        return
    kind = type(distribution).__name__
    if not isinstance(distribution, keras.distribution.DataParallel):
        why = f"a keras.distribution.{kind} is set; Run.fit takes DataParallel"
    elif keras.config.backend() != "jax":
        why = (
            f"a {kind} is set; Run.fit takes it on JAX, and Keras runs on {keras.config.backend()}"
        )
    elif keras_private.is_multi_process(distribution):
        why = f"the {kind} is spread over several processes; Run.fit takes the devices of one"
    else:
        return
    raise UnsupportedError(f"{why}. Unset it with keras.distribution.set_distribution(None).")


def refuse_own_fit(model: Any) -> None:
    """Refuse a model whose class has a `fit` of its own, which then was not called.

    Raises:
        UnsupportedError: it has one.
    """
    if isinstance(model, keras.Model):
        _refuse_own(model, "fit", "Do what it does before you call Run.fit.")


def _refuse_own(model: Any, name: str, instead: str) -> None:
    if getattr(type(model), name) is not getattr(keras.Model, name):
        raise UnsupportedError(
            f"{type(model).__name__} overrides {name}, which Run.fit does not call. {instead}"
        )


def _build(model: Any, train: Source) -> None:
    keras_private.build(model, train.specimen())


def _callbacks(given: Any) -> list[Any]:
    if isinstance(given, keras.callbacks.CallbackList):
        given = given.callbacks
    callbacks = keras.tree.flatten(given) if given else []
    for callback in callbacks:
        if isinstance(callback, type) and issubclass(callback, keras.callbacks.Callback):
            raise PlanError(f"callbacks holds the class {callback.__name__}; expected an instance")
        if not isinstance(callback, keras.callbacks.Callback):
            raise PlanError(
                f"callbacks holds a {type(callback).__name__}; expected keras.callbacks.Callback"
            )
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise PlanError(
                "callbacks holds a BackupAndRestore: the run itself does what it does, and it "
                "would go back to an epoch's start. Leave it out."
            )
    known = hosted(callbacks)
    twice = next((item for n, item in enumerate(known) if item in known[:n]), None)
    if twice is not None:
        raise PlanError(
            f"callbacks holds the same {type(twice).__name__} twice: it would count everything "
            "twice. Make two of them."
        )
    if sum(isinstance(item, Rollback) for item in callbacks) > 1:
        raise PlanError("callbacks holds more than one Rollback: each would undo the other's")
    # Keras's own record of the epochs is replaced by the run's, which spans all attempts.
    return accompany([item for item in callbacks if type(item) is not keras.callbacks.History])


def _integer(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise PlanError(f"{name} must be an integer, found {value!r}") from None
    if number < least or isinstance(value, bool):
        raise PlanError(f"{name} must be an integer >= {least}, found {value!r}")
    return number


def _optional(name: str, value: Any) -> int | None:
    return None if value is None else _integer(name, value, 1)


def _frequency(value: Any) -> int | list[int]:
    if isinstance(value, (list, tuple, set)):
        return sorted(_integer("validation_freq", item, 1) for item in value)
    return _integer("validation_freq", value, 1)


def _capped(value: int, most: int | None, name: str) -> int:
    if most and most < value:
        warnings.warn(f"Limiting {name} to {most}, as Keras is set to", stacklevel=4)
        return most
    return value


def _warn_of_too_few(name: str, source: Source | None) -> None:
    if source is None or source.schedule.batches is None:
        return
    asked, there = source.schedule.steps_per_epoch or 0, source.schedule.batches
    if asked > there:
        warnings.warn(
            f"{name}={asked} is more than the {there} batches there are: "
            "it ends with the data, as in Keras",
            stacklevel=4,
        )
