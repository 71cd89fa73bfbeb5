"""Which engine executes a plan, and the reason in words.

Owns the choice. Leaves to `engines/fused` and `engines/stepwise` how a stretch is executed.

On JAX both engines run the same compiled code, so that a run may change from one to the
other between attempts and its bits stay the same: `fused` takes as many steps at a time as
suits, `stepwise` as many as Keras would (`steps_per_execution`), for callbacks that look.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Literal

import keras

from holdfast.callbacks.hosted import Hosted
from holdfast.callbacks.rollback import Rollback
from holdfast.data.reading import Going
from holdfast.data.source import Source
from holdfast.engines.base import Engine
from holdfast.errors import MissingExtraError, UnsupportedError

_HOOKS = {
    "train": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
}


# What may run before the first step is traced.
_BEFORE_STEPS = ("set_params", "set_model", "on_train_begin", "on_epoch_begin", *_HOOKS["train"])
_BEFORE_TESTS = (*_BEFORE_STEPS, "on_epoch_end", "on_test_begin", *_HOOKS["test"])

BACKENDS = ("jax", "torch", "tensorflow")


def check_backend() -> None:
    """Refuse a backend that this version has no engine for.

    Raises:
        UnsupportedError: Keras runs on another backend than JAX, PyTorch or TensorFlow.
        MissingExtraError: it is not installed.
    """
    backend = keras.config.backend()
    if backend not in BACKENDS:
        raise UnsupportedError(
            f"Keras runs on {backend}; Run.fit supports the backends {', '.join(BACKENDS)}. Set "
            "KERAS_BACKEND=jax, or another of them, before the first import of keras "
            "(`import holdfast` does it where no backend was chosen)."
        )
    if importlib.util.find_spec(backend) is None:
        raise MissingExtraError(backend, backend, f"Training on the backend {backend}")


def choose(
    model: Any,
    train: Source,
    validation: Source | None,
    callbacks: Sequence[Any],
    seed: int,
    *,
    resumed: bool,
    stopped: Going,
) -> Engine:
    """Return the engine for a model, its data and its callbacks.

    Args:
        model: compiled and built.
        train: the source of training batches.
        validation: of validation batches, or None.
        callbacks: in their order.
        seed: of the shuffling.
        resumed: whether state is restored before the first step: of callbacks, which may change
            the model, and of the random generators.
        stopped: whether the training was told to stop.
    """
    watch = any(isinstance(callback, Rollback) for callback in callbacks)
    backend = keras.config.backend()
    if backend != "jax":
        return _stepwise(backend, model, train, validation, seed, watch, stopped)
    from holdfast.engines.fused import JaxEngine

    eager = model.run_eagerly or not model.jit_compile
    looks = overriding(callbacks, "train")
    if eager:
        setting = "run_eagerly" if model.run_eagerly else "jit_compile=False"
        name, reason = "stepwise", f"the model was compiled with {setting}"
    elif looks:
        name, reason = "stepwise", f"{looks} looks at every {_executions(model)}"
    else:
        name, reason = "fused", "no callback looks at single batches"
    return JaxEngine(
        model,
        train,
        validation,
        seed=seed,
        name=name,
        reason=reason,
        eager=eager,
        hooked=(
            resumed or _hooked(callbacks, _BEFORE_STEPS),
            resumed or _hooked(callbacks, _BEFORE_TESTS),
        ),
        watch=watch,
        stopped=stopped,
    )


def _stepwise(
    backend: str,
    model: Any,
    train: Source,
    validation: Source | None,
    seed: int,
    watch: bool,
    stopped: Going,
) -> Engine:
    from holdfast.engines.stepwise import Steps, StepwiseEngine

    steps: Steps
    if backend == "torch":
        from holdfast.engines.torch import TorchSteps

        steps = TorchSteps(model, watch=watch)
    else:
        from holdfast.engines.tensorflow import TensorFlowSteps

        steps = TensorFlowSteps(model, watch=watch)
    reason = f"the backend is {backend}"
    return StepwiseEngine(
        model, train, validation, steps, seed=seed, reason=reason, stopped=stopped
    )


def overriding(callbacks: Sequence[Any], phase: Literal["train", "test"]) -> str:
    """Return the first per-batch hook that a callback overrides, as `Class.hook`, or ``."""
    for callback in callbacks:
        if phase == "train" and _looks_at_epochs_only(callback):
            continue
        for hook in _HOOKS[phase]:
            if _overrides(callback, hook):
                return f"{type(callback).__name__}.{hook}"
    return ""


def _hooked(callbacks: Sequence[Any], hooks: Sequence[str]) -> bool:
    """Return whether a callback overrides one of some hooks; Holdfast's own do no harm."""
    return any(
        _overrides(callback, hook) and not _is_ours(getattr(callback, hook))
        for callback in callbacks
        for hook in hooks
    )


def _is_ours(method: Any) -> bool:
    return str(getattr(method, "__module__", "")).startswith("holdfast.")


def _overrides(callback: Any, hook: str) -> bool:
    method = getattr(callback, hook)
    return getattr(method, "__func__", method) is not getattr(keras.callbacks.Callback, hook)


def _looks_at_epochs_only(callback: Any) -> bool:
    """Whether a per-batch hook does nothing as the callback was set up."""
    if not isinstance(callback, (Hosted, keras.callbacks.ModelCheckpoint)):
        return False
    if getattr(callback, "save_freq", None) != "epoch":
        return False
    # Imported for those that may be one: it brings what writes files of models.
    from holdfast.callbacks.model_checkpoint import ModelCheckpoint

    return type(callback) in (keras.callbacks.ModelCheckpoint, ModelCheckpoint)


def _executions(model: Any) -> str:
    steps = model.steps_per_execution
    return "batch" if steps == 1 else f"{steps} batches (steps_per_execution)"
