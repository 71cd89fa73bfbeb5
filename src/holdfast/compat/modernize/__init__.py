"""`--modernize`: an older program as a diff to one for today's Keras, which needs no Holdfast.

Owns the order of the parts and the diff. Leaves names to `names` and `today`, methods of models to
`methods`, arguments to `arguments`, the backend to `backend`, logs to `logs`, files to `files`.
libcst reads the program; only the spans that change are written anew.
"""

from __future__ import annotations

import codecs
import difflib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import MissingExtraError


@dataclass(frozen=True)
class Modernized:
    """A program for today's Keras.

    Args:
        diff: from the old program to the new one; empty where nothing is to be changed.
        program: the new one.
        notes: what was not carried over, or should be known, each with its line.
    """

    diff: str
    program: str
    notes: list[str]


def modernize(path: Path) -> Modernized:
    """Write an older program for today's Keras, meaning the same.

    Args:
        path: the program.

    Returns:
        The diff, the new program, and notes about what it leaves as it is.

    Raises:
        MissingExtraError: libcst is not installed.
        HoldfastError: the file is not a program of today's Python.
        OSError: the file cannot be read.
    """
    if importlib.util.find_spec("libcst") is None:
        raise MissingExtraError("libcst", "modernize", "--modernize")
    from holdfast.compat.modernize import arguments, backend, files, logs, methods, names
    from holdfast.compat.modernize.source import Source

    source = Source(path)
    arguments.rewrite(source)
    methods.rewrite(source)
    logs.rewrite(source)
    files.rewrite(source)
    backend.rewrite(source)
    names.rewrite(source)
    mark = "\ufeff" if path.read_bytes().startswith(codecs.BOM_UTF8) else ""
    program = mark + source.changed()
    diff = _diff(mark + source.code, program, path.name)
    return Modernized(diff, program, [*source.notes(), *_needs(path.name, program, diff)])


def _needs(name: str, program: str, diff: str) -> list[str]:
    if not diff or "KERAS_BACKEND" in program or importlib.util.find_spec("tensorflow"):
        return []
    return [
        f"{name}: plain Keras asks for TensorFlow, unless the environment has KERAS_BACKEND=jax "
        "or torch"
    ]


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}", f"b/{name}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
