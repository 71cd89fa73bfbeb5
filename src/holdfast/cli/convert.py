"""The verb that writes a model's file in another format: convert.

Owns what is said of it. Leaves reading, writing and comparing to `holdfast.convert`. Keras is
imported when it runs.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from holdfast.cli import output
from holdfast.cli.output import AsJson


@dataclass(frozen=True)
class Converted:
    """What was converted, and what was found to be the same.

    Args:
        source, target: the files.
        format: of the new one.
        arrays: how many have the same bits.
        largest_difference: of the outputs on random inputs; None where they were not compared.
        optimizer: whether its state has the same bits; None where there was none to keep.
        seconds: that it took.
    """

    source: str
    target: str
    format: str
    arrays: int
    largest_difference: float | None
    optimizer: bool | None
    seconds: float


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
    seconds = time.monotonic() - began
    done = Converted(
        str(source),
        str(target),
        proved.format,
        proved.arrays,
        proved.difference,
        proved.optimizer,
        seconds,
    )
    if as_json:
        output.print_json(asdict(done))
        return
    same = "no outputs were compared"
    if done.largest_difference is not None:
        same = f"outputs within {done.largest_difference:.1g}"
    arrays = output.count(done.arrays, "array")
    lost = ", without the optimizer's state" if done.optimizer is False else ""
    output.say(f"{target}: {done.format}, {arrays} bit for bit the same, {same}{lost}")
