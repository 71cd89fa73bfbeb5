"""Callback state: by protocol where a callback has one, else from its attributes.

Owns which attributes are state. A callback with `get_state()` and `set_state(state)` is
asked; any other is read from its attributes, but for its model, its parameters and code.
Leaves when to capture and restore to `snapshot`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from holdfast.errors import RunError
from holdfast.state.values import CannotKeepError, decode, encode
from holdfast.types import Array, Json

_NOT_STATE = {"model", "_model", "params"}
# What Keras's callbacks derive from their arguments: of `mode`, `separator`, `log_dir`; and an
# open file.
_DERIVED = {"monitor_op", "sep", "_log_write_dir", "_train_dir", "_val_dir", "csv_file", "writer"}


def capture(callbacks: Sequence[Any], arrays: list[Array], *, copy: bool) -> Json:
    """Return the state of callbacks as JSON; arrays within are added to `arrays`.

    Without `copy`, large arrays are not copied: a callback that writes into one changes what
    was captured.
    """
    states = []
    for number, callback in enumerate(callbacks):
        name = f"callback/{number}"
        if _has_protocol(callback):
            state = _own_state(callback, name, arrays)
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
        by = "get_state" if _has_protocol(callback) else "attributes"
        entry = {"class": _class_name(callback), "by": by, "state": state}
        states.append({**entry, "monitor": monitor} if (monitor := _monitor(callback)) else entry)
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
        by = "get_state" if _has_protocol(callback) else "attributes"
        if saved.get("by", by) != by:
            said.append(
                f"callback {name} keeps its state by {by} now, and at the checkpoint did so by "
                f"{saved['by']}: it starts anew"
            )
            continue
        was, now = saved.get("monitor"), _monitor(callback)
        if was != now:
            said.append(f"callback {name} monitored {was} and now monitors {now}: it starts anew")
            continue
        value = decode(saved["state"], arrays)
        if by == "get_state":
            _give(callback, value)
        else:
            said.extend(_set(callback, value))
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


def _own_state(callback: Any, name: str, arrays: list[Array]) -> Json:
    try:
        return encode(callback.get_state(), name, arrays)
    except CannotKeepError as error:
        raise RunError(
            f"get_state of the callback {_class_name(callback)} returns what cannot be kept: "
            f"{error}. It should return numbers, strings, arrays, and lists, tuples, sets and "
            "dicts of them."
        ) from None


def _give(callback: Any, state: Any) -> None:
    try:
        callback.set_state(state)
    except Exception as error:
        error.add_note(
            f"holdfast: this is set_state of the callback {_class_name(callback)}, given what its "
            "get_state returned at the checkpoint. Nothing was trained and nothing changed. Let it "
            "take that state, or give the class another name: it then starts anew."
        )
        raise


def _set(callback: Any, state: Mapping[str, Any]) -> list[str]:
    """Set attributes; returns a sentence for each that cannot be set any more."""
    said = []
    for key, part in state.items():
        if key in _settings(callback):
            continue  # kept by an earlier version
        try:
            setattr(callback, key, part)
        except AttributeError as error:
            said.append(
                f"{_class_name(callback)}.{key} cannot be set to what it was at the checkpoint "
                f"({error}): it is as the callback makes it"
            )
    return said


def _attributes(callback: Any) -> list[tuple[str, Any]]:
    slots = []
    for kind in type(callback).__mro__:
        declared = vars(kind).get("__slots__", ())
        declared = [declared] if isinstance(declared, str) else declared
        # Python's own, such as __dict__, are no state.
        slots += [key for key in declared if key[:2] != "__" and hasattr(callback, key)]
    found = {**vars(callback), **{key: getattr(callback, key) for key in slots}}
    left_out = _NOT_STATE | _settings(callback)
    return [(key, value) for key, value in found.items() if key not in left_out]


def _monitor(callback: Any) -> str | None:
    """Return the metric that a callback of Keras's judges by: values of another are no state."""
    monitor = getattr(callback, "monitor", None)
    return monitor if "monitor" in _settings(callback) and isinstance(monitor, str) else None


def _settings(callback: Any) -> frozenset[str]:
    """Return which attributes are not state but what the program asked for.

    Of Keras's own classes it is known: what their constructors take, and what they make of it.
    """
    names: set[str] = set()
    for kind in type(callback).__mro__:
        if kind.__module__.partition(".")[0] == "keras" and kind is not keras.callbacks.Callback:
            names |= set(inspect.signature(kind).parameters)
            names |= _DERIVED
    return frozenset(names)


def _has_protocol(callback: Any) -> bool:
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _is_keras(callback: Any) -> bool:
    return type(callback).__module__.partition(".")[0] == "keras"


def _class_name(callback: Any) -> str:
    # Keras moves its classes between modules from version to version; a script's module is
    # __main__ or its name, depending on how it is started.
    return type(callback).__qualname__
