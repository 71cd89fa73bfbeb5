"""The verb that writes files which other runtimes run: export.

Owns its options and what is said of it. Leaves writing and proving to `exporting`, and reading
inputs to calibrate on to `prediction`. Keras is imported when it runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from holdfast.cli import classes as class_names
from holdfast.cli import output
from holdfast.cli.output import AsJson

if TYPE_CHECKING:
    from holdfast.exporting.order import Exported
    from holdfast.judge.about import About
    from holdfast.judge.signature import Signature

_OWN = (".npy", ".npz")


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run (its best), or a model's file.")
    ],
    targets: Annotated[
        list[Path],
        typer.Argument(
            metavar="OUT...",
            help="What to write: .onnx, .tflite, .stablehlo, .keras, .h5, .safetensors; a name "
            "without an ending is a SavedModel's directory.",
        ),
    ],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="onnx, tflite, stablehlo, saved_model, keras, h5 or safetensors. By default what "
            "OUT's ending says.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names of the classes, with commas, or a file with one a line. By default those "
            "that MODEL has.",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=MEANING", help="What an input means, in words."),
    ] = None,
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(help="Of .onnx and .tflite: compute in whole numbers. Needs --calibrate."),
    ] = None,
    float16: Annotated[
        bool, typer.Option("--float16", help="Of .onnx and .tflite: numbers of half the size.")
    ] = False,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT",
            help="Inputs like those to come, a few hundred, as predict takes them. An .npz may "
            "have their classes as y.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The classes of these inputs: an .npy, or a text with one a line."
        ),
    ] = None,
    most_loss: Annotated[
        float,
        typer.Option(metavar="PART", min=0.0, help="Most accuracy that may be lost on them."),
    ] = 0.02,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0.0,
            help="The largest difference allowed. By default 1e-5, with recurrent layers 1e-4.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as a file that other runtimes run, and prove that it computes the same.

    Each file is run in its own runtime on random inputs, in batches of several sizes, and
    compared with the model before it gets its name. A difference leaves no file.
    """
    if quantize and float16:
        raise typer.BadParameter("is one way, and --quantize another", param_hint="--float16")
    # TensorFlow greets on the standard error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from holdfast.exporting.export import export_each

    with _progress() as say:
        found = export_each(
            [(model, target, to) for target in targets],
            classes=class_names.parse(classes) or None,
            inputs=_meanings(inputs or []),
            precision=quantize or ("float16" if float16 else "float32"),
            calibrate=_calibration(calibrate),
            labels=labels,
            most_loss=most_loss,
            tolerance=tolerance,
            say=say,
        )
    done = [part for part in found if not isinstance(part, Exception)]
    if as_json:
        told = [_told(part) for part in done]
        if told:
            output.print_json(told[0] if len(targets) == 1 else told)
    else:
        for part in done:
            output.say(_line(part))
    errors = [part for part in found if isinstance(part, Exception)]
    said = list(dict.fromkeys(map(str, errors)))  # what is wrong with the model is said once
    for text in said[:-1]:
        output.complain(text)
    if errors:
        raise errors[-1]


def _meanings(given: list[str]) -> dict[str, str]:
    meanings = {}
    for text in given:
        name, equals, meaning = text.partition("=")
        if not (name and equals and meaning):
            raise typer.BadParameter(f"expected NAME=MEANING, found {text!r}", param_hint="--input")
        meanings[name] = meaning
    return meanings


def _calibration(given: list[str] | None) -> Any:
    """Return what is to be calibrated on: a file of numpy's, or a function that reads others."""
    if not given:
        return None
    if len(given) == 1 and Path(given[0]).suffix in _OWN:
        return Path(given[0])

    def read(signature: Signature, about: About) -> Mapping[str, Any]:
        import numpy as np

        from holdfast.prediction.inputs import Inputs

        batches = list(Inputs(given, signature, about, say=_note))
        return {
            tensor.name: np.concatenate(
                [batch.feed[tensor.name][: batch.rows] for batch in batches]
            )
            for tensor in signature.inputs
        }

    return read


def _note(text: str) -> None:
    typer.echo(f"holdfast: {output.plain(text)}", err=True)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield lambda text: status.update(output.plain(text))


def _told(done: Exported) -> dict[str, Any]:
    return {**dataclasses.asdict(done), "target": str(done.target)}


def _line(done: Exported) -> str:
    size = output.size(done.size)
    if done.size_before is not None:
        size += f" (in float32 {output.size(done.size_before)})"
    narrow = "" if done.precision == "float32" else f" in {done.precision}"
    return f"{done.target}: {done.format}{narrow}, {size}, {_found(done)}"


def _found(done: Exported) -> str:
    loss = done.loss
    if loss is not None and loss.before is not None:
        return (
            f"accuracy {loss.after:.4f} (before {loss.before:.4f}) on {loss.samples} inputs in "
            f"{done.runtime}"
        )
    if loss is not None:
        largest = max(loss.largest.values())
        return f"outputs within {largest:.1g} on {loss.samples} inputs in {done.runtime}"
    return f"outputs within {max(done.differences.values()):.1g} in {done.runtime}"
