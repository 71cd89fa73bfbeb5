"""What a translation has gathered on its way through a configuration.

Owns the notes that become a `Translation`, where in a model one stands, and the making of names
that Keras 3 takes. Leaves what is translated, and how, to the modules beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from holdfast.formats.legacy.translation import Adapt
from holdfast.formats.model_file import Problem
from holdfast.types import Json


@dataclass(frozen=True)
class Place:
    """Where one stands: the names from the outermost model inwards, in the file and in Keras 3."""

    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    def inner(self, old: str, new: str) -> Place:
        """Return the place of a part."""
        return Place((*self.old, old), (*self.new, new))

    def __str__(self) -> str:
        return "/".join(self.old) or "the model"


@dataclass
class Context:
    """What is known of the whole file, and what was found out about it so far."""

    version: tuple[int, ...]
    custom: Collection[str] = ()
    problems: list[Problem] = field(default_factory=list)
    adapt: dict[tuple[str, ...], Adapt] = field(default_factory=dict)
    renamed: dict[tuple[str, ...], str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def problem(self, place: Place, what: str, kind: Literal["unsafe", "unsupported"]) -> None:
        """Note what is not translated."""
        self.problems.append(Problem(kind, str(place), what))

    def unsupported(self, place: Place, what: str) -> None:
        """Note what Keras 3 cannot do."""
        self.problem(place, what, "unsupported")

    def given(self, *names: Any) -> str | None:
        """Return the first of these names under which the caller gave something."""
        return next((name for name in names if isinstance(name, str) and name in self.custom), None)

    def names(self, place: Place, olds: Iterable[str]) -> Mapping[str, str]:
        """Return a name that Keras 3 takes for each of the layers of a model, all different."""
        olds = list(olds)
        taken = {old for old in olds if _legal(old)}
        found = {}
        for old in olds:
            new = old if _legal(old) else _unlike(old.replace("/", "_") or "layer", taken)
            taken.add(new)
            found[old] = new
            if new != old:
                self.renamed[(*place.old, old)] = new
        return found


def made(module: str, class_name: str, config: Json, registered: str | None = None) -> Json:
    """Return an object as Keras 3 writes it."""
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered,
    }


def given(class_name: str, config: Json) -> Json:
    """Return an object of a class, or a function, that the caller gives by this name."""
    return {
        "module": None,
        "class_name": class_name,
        "config": config,
        "registered_name": config if class_name == "function" else class_name,
    }


def legal(name: str) -> str:
    """Return a name for what stands alone, as Keras 3 takes it."""
    return name if _legal(name) else name.replace("/", "_") or "model"


def _legal(name: str) -> bool:
    return bool(name) and "/" not in name


def _unlike(name: str, taken: Collection[str]) -> str:
    number, new = 0, name
    while new in taken:
        number += 1
        new = f"{name}_{number}"
    return new
