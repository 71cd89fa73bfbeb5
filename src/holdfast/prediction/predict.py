"""Judging whole files: inputs in, answers out, a batch at a time.

Owns the one loop, and that a file of answers is there wholly or not at all. Leaves reading to
`inputs`, the form of answers to `writing` and what they say to `answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.errors import InputError
from holdfast.judge import Judge
from holdfast.prediction import writing
from holdfast.prediction.answers import Reader
from holdfast.prediction.inputs import STANDARD_INPUT, Inputs
from holdfast.store import files


def predict(
    judge: Judge,
    inputs: Inputs,
    writer: writing.Writer,
    classes: Sequence[str],
    show: Callable[[int], object] = lambda rows: None,
) -> int:
    """Give a model's answers for all inputs to a writer, and return how many rows there were.

    Args:
        judge: the model.
        inputs: what it is to judge.
        writer: of the answers; it is not closed.
        classes: the names of the classes, or none.
        show: is told after each batch how many rows are done.

    Raises:
        InputError: an input is not what the model takes; or the names are not those of its classes.
    """
    reader = Reader(classes)
    done = 0
    for batch in inputs:
        outputs = judge.outputs(batch.feed)
        cut = {name: output[: batch.rows] for name, output in outputs.items()}
        writer.write(reader.answers(cut, batch.files))
        done += batch.rows
        show(done)
    return done


def predict_to(
    path: Path,
    judge: Judge,
    inputs: Inputs,
    classes: Sequence[str],
    show: Callable[[int], object] = lambda rows: None,
) -> int:
    """Write a model's answers to a file, and return how many rows there were.

    What is at the path stays until the new file is whole and on the disk.

    Args:
        path: of the file; its ending says the form.
        judge, inputs, classes, show: see `predict`.

    Raises:
        InputError: see `predict`; or the ending is of no form that is known.
        OSError: the disk.
    """
    writing.check(path, [tensor.name for tensor in judge.signature.outputs])
    read = [source for source in inputs.paths if source != STANDARD_INPUT]
    if path.exists() and any(path.samefile(source) for source in read):
        raise InputError(f"{path} is an input: give the answers another name")
    rows = 0

    def write(aside: Path) -> None:
        nonlocal rows
        writer = writing.writer(aside, classes)
        rows = predict(judge, inputs, writer, classes, show)
        writer.close()

    files.make_directory(path.parent)
    files.replace_by(path, write)
    return rows
