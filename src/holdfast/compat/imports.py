"""Imports that older programs make and today's Keras refuses: who is asked for them, and when.

Owns the finders that Python's import asks: one that knows when Keras has been imported, and one,
asked last, for modules that are gone. Leaves what is in such a module to `old_modules`, and what
stands in for TensorFlow to `tensorflow`.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import opcode
import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, FrameType, ModuleType
from typing import Any, NoReturn

from holdfast.compat.patches import Patches

_HERE = os.path.dirname(__file__) + os.sep
_MACHINERY = ("<frozen importlib._bootstrap", importlib.__file__)
_LIBRARIES = (
    "<frozen ",
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    *(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")),
)
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def install(patches: Patches, on_keras: Callable[[], None]) -> None:
    """Make imports of older programs work, and call `on_keras` once Keras has been imported.

    Args:
        patches: takes all of it back, with the modules that were put into `sys.modules`.
        on_keras: is called at once where Keras has been imported already.
    """
    from holdfast.compat import old_modules, tensorflow

    def ready() -> None:
        # First: it looks which names are missing, and after that none is.
        on_keras()
        old_modules.put(patches)
        tensorflow.put(patches)

    _ask(patches, old_modules.Finder(patches), first=False)
    kind = tensorflow.Own if tensorflow.is_installed() else tensorflow.Finder
    _ask(patches, kind(patches), first=True)
    when_imported(patches, "keras", ready)


def when_imported(patches: Patches, name: str, action: Callable[[], None]) -> None:
    """Call `action` once a module has been imported; at once, if it has been already."""
    if name in sys.modules:
        action()
    else:
        _ask(patches, _After(name, action), first=True)


def from_program() -> bool:
    """Return whether the program asks for what is being imported, and no library does."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith((_HERE, *_MACHINERY)):
            return not is_library(frame.f_code.co_filename) or _is_main(frame.f_globals)
        frame = frame.f_back
    return False


def refuse(message: str, frame: FrameType, *, name: str, owner: ModuleType) -> NoReturn:
    """Say that a module has no such name, as the statement that asked for it expects it.

    Python drops the message of an AttributeError where the statement is `from … import name`.

    Args:
        message: the whole of it.
        frame: that executes the statement.
        name: that was asked for.
        owner: the module.

    Raises:
        ImportError: the statement is an import.
        AttributeError: it is none.
    """
    if _imports(frame.f_code, frame.f_lasti):
        raise ImportError(message, name=owner.__name__, path=getattr(owner, "__file__", None))
    raise AttributeError(message)


def import_module(name: str) -> ModuleType:
    """Return the module of that name. Unlike `importlib`'s, no frame stands between."""
    __import__(name)
    return sys.modules[name]


def forget(patches: Patches, name: str) -> None:
    """Take the module `name`, which is being imported, out of `sys.modules` in the end."""
    module = sys.modules[name]
    parent, _, child = name.rpartition(".")
    within = sys.modules.get(parent)
    before = vars(within).get(child) if within is not None else None

    def back() -> None:
        sys.modules.pop(name, None)
        if within is not None and vars(within).get(child) is module:
            if before is None:
                delattr(within, child)
            else:
                setattr(within, child, before)

    patches.later(back)


class _After:
    """Calls `ready` right after a module has been imported for the first time."""

    def __init__(self, name: str, ready: Callable[[], None]) -> None:
        self.name = name
        self.ready = ready

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                if spec.loader is not None:
                    spec.loader = _Then(spec.loader, self._imported)  # type: ignore[assignment]
                return spec
        return None

    def _imported(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self.ready()


class _Then:
    """A loader that is the module's own, and calls `done` when the module is whole.

    The module does not keep it: it has its own loader before its first line is executed.
    """

    def __init__(self, loader: Any, done: Callable[[], None]) -> None:
        self.loader = loader
        self.done = done

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self.loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.done()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def _ask(patches: Patches, finder: Any, *, first: bool) -> None:
    sys.meta_path.insert(0 if first else len(sys.meta_path), finder)
    patches.later(lambda: sys.meta_path.remove(finder) if finder in sys.meta_path else None)


def is_library(file: str) -> bool:
    """Return whether a file is Python's, Holdfast's or an installed package's, by its path."""
    return file.startswith(_LIBRARIES) or any(part in file for part in _INSTALLED)


def _is_main(names: dict[str, Any]) -> bool:
    """Return whether names are those of the program's first module, or of one in its package.

    A program that is started by `-m` may be installed where libraries are.
    """
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    package = main.name.partition(".")[0] if main is not None else "__main__"
    return str(names.get("__name__")).partition(".")[0] in ("__main__", package)


def _imports(code: CodeType, at: int) -> bool:
    """Return whether the instruction at an offset is the `name` of `from … import name`."""
    return at >= 0 and opcode.opname[code.co_code[at]] == "IMPORT_FROM"
