"""The verb that writes a model's file in another format: convert.

Owns what is said of it. Leaves reading, writing and comparing to `holdfast.convert`. Keras is
imported when it runs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from holdfast.cli import output
from holdfast.cli.output import AsJson


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="A model's file, directory or run.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DST", help="The file to write; its ending says the format.")
    ],
    *,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Write the weights alone.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="keras, h5, safetensors, saved_model or run; of weights alone weights.h5, h5, "
            "checkpoint or safetensors. By default what DST's ending says.",
        ),
    ] = None,
    kernels: Annotated[
        Literal["tensorflow", "theano"] | None,
        typer.Option(help="For a file of Keras 1 with convolutions: where it was trained."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model's file in another format, and prove that both hold the same.

    DST is read again before it gets its name: every array must have the same bits, and the
    outputs on random inputs must agree within 1e-5.
    """
    from holdfast.api import convert as convert_file

    began = time.monotonic()
    proved = convert_file(source, target, to, weights_only=weights_only, kernels=kernels)
    if as_json:
        output.print_json(
            {
                "source": str(source),
                "target": str(target),
                "format": proved.format,
                "arrays": proved.arrays,
                "largest_difference": proved.difference,
                "seconds": time.monotonic() - began,
            }
        )
        return
    same = "no outputs were compared"
    if proved.difference is not None:
        same = f"outputs within {proved.difference:.1g}"
    arrays = output.count(proved.arrays, "array")
    output.say(f"{target}: {proved.format}, {arrays} bit for bit the same, {same}")
