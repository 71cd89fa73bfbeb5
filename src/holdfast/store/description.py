"""about.json: what people told of a run: the names of its classes, the meaning of its inputs.

Owns its bytes, and what can be told. It may be there before the run is, and no part of the run
depends on it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field

from holdfast.errors import DamagedError, RunError
from holdfast.events import build
from holdfast.store import files
from holdfast.store.layout import FORMAT, Layout
from holdfast.store.manifest import sealed, unsealed


@dataclass(frozen=True)
class Description:
    """What people told of a run.

    Args:
        classes: their names, in the order of the model's output; empty where nobody told.
        inputs: what the inputs mean, in words, by their names.
        format: of the file.
    """

    classes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


def write(layout: Layout, description: Description) -> None:
    """Write what was told; durable when this returns. Makes the directory where there is none."""
    files.make_directory(layout.root)
    files.replace(layout.description, sealed(asdict(description)))


def load(layout: Layout) -> Description:
    """Return what was told, which is nothing where there is no such file.

    Raises:
        DamagedError: it is not what was written.
        NewerFormatError: a newer Holdfast wrote it.
    """
    path = layout.description
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Description()
    try:
        return build(Description, unsealed(data, path))
    except ValueError as error:
        raise DamagedError(f"{path}: not readable ({error})") from error


def take_along(source: Layout, target: Layout) -> None:
    """Copy what was told of a run that is moved aside to the one that begins in its place."""
    with contextlib.suppress(FileNotFoundError):
        files.replace(target.description, source.description.read_bytes())


def class_names(classes: Iterable[str]) -> tuple[str, ...]:
    """Return names of classes.

    Raises:
        RunError: they are no list of texts, or one is there twice.
    """
    # A set has no order, and the names are in that of the model's output.
    if isinstance(classes, (str, Set, Mapping)) or not isinstance(classes, Iterable):
        raise RunError(f"classes: expected a list of names, found {classes!r}")
    names = tuple(classes)
    if len(names) == 1:
        raise RunError(f"classes: expected a list of at least two names, found {classes!r}")
    for name in names:
        if not isinstance(name, str) or not name:
            raise RunError(f"classes: expected texts, found {name!r}")
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise RunError(f"classes: {double!r} is there twice")
    return names


def meanings(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return what inputs mean.

    Raises:
        RunError: that is not said in texts by name.
    """
    if not isinstance(inputs, Mapping):
        raise RunError(f"inputs: expected a dict of words by the inputs' names, found {inputs!r}")
    for name, meaning in inputs.items():
        if not isinstance(name, str) or not isinstance(meaning, str):
            raise RunError(f"inputs: expected a text for each name, found {name!r}: {meaning!r}")
    return dict(inputs)
