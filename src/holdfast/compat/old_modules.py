"""Modules of Keras's that are gone: `keras.utils.np_utils`, `keras.layers.core` and the like.

Owns how they are imported, and what is told of a name that a module of Keras's does not have. A
module that is gone has no classes of its own: its names are looked up in today's modules, so that
they are the same objects. Leaves the table of them to `gone`, and classes and functions that are
gone to `old_members`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from holdfast.compat import old_members
from holdfast.compat.gone import FOR_TENSORFLOW, GONE, OF, WITHIN
from holdfast.compat.imports import forget, from_program, import_module, refuse
from holdfast.compat.old import met
from holdfast.compat.patches import Patches
from holdfast.errors import did_you_mean

_HOMES = [
    "keras.layers",
    "keras.models",
    "keras.optimizers",
    "keras.callbacks",
    "keras.losses",
    "keras.metrics",
    "keras.utils",
    "keras.regularizers",
    "keras.initializers",
    "keras.constraints",
    "keras.activations",
    "keras.datasets",
    "keras.applications",
    "keras.saving",
    "keras.ops",
]


class OldModule(ModuleType):
    """A module that is gone: its names are those of today's modules."""

    def __init__(self, name: str, today: str, stood: Any) -> None:
        super().__init__(name, f"{name} of older programs.")
        self.__gone = GONE[WITHIN.get(today, today)]
        self.__path = today
        self.__stood = stood

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return self.__gone.names.split() or _public(import_module(self.__gone.today[0]))
        if not name.startswith("__") and name not in _parts(self.__path):
            met(OF[WITHIN.get(self.__path, self.__path)])
        return _found(self, self.__path, name, self.__gone.today, sys._getframe(1))

    def __dir__(self) -> list[str]:
        names = [name for part in self.__gone.today for name in _public(import_module(part))]
        return sorted({*vars(self), *names})

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Do what has the same name: `keras.layers.merge` was once a function."""
        if self.__stood is None:
            raise TypeError(f"{self.__name__} is a module, and cannot be called")
        return self.__stood(*arguments, **options)


class Finder:
    """Python asks it, last of all, for modules that are missing."""

    def __init__(self, patches: Patches) -> None:
        self.patches = patches

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        today = name.removeprefix("tensorflow.") if name.startswith("tensorflow.keras.") else name
        if today in GONE or today in WITHIN:
            loader = _Loader(self.patches, today)
            return ModuleSpec(name, loader, is_package=True)  # type: ignore[arg-type]
        parent, _, child = name.rpartition(".")
        if today.startswith("keras.") and parent in sys.modules and from_program():
            hint = did_you_mean(child, submodules(sys.modules[parent]))
            if hint:
                raise ModuleNotFoundError(f"{parent} has no module {child!r}{hint}", name=name)
        return None


class _Loader:
    """Makes a module that is gone."""

    def __init__(self, patches: Patches, today: str) -> None:
        self.patches = patches
        self.today = today

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        parent, _, child = spec.name.rpartition(".")
        stood = vars(sys.modules[parent]).get(child)
        return OldModule(spec.name, self.today, stood if callable(stood) else None)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        # What only leads to another module is not used yet.
        if not _parts(self.today):
            met(OF[WITHIN.get(self.today, self.today)])
        forget(self.patches, module.__spec__.name)


def put(patches: Patches) -> None:
    """Have Keras's modules look up names of theirs that are gone, or misspelt."""
    for name, module in list(sys.modules.items()):
        if f"{name}.".startswith("keras.") and not name.startswith("keras.src"):
            watch(patches, module)


def watch(patches: Patches, module: ModuleType) -> None:
    """Have a module of Keras's look up names of its that are gone, or misspelt."""
    if "__getattr__" not in vars(module):
        patches.set(module, "__getattr__", partial(_of_today, module))
        if module.__name__.endswith("keras.optimizers.legacy"):
            _empty(patches, module)


def _of_today(module: ModuleType, name: str) -> Any:
    """Find a name that a module of today's Keras does not have."""
    path = module.__name__.replace(FOR_TENSORFLOW, "keras", 1)
    gone = GONE.get(path)
    if gone is not None and name in gone.names.split():
        met(OF[path])
    today = gone.today if gone is not None else ()
    return _found(module, path, name, today, sys._getframe(1))


def _found(module: ModuleType, path: str, name: str, today: Sequence[str], frame: FrameType) -> Any:
    """Find a name that a module does not have itself.

    Args:
        module: of today's, or one that is gone.
        path: its full name in Keras.
        name: what it is asked for.
        today: modules that have its names.
        frame: that asked for it.
    """
    if name.startswith("__"):
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
    for place in (path, *today):
        if place != path and name in vars(import_module(place)):
            return vars(sys.modules[place])[name]
        there, found = old_members.find(place, name)
        if there:
            return found
    within = f"{path}.{name}"
    if within in GONE or within in WITHIN:
        return import_module(within)
    why = next(filter(None, (old_members.refused(place, name) for place in (path, *today))), "")
    refuse(why or _unknown(module, name, today), frame, name=name, owner=module)


def _unknown(module: ModuleType, name: str, today: Sequence[str]) -> str:
    """Say that nothing has a name: what is near it, or where it is."""
    owners = [module, *(sys.modules[part] for part in today if part in sys.modules)]
    path = module.__name__.replace(FOR_TENSORFLOW, "tensorflow.keras", 1)
    said = f"{path} has no {name!r}"
    for home in _HOMES:
        if name in vars(sys.modules.get(home, module)) and sys.modules.get(home) not in owners:
            return f"{said}; {home} has it"
    near = [*(known for owner in owners for known in vars(owner)), *submodules(module)]
    hint = did_you_mean(name, [known for known in near if not known.startswith("_")])
    where = f"; what it had is in {' and '.join(today)} today" if today else ""
    return f"{said}{hint}{where}"


def submodules(module: ModuleType) -> list[str]:
    """Return the names of the modules within a module of Keras's, also of those that are gone."""
    real = [name for name, value in vars(module).items() if isinstance(value, ModuleType)]
    start = f"{module.__name__}."
    within = [name.removeprefix(start) for name in WITHIN if name.startswith(start)]
    names = [*real, *_parts(module.__name__), *within]
    return [name for name in names if "." not in name and not name.startswith("_")]


def _parts(path: str) -> list[str]:
    """Return the names of the modules that are gone of a module, without those of `WITHIN`."""
    return [name.removeprefix(f"{path}.") for name in GONE if name.startswith(f"{path}.")]


def _public(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]


def _empty(patches: Patches, module: ModuleType) -> None:
    """Take out of `keras.optimizers.legacy` what Keras has put there to say that it is gone."""
    before = {name: vars(module)[name] for name in _public(module)}
    for name in before:
        delattr(module, name)
    patches.later(lambda: vars(module).update(before))
