"""about.json: what people told of a run: the names of its classes, the meaning of its inputs.

Owns its bytes. Leaves what is asked for and checked to `run`. It may be there before the run is,
and no part of the run depends on it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from holdfast.errors import DamagedError
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
