"""The verb that looks into a model's file: inspect. It builds nothing and reads no arrays.

Owns what this verb prints and with which code it exits. Leaves the facts to `file_facts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import output
from holdfast.cli.output import AsJson

if TYPE_CHECKING:
    from holdfast.cli.file_facts import ArrayFacts, FileFacts

FilePath = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A model's file, directory or checkpoint prefix.", readable=False
    ),
]


def inspect(path: FilePath, *, as_json: AsJson = False) -> None:
    """Show what a model's file holds: any that Keras ever wrote.

    Tells its format and version, the layers, every array, the optimizer's state, and what in it
    is unsafe or unsupported. Builds no model, runs nothing of the file and reads no arrays. The
    exit code is 1 where the file cannot be read.
    """
    from holdfast.cli.file_facts import facts_of
    from holdfast.formats.opening import open_file

    with open_file(path) as file:
        facts = facts_of(file)
    if as_json:
        output.print_json(asdict(facts))
    else:
        _print_facts(facts)


def _print_facts(facts: FileFacts) -> None:
    kept = [array for array in facts.arrays if array.part == "optimizer"]
    optimizer = f"{output.count(len(kept), 'array')}, {output.size(_bytes(kept))}"
    shown = {
        "file": facts.path,
        "format": facts.format,
        "keras": facts.keras_version or "",
        "backend": facts.backend or "",
        "model": facts.model or "no architecture: load its weights into a model",
        "compiled": facts.compiled,
        "parameters": f"{facts.parameters:,}",
        "optimizer": optimizer if kept else "no state",
        "size": output.size(facts.size),
    }
    output.print_facts({name: text for name, text in shown.items() if text})
    if facts.layers:
        output.say()
        output.print_table(
            ["layer", "class", "parameters"],
            [
                [
                    layer.name,
                    layer.kind or "-",
                    "-" if layer.parameters is None else f"{layer.parameters:,}",
                ]
                for layer in facts.layers
            ],
            right=("parameters",),
        )
    if facts.arrays:
        output.say()
        output.print_table(
            ["array", "shape", "type", "size", "of"],
            map(_array_cells, facts.arrays),
            right=("size",),
        )
    if facts.problems:
        output.say()
    for problem in facts.problems:
        output.say(f"{problem.kind}: {problem.where}: {problem.what}")


def _array_cells(array: ArrayFacts) -> list[str]:
    shape = " x ".join(map(str, array.shape)) or "()"
    size = "-" if array.size is None else output.size(array.size)
    return [array.name, shape, array.dtype, size, array.part]


def _bytes(arrays: Iterable[ArrayFacts]) -> int:
    return sum(array.size or 0 for array in arrays)
