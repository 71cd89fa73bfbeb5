"""Models written as files that other runtimes run, each proven to compute the same.

Owns the order of the work. Leaves writing each format to the module of its name, which runs in a
child process, and the proof and the name to `exporting/proving`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from holdfast import conversion
from holdfast.errors import ExportError, HoldfastError
from holdfast.exporting import (
    calibration,
    children,
    comparing,
    describing,
    kinds,
    portable,
    proving,
    sources,
)
from holdfast.exporting.kinds import Kind
from holdfast.exporting.order import Exported, Order, Precision, folder_beside
from holdfast.exporting.portable import Portable
from holdfast.exporting.tasks import Task
from holdfast.judge.about import About


def export(
    source: Any,
    target: str | os.PathLike[str],
    to: str | None = None,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    inputs: Mapping[str, str] | None = None,
    precision: Precision = "float32",
    calibrate: Any = None,
    labels: Any = None,
    most_loss: float = 0.02,
    tolerance: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Exported:
    """Write a model as a file that its own small runtime runs, and prove that it computes the same.

    The file is run on random inputs, in batches of several sizes, and compared with the model
    before it gets its name.

    Args:
        source: a run (its best checkpoint), a file that `holdfast.load_model` opens, or a
            `keras.Model`.
        target: the file, whose ending says the format: `.onnx`, `.tflite`, `.stablehlo`, `.keras`,
            `.h5`, `.safetensors`; without one, the directory of a SavedModel.
        to: the format, where the ending does not say.
        custom_objects: your own classes and functions by name, of modules that can be imported.
        classes: their names; by default those that the source has.
        inputs: what inputs mean, in words, by their names.
        precision: `float16` or `int8` for smaller `.onnx` and `.tflite`.
        calibrate: inputs, which int8 needs: the path of an `.npy` or `.npz` (which may have
            labels as `y`), arrays, or a function that returns arrays for a signature and an
            About.
        labels: the classes of these inputs: a path or an array. The accuracy is measured on them.
        most_loss: of accuracy, that a narrower precision may cost.
        tolerance: the largest difference allowed; by default 1e-5, with recurrent layers 1e-4, in
            float16 0.05.
        say: is told what is being done.

    Raises:
        ExportError: the model cannot be had in the format, or computed something else there. What
            was at the target stands.
        FormatError: the source cannot be read, or the target's name says no format.
        InputError: what was given to calibrate is not what the model takes.
        MissingExtraError: what writes or runs the format is not installed.

    Example:
        `export("runs/digits", "digits.onnx", classes=[str(digit) for digit in range(10)])`
    """
    (done,) = export_each(
        [(source, Path(target), to)],
        custom_objects=custom_objects,
        classes=classes,
        inputs=inputs,
        precision=precision,
        calibrate=calibrate,
        labels=labels,
        most_loss=most_loss,
        tolerance=tolerance,
        say=say,
    )
    if isinstance(done, Exception):
        raise done
    return done


def export_each(
    wanted: Sequence[tuple[Any, Path, str | None]],
    *,
    custom_objects: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    inputs: Mapping[str, str] | None = None,
    precision: Precision = "float32",
    calibrate: Any = None,
    labels: Any = None,
    most_loss: float = 0.02,
    tolerance: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Exported | HoldfastError]:
    """Export several with few child processes; see `export`.

    Args:
        wanted: sources, targets and formats.
        custom_objects, classes, inputs, precision, calibrate, labels: as `export` takes them.
        most_loss, tolerance, say: as `export` takes them.

    Returns:
        For each what was written, or the error why not.
    """
    began = time.monotonic()
    _check_bound("tolerance", tolerance)
    _check_bound("most_loss", most_loss)
    own = dict(custom_objects or {})
    models: dict[Any, tuple[Portable, About]] = {}
    expected = functools.cache(comparing.expected)
    orders: list[Order | HoldfastError] = []
    with contextlib.ExitStack() as closing:
        for source, target, to in wanted:
            try:
                kind = _chosen(source, target, to, precision, calibrate, labels)
                key = id(source) if not isinstance(source, str | os.PathLike) else os.fspath(source)
                if key not in models:
                    say("reading the model")
                    model, known = sources.opened(source, own)
                    models[key] = portable.portable(model, own), known
                ready, known = models[key]
                if kind.backend is None:
                    ready = portable.as_it_is(ready)
                about = describing.described(known, ready, classes, inputs)
                given = None
                if calibrate is not None:
                    given = calibration.read(calibrate, labels, ready.signature, about)
                if any(target == other.target for other in orders if isinstance(other, Order)):
                    raise ExportError(f"{target} is to be written twice: give each its own name")
                work = closing.enter_context(folder_beside(target))
                order = Order(
                    ready, about, kind, target, work, precision, given, most_loss, tolerance
                )
                orders.append(order)
            except HoldfastError as error:
                orders.append(error)
        _write([order for order in orders if isinstance(order, Order)], say)
        return [
            order if isinstance(order, HoldfastError) else _finished(order, expected, say, began)
            for order in orders
        ]


def _chosen(
    source: Any, target: Path, to: str | None, precision: Precision, calibrate: Any, labels: Any
) -> Kind:
    """Return the format. What can be refused before any work is refused here."""
    kind = kinds.kind_of(target, to)
    kinds.check_installed(kind, target)
    own = Path(source) if isinstance(source, str | os.PathLike) else None
    conversion.check_target(own, target, kind.name)
    if precision not in get_args(Precision):
        raise ExportError(f"precision={precision!r} is not known: use float32, float16 or int8")
    if precision != "float32" and not kind.quantized:
        raise ExportError(f"{precision} can be had in .onnx and .tflite, and not in {kind.name}")
    if precision == "int8" and calibrate is None:
        raise ExportError(
            "int8 needs inputs to calibrate on, a few hundred like those to come, as no model "
            "keeps what it was trained on: give them by --calibrate FILE (calibrate= in Python)"
        )
    if precision == "float32" and calibrate is not None:
        raise ExportError(
            "inputs to calibrate on are of use for --quantize int8 and --float16 alone"
        )
    if labels is not None and calibrate is None:
        raise ExportError("labels are of the inputs of --calibrate, which are not given")
    return kind


def _check_bound(name: str, bound: float | None) -> None:
    # No difference is more than a bound that is no number, and JSON has none that is infinite.
    if bound is not None and not (math.isfinite(bound) and bound >= 0):
        raise ExportError(f"{name}={bound}: expected a number, 0 or more")


def _write(orders: Sequence[Order], say: Callable[[str], None]) -> None:
    """Write the files, those of other backends by child processes. Reasons go to the orders."""
    saved: dict[int, Path] = {}
    tasks: dict[str, list[tuple[Order, Task]]] = {}
    for order in orders:
        try:
            if order.kind.backend is None:
                say(f"writing {order.target}")
                portable.write(order.model, order.file("float32"), order.kind.name)
                continue
            portable.check_portable(order.model.model, order.kind.name)
            if id(order.model) not in saved:
                portable.save(order.model.model, order.work / "model.keras")
                saved[id(order.model)] = order.work / "model.keras"
        except HoldfastError as error:
            order.reason = str(error)
            continue
        asked = _tasks(order, saved[id(order.model)])
        tasks.setdefault(order.kind.backend, []).extend((order, task) for task in asked)
    for backend, group in tasks.items():
        say(f"writing {', '.join(dict.fromkeys(str(order.target) for order, _ in group))}")
        answers = children.write(backend, [task for _, task in group])
        for (order, _), answer in zip(group, answers, strict=True):
            order.reason = order.reason or answer


def _tasks(order: Order, model: Path) -> list[Task]:
    """Return what a child must do: also of a narrow file the one in float32, to compare."""
    calibrated = None
    if order.precision == "int8" and order.given is not None:
        calibrated = order.work / "calibration.npz"
        order.given.save(calibrated)
    signature = order.model.signature
    task = Task(
        model=str(model),
        format=order.kind.name,
        target=str(order.file("float32")),
        inputs=[tensor.name for tensor in signature.inputs],
        outputs=[tensor.name for tensor in signature.outputs],
        batch=order.model.batch,
        custom=order.model.custom,
        modules=order.model.modules,
    )
    if order.precision == "float32":
        return [task]
    narrow = dataclasses.replace(
        task,
        target=str(order.file(order.precision)),
        precision=order.precision,
        calibration=str(calibrated) if calibrated else None,
    )
    return [task, narrow]


def _finished(
    order: Order,
    expected: Callable[[Portable], proving.Samples],
    say: Callable[[str], None],
    began: float,
) -> Exported | HoldfastError:
    try:
        if order.reason is not None:
            raise ExportError(f"{order.target} was not written: {order.reason}")
        done = proving.proven(order, expected(order.model), say)
    except HoldfastError as error:
        return error
    return dataclasses.replace(done, seconds=time.monotonic() - began)
