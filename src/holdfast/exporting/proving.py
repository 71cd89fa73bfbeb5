"""The proof that an exported file computes what its model computes, and only then its name.

Owns the order: run and compared, told what is known, run again as it is, and moved into its place.
Leaves comparing and measuring to `comparing` and `measuring`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from holdfast import conversion
from holdfast.errors import ExportError, FormatError
from holdfast.exporting import comparing, describing, measuring, metadata, reasons
from holdfast.exporting.measuring import Loss
from holdfast.exporting.order import Exported, Order
from holdfast.formats import writing
from holdfast.judge import loading
from holdfast.judge.judge import Judge
from holdfast.judge.signature import Feed
from holdfast.store import files
from holdfast.types import Json

Samples = Sequence[tuple[Feed, Feed]]


def proven(order: Order, samples: Samples, say: Callable[[str], None]) -> Exported:
    """Compare what was written, let it say what was found, and give it its name.

    Args:
        order: its files are written.
        samples: inputs, and what the model gives for them.
        say: is told what is being done.

    Raises:
        ExportError: it computes something else, or lost too much. The target stands as it was.
    """
    plain, made = order.file("float32"), order.file(order.precision)
    if order.kind.backend is None:
        _check_arrays(order, plain)
    with _opened(plain, order) as judge:
        say(f"running {order.target} in {judge.runtime}")
        found = _compared(judge, order, samples, _tolerance(order))
    loss = None
    if made != plain:
        say(f"running {order.target} in {order.precision}")
        with _opened(made, order) as judge:
            found = _compared(judge, order, samples, _narrow_tolerance(order))
            loss = _loss(judge, order)
    done = Exported(
        order.target,
        order.kind.name,
        judge.runtime,
        _size(made),
        loss.largest if loss and order.precision == "int8" else found,
        _narrow_tolerance(order) if made != plain else _tolerance(order),
        order.precision,
        loss,
        _size(plain) if made != plain else None,
        order.model.computed,
    )
    about = dataclasses.replace(order.about, export=_told(order, done))
    metadata.write(made, order.kind.name, about)
    text = _size(made) - done.size
    with _opened(made, order) as judge:
        # As it was before it was told, but for what a runtime may round otherwise.
        again = comparing.differences(judge, samples[:1])
        allowed = max(*found.values(), done.tolerance or 0.0) * 1.01
        comparing.check(again, allowed, str(order.target), judge.runtime)
        if judge.about.classes != about.classes:
            raise ExportError(f"{order.target} was not written: it does not say its classes")
    _move(made, order.target)
    before = None if done.size_before is None else done.size_before + text
    return dataclasses.replace(done, size=done.size + text, size_before=before)


def _tolerance(order: Order) -> float:
    if order.tolerance is not None and order.precision == "float32":
        return order.tolerance
    if order.kind.backend is None and order.model.computed != "float32":
        return comparing.NARROW
    return comparing.tolerance_for(order.model.model)


def _narrow_tolerance(order: Order) -> float | None:
    if order.precision == "int8":
        return None  # what it lost is measured on inputs like those to come
    return comparing.NARROW if order.tolerance is None else order.tolerance


def _compared(
    judge: Judge, order: Order, samples: Samples, tolerance: float | None
) -> dict[str, float]:
    found = comparing.differences(judge, samples)
    if tolerance is not None:
        comparing.check(found, tolerance, str(order.target), judge.runtime)
    return found


def _loss(judge: Judge, order: Order) -> Loss | None:
    if order.given is None:
        return None
    loss = measuring.measure(
        lambda feed: comparing.outputs(order.model, feed),
        lambda feed: comparing.answers(judge, feed),
        order.given,
    )
    measuring.check(loss, order.most_loss, str(order.target))
    return loss


def _check_arrays(order: Order, path: Path) -> None:
    """Check that a file for Keras has every array bit for bit."""
    from holdfast.api import load_model

    try:
        again = load_model(path, order.model.own, compile=False)
        conversion.compare(order.model.model, again, outputs=False)
    except FormatError as error:
        said = str(error).removeprefix(f"{path}: ")
        raise ExportError(f"{order.target} was not written: {said}") from error


@contextlib.contextmanager
def _opened(path: Path, order: Order) -> Iterator[Judge]:
    try:
        judge = loading.load(path, order.model.own)
    except FormatError as error:
        said = str(error).removeprefix(f"{path}: ")
        raise ExportError(f"{order.target} was not written: {reasons.shortened(said)}") from error
    try:
        yield judge
    finally:
        judge.close()


def _told(order: Order, done: Exported) -> dict[str, Json]:
    told: dict[str, Json] = {
        **describing.made_by(order.kind, order.model),
        "precision": order.precision,
        "runtime": done.runtime,
        "differences": dict(done.differences),
        "tolerance": done.tolerance,
        "size": done.size,
    }
    if done.size_before is not None:
        told["size_before"] = done.size_before
    if done.loss is not None:
        told["loss"] = dataclasses.asdict(done.loss)
    return told


def _size(path: Path) -> int:
    parts = path.rglob("*") if path.is_dir() else [path]
    return sum(part.stat().st_size for part in parts if part.is_file())


def _move(made: Path, target: Path) -> None:
    """Give the file its name; durable when this returns."""
    target = target.absolute()
    if made.is_dir():
        writing.settle_tree(made)
    else:
        files.settle(made)
    files.move(made, target)
