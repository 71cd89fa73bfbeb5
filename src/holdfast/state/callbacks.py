"""Callback state: by protocol where a callback has one, else from its attributes.

Owns which attributes are state. A callback with `get_state()` and `set_state(state)` is
asked; any other is read from its attributes, but for its model, its parameters and code.
Leaves when to capture and restore to `snapshot`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.state.values import CannotKeepError, decode, encode
from holdfast.types import Array, Json

_NOT_STATE = {"model", "_model", "params"}


def capture(callbacks: Sequence[Any], arrays: list[Array], *, copy: bool) -> Json:
    """Return the state of callbacks as JSON; arrays within are added to `arrays`.

    Without `copy`, large arrays are not copied: a callback that writes into one changes what
    was captured.
    """
    states = []
    for number, callback in enumerate(callbacks):
        name = f"callback/{number}"
        if _has_protocol(callback):
            state = encode(callback.get_state(), name, arrays)
        else:
            state = {}
            for key, value in _attributes(callback):
                kept: list[Array] = []
                try:
                    # Keras's own replace their arrays and never write into them.
                    state[key] = encode(
                        value, f"{name}/{key}", kept, copy=copy and not _is_keras(callback)
                    )
                except CannotKeepError:
                    continue
                arrays.extend(kept)
        states.append({"class": _class_name(callback), "state": state})
    return states


def restore(states: Json, callbacks: Sequence[Any], arrays: Mapping[str, Array]) -> list[str]:
    """Put captured state back on top of what `on_train_begin` has set.

    Callbacks are told apart by class and, within a class, by order. Returns a sentence for
    each that was added or is gone since: it starts anew, or its state is dropped.
    """
    said = []
    left = list(states)
    for callback in callbacks:
        name = _class_name(callback)
        saved = next((state for state in left if state["class"] == name), None)
        if saved is None:
            said.append(f"callback {name} was not there at the checkpoint: it starts anew")
            continue
        left.remove(saved)
        value = decode(saved["state"], arrays)
        if _has_protocol(callback):
            callback.set_state(value)
        else:
            for key, part in value.items():
                setattr(callback, key, part)
    said.extend(f"callback {state['class']} is gone: its state is dropped" for state in left)
    return said


def cannot_keep(callbacks: Sequence[Any]) -> list[str]:
    """Return what of the callbacks' state cannot be kept, a phrase for each attribute."""
    found = []
    for callback in callbacks:
        if _has_protocol(callback) or _is_keras(callback):
            continue
        for key, value in _attributes(callback):
            if callable(value):
                continue
            try:
                encode(value, f"{type(callback).__name__}.{key}", [])
            except CannotKeepError as error:
                found.append(str(error))
    return found


def pins(callbacks: Sequence[Any]) -> tuple[int, ...]:
    """Return the steps of the checkpoints that callbacks need, such as the best epoch's.

    A callback says so by a method `pins()`; see `holdfast.callbacks.hosted`.
    """
    found = {step for item in callbacks if hasattr(item, "pins") for step in item.pins()}
    return tuple(sorted(found))


def _attributes(callback: Any) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in vars(callback).items() if key not in _NOT_STATE]


def _has_protocol(callback: Any) -> bool:
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _is_keras(callback: Any) -> bool:
    return type(callback).__module__.partition(".")[0] == "keras"


def _class_name(callback: Any) -> str:
    # Keras moves its classes between modules from version to version; a script's module is
    # __main__ or its name, depending on how it is started.
    return type(callback).__qualname__
