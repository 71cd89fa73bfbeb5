"""What is put in the place of something of Keras's, and taken back.

Owns the taking back. Leaves what is put where to the modules that do it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_MISSING = object()


class Patches:
    """A list of changes to other people's objects that `undo` takes back, the last one first."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Make `value` the attribute `name` of a class or a module."""
        before = vars(owner).get(name, _MISSING)
        setattr(owner, name, value)

        def back() -> None:
            if before is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        self._undo.append(back)

    def module(self, name: str, module: ModuleType) -> None:
        """Make `module` what `import name` gives."""
        before = sys.modules.get(name)
        sys.modules[name] = module

        def back() -> None:
            sys.modules.pop(name, None)
            if before is not None:
                sys.modules[name] = before

        self._undo.append(back)

    def later(self, undo: Callable[[], None]) -> None:
        """Call `undo` when all is taken back."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Take everything back."""
        while self._undo:
            self._undo.pop()()
