"""Names of classes, as people give them on the command line.

Owns the option's form: names with commas between them, or a file with one a line.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.errors import InputError


def parse(given: str | None) -> tuple[str, ...]:
    """Return names of classes.

    Args:
        given: the names with commas between them, or a file with one a line; None for no names.

    Raises:
        InputError: a name is missing or comes twice; or there is one alone, which may be that of a
            file that is not there.
    """
    if given is None:
        return ()
    path = Path(given)
    lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else None
    names = given.split(",") if lines is None else lines
    names = [name.strip() for name in names]
    where = given if lines is not None else "the classes"
    if len(names) == 1:
        raise InputError(
            f"{where}: expected at least two names, or a file with one a line, found {names[0]!r}"
        )
    for place, name in enumerate(names):
        if not name:
            raise InputError(f"{where}: expected a name for each class, found none for {place}")
        if name in names[:place]:
            raise InputError(f"{where}: expected a name once for each class, found {name!r} twice")
    return tuple(names)
