"""Patterns of paths: names with fields in braces, such as `{epoch:02d}-{val_loss:.2f}.keras`.

Owns which paths a pattern may give, and what a path is called in another pattern: a program that
has the time of its start in its names has other names at each start. Leaves filling in to those who
know the values.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """A pattern as a run first had it, by which it keeps files, and as the program has it now.

    Args:
        first: of the run's first start.
        now: of this start, with the same fields.
    """

    first: str
    now: str

    def kept(self, path: str) -> str | None:
        """Return what a path of now was called first; None if that cannot be told."""
        return renamed(path, self.now, self.first)

    def today(self, path: str) -> str | None:
        """Return what a path of the first start is called now; None if that cannot be told."""
        return renamed(path, self.first, self.now)


def fields(pattern: str) -> list[tuple[str, str, str]]:
    """Return the fields of a pattern in their order: name, format and conversion of each."""
    return [
        (name, spec or "", conversion or "")
        for _, name, spec, conversion in string.Formatter().parse(pattern)
        if name is not None
    ]


def renamed(path: str, old: str, new: str) -> str | None:
    """Return what a path is called in a pattern with the same fields.

    Args:
        path: that one pattern gave.
        old: that pattern.
        new: the other.

    Returns:
        None where the old one cannot give that path, or may have given it in several ways.
    """
    found = set()
    # Where the shortest texts of the fields and the longest give one name, all do.
    for text in ("([^/]*)", "([^/]*?)"):
        made = re.fullmatch(
            "".join(text if part is None else re.escape(part) for part in _parts(old)), path
        )
        if made is None:
            return None
        texts = iter(made.groups())
        found.add("".join(next(texts) if part is None else part for part in _parts(new)))
    name = found.pop()
    # A field is a number: it leads to no other directory.
    leads = name.split("/").count("..") != new.split("/").count("..")
    return None if found or leads else name


def _parts(pattern: str) -> list[str | None]:
    """Return the pieces of a pattern: what stands in it, and None for each field."""
    parts: list[str | None] = []
    for literal, name, *_ in string.Formatter().parse(pattern):
        parts.append(literal)
        if name is not None:
            parts.append(None)
    return parts
