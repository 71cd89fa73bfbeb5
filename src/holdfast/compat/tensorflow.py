"""`import tensorflow as tf` where TensorFlow is not installed: `tf.keras` is today's Keras.

Owns the modules that stand in, and the error at the line that uses anything else; and, where
TensorFlow is installed, that its `tensorflow.keras` is not a second copy of Keras's modules. Leaves
what else of TensorFlow has an answer to `tensorflow_names`, and modules and names of Keras's that
are gone to `old_modules`.

Only the program is given it: a library that asks for TensorFlow is told that there is none, as
Keras itself is. Once the program has imported it, it is in `sys.modules`, where a library that
looks there finds it.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from holdfast.compat.gone import FOR_TENSORFLOW
from holdfast.compat.imports import forget, from_program, import_module, refuse
from holdfast.compat.old import Old, met, place
from holdfast.compat.old_modules import OldModule, submodules, watch
from holdfast.compat.patches import Patches
from holdfast.compat.tensorflow_names import SILENT, SINCE, VALUES
from holdfast.errors import did_you_mean

KERAS = Old(
    "tensorflow.keras",
    SINCE,
    "keras",
    "tf.keras, tensorflow.python.keras and tf.compat.v1.keras are today's Keras, where TensorFlow "
    "is not installed",
)
CONTRIB = Old("tf.contrib.keras", "TensorFlow 2.0", "keras", "today's Keras")

_PARTS = {
    "tensorflow",
    "tensorflow.compat",
    "tensorflow.contrib",
    "tensorflow.python",
    *(
        f"tensorflow{version}{part}"
        for version in ("", ".compat.v1", ".compat.v2")
        for part in (
            "",
            ".config",
            ".config.experimental",
            ".logging",
            ".math",
            ".nn",
            ".random",
            ".test",
            ".train",
            ".version",
        )
    ),
}
_KERAS = {
    "tensorflow.keras": KERAS,
    "tensorflow.python.keras": KERAS,
    "tensorflow.compat.v1.keras": KERAS,
    "tensorflow.compat.v2.keras": KERAS,
    "tensorflow.contrib.keras": CONTRIB,
}


def is_installed() -> bool:
    """Return whether TensorFlow itself is. What stands in for it does not count."""
    real = sys.modules.get("tensorflow")
    if real is not None:
        return not isinstance(real, Part)
    # Asked of sys.modules, Python would answer with what stands in. A directory is no package.
    found = importlib.machinery.PathFinder.find_spec("tensorflow")
    return found is not None and found.origin is not None


def put(patches: Patches) -> None:
    """Have Keras find out that there is no TensorFlow, before the program has what stands in."""
    from holdfast import keras_private

    if not is_installed():
        keras_private.finds_tensorflow()


class Part(ModuleType):
    """TensorFlow, or a module of it, where it is not installed."""

    def __getattr__(self, name: str) -> Any:
        path = f"{self.__name__}.{name}"
        row, make = VALUES.get(_short(path), (None, None))
        if row is not None and make is not None:
            if row not in SILENT:
                met(row)
            return make()
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if path in _PARTS or path in _KERAS:
            return import_module(path)
        refuse(_needs(path), sys._getframe(1), name=name, owner=self)


class Finder:
    """Python asks it, first of all, for TensorFlow."""

    def __init__(self, patches: Patches) -> None:
        self.patches = patches

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != "tensorflow":
            return None
        asked = from_program()
        loader: _Loader | _Alias
        if name in _PARTS:
            if name == "tensorflow" and not asked:
                return None
            loader = _Loader(self.patches)
        elif prefix := _keras(name):
            met(_KERAS[prefix])
            loader = _Alias(self.patches, f"keras{name.removeprefix(prefix)}")
        elif asked:
            raise ModuleNotFoundError(_needs(name), name=name)
        else:
            return None
        return ModuleSpec(name, loader, is_package=True)  # type: ignore[arg-type]


class Own:
    """Python asks it, first of all, for `tensorflow.keras` where TensorFlow is installed.

    TensorFlow would execute Keras's files again, and what is put in the place of Keras's own would
    not be in those.
    """

    def __init__(self, patches: Patches) -> None:
        self.patches = patches

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not f"{name}.".startswith("tensorflow.keras.") or _has_keras_2():
            return None
        today = f"{FOR_TENSORFLOW}{name.removeprefix('tensorflow.keras')}"
        if name != "tensorflow.keras" and importlib.util.find_spec(today) is None:
            return None
        loader = _Alias(self.patches, today)
        return ModuleSpec(name, loader, is_package=True)  # type: ignore[arg-type]


class _Loader:
    """Makes what stands in for TensorFlow, after Keras has looked for the real one."""

    def __init__(self, patches: Patches) -> None:
        self.patches = patches

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        import_module("keras")
        return Part(spec.name, "What stands in for TensorFlow, which is not installed.")

    def exec_module(self, module: ModuleType) -> None:
        forget(self.patches, module.__name__)


class _Alias:
    """Makes a name of TensorFlow's give the module of Keras's itself, which stays as it is."""

    def __init__(self, patches: Patches, today: str) -> None:
        self.patches = patches
        self.today = today

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python: a module that is given would be given another spec."""

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        try:
            sys.modules[name] = import_module(self.today)
        except ModuleNotFoundError as error:
            if error.name != self.today:
                raise
            parent, _, child = name.rpartition(".")
            hint = did_you_mean(child, submodules(sys.modules[parent]))
            message = f"{parent} has no module {child!r}{hint}"
            raise ModuleNotFoundError(message, name=name) from None
        forget(self.patches, name)
        if not isinstance(sys.modules[name], OldModule):
            watch(self.patches, sys.modules[name])


def _has_keras_2() -> bool:
    """Return whether the program has asked TensorFlow for Keras 2, of the package `tf_keras`."""
    return os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true")


def _keras(name: str) -> str:
    """Return what of a module's name stands for `keras`, or an empty string."""
    return next((part for part in _KERAS if f"{name}.".startswith(f"{part}.")), "")


def _short(path: str) -> str:
    for start in ("tensorflow.compat.v1.", "tensorflow.compat.v2.", "tensorflow."):
        if path.startswith(start):
            return path.removeprefix(start)
    return path


def _needs(path: str) -> str:
    """Say that something of TensorFlow's is not there without it."""
    name = path.rpartition(".")[2]
    hint = did_you_mean(_short(path), ["keras", *VALUES])
    ops = vars(sys.modules["keras.ops"]) if "keras.ops" in sys.modules else {}
    today = next((each for each in (name, name.removeprefix("reduce_")) if each in ops), "")
    return (
        f"{place()}{path.replace('tensorflow', 'tf', 1)} is TensorFlow's own, and TensorFlow is "
        f"not installed; only tf.keras stands in without it{hint}."
        + (f" Keras has keras.ops.{today}." if today else "")
        + " Install TensorFlow: pip install tensorflow-cpu"
    )


ROWS = (KERAS, CONTRIB)
