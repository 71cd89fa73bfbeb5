"""Names in logs that older programs know otherwise: `acc` is `accuracy`, `lr` is `learning_rate`.

Owns the two names of a metric, and the dictionaries that know both. Leaves monitors and names of
files to `old_callbacks`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from holdfast import keras_private
from holdfast.compat.old import Old, met
from holdfast.compat.patches import Patches

ACC = Old(
    "the metric names acc and val_acc",
    "Keras 2.3",
    "accuracy and val_accuracy",
    "monitors, names of files, logs and histories know both names",
)
RATE = Old(
    "the name lr in logs and histories",
    "Keras 3.0",
    "learning_rate",
    "logs and histories know both names",
)

LONG = Old(
    "the metric names mean_squared_error, mean_absolute_error for 'mse' and 'mae'",
    "Keras 2.3",
    "mse and mae, as compile was told",
    "monitors, names of files, logs and histories know both names",
)

# Longer names end in these too: `val_acc`, and `digit_acc` of the output `digit`.
_NAMES = (
    ("acc", "accuracy", ACC),
    ("lr", "learning_rate", RATE),
    ("mean_squared_error", "mse", LONG),
    ("mean_absolute_error", "mae", LONG),
    ("mean_absolute_percentage_error", "mape", LONG),
    ("mean_squared_logarithmic_error", "msle", LONG),
)


class Logs(dict[str, Any]):
    """A dictionary that also knows the other name of what is in it.

    It is looked up only where the name itself is missing. All else, such as iteration, equality
    and printing, shows what is there and nothing more.
    """

    def __missing__(self, key: str) -> Any:
        there = present(key, self.keys())
        if there == key:
            raise KeyError(key)
        return self[there]

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401

    def __contains__(self, key: object) -> bool:
        names = self.keys()
        return key in names or (isinstance(key, str) and present(key, names) != key)

    def copy(self) -> Logs:
        return Logs(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def present(name: str, names: Container[str]) -> str:
    """Return a metric's name as it is among `names`, or as it was given where it is not."""
    if name in names:
        return name
    for old, new, row in _NAMES:
        if _is(name, old) and name[: -len(old)] + new in names:
            met(row)
            return name[: -len(old)] + new
        if _is(name, new) and name[: -len(new)] + old in names:
            return name[: -len(new)] + old
    return name


def both_names(history: Any) -> Any:
    """Return a History whose `history` knows both names."""
    history.history = Logs(history.history)
    return history


def put(patches: Patches) -> None:
    """Tell callbacks logs that know both names."""
    owner, name = keras_private.LOGS
    plain = getattr(owner, name)
    patches.set(owner, name, lambda logs: Logs(plain(logs)))


def _is(name: str, bare: str) -> bool:
    return name == bare or name.endswith(f"_{bare}")


ROWS = (ACC, RATE, LONG)
