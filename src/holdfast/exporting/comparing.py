"""Whether a file computes what its model computes: both are run on the same inputs.

Owns the comparison and the bound. Leaves the inputs to `exporting/drawing`, and running the file to
`holdfast.judge`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from holdfast import keras_private
from holdfast.conversion import difference
from holdfast.errors import ExportError
from holdfast.exporting import drawing, reasons
from holdfast.exporting.portable import Portable
from holdfast.judge.judge import Judge
from holdfast.judge.keras_model import flat, packed
from holdfast.judge.signature import Feed

TOLERANCE = 1e-5
RECURRENT = 1e-4
NARROW = 0.05


def tolerance_for(model: Any) -> float:
    """Return the difference that is allowed: more where rounding goes on from step to step."""
    layers = keras_private.all_layers(model)
    recurrent = any(isinstance(layer, keras.layers.RNN) for layer in layers)
    return RECURRENT if recurrent else TOLERANCE


def expected(model: Portable) -> list[tuple[Feed, Feed]]:
    """Return random inputs and what the model in this process gives for them.

    Raises:
        ExportError: it cannot be run on any.
    """
    if any(tensor.dtype == "string" for tensor in model.signature.inputs):
        raise ExportError(
            "the model takes texts, of which none can be drawn to compare what was exported"
        )
    first: Exception | None = None
    for batches in drawing.feeds(model):
        try:
            return [(feed, outputs(model, feed)) for feed in batches]
        except Exception as error:  # an input of that length is not for this model
            first = first or error
    raise ExportError(
        f"the model itself fails on random inputs, so nothing can be compared: "
        f"{reasons.readable(first) if first else ''}"
    )


def outputs(model: Portable, feed: Feed) -> Feed:
    """Return what the model in this process gives."""
    arrays = [feed[tensor.name] for tensor in model.signature.inputs]
    with _exact():
        found = flat(model.model(packed(model.model, arrays), training=False))
    return {
        tensor.name: np.asarray(keras.ops.convert_to_numpy(part))
        for tensor, part in zip(model.signature.outputs, found, strict=True)
    }


def differences(judge: Judge, samples: Sequence[tuple[Feed, Feed]]) -> dict[str, float]:
    """Return the largest difference of each output; relative where it is larger than 1.

    Raises:
        ExportError: the file cannot be run, or has other outputs.
    """
    largest: dict[str, float] = {}
    for feed, wanted in samples:
        found = answers(judge, feed)
        if set(found) != set(wanted):
            raise ExportError(
                f"the file has the outputs {', '.join(found)}, and the model {', '.join(wanted)}"
            )
        for name, array in wanted.items():
            largest[name] = max(largest.get(name, 0.0), difference(array, np.asarray(found[name])))
    return largest


def check(found: Mapping[str, float], tolerance: float, where: str, runtime: str) -> None:
    """Refuse a file that computes something else.

    Raises:
        ExportError: names each output that differs by more than the tolerance.
    """
    wrong = {name: value for name, value in found.items() if not value <= tolerance}
    if wrong:
        each = ", ".join(f"{name} {_said(value)}" for name, value in wrong.items())
        raise ExportError(
            f"{where} was not written: in {runtime} it computes something else than the model on "
            f"the same random inputs. Outputs differ: {each}, where {tolerance:.2g} is allowed",
            wrong,
        )


def _said(value: float) -> str:
    return f"by {value:.2g}" if np.isfinite(value) else "in its shape, or in what is no number"


def answers(judge: Judge, feed: Feed) -> Feed:
    """Return what a file gives.

    Raises:
        ExportError: its runtime does not run it.
    """
    try:
        found = judge(feed)
    except Exception as error:  # whatever the runtime says is the reason
        raise ExportError(
            f"{judge.runtime} does not run the file on a batch of "
            f"{len(next(iter(feed.values())))}: {reasons.readable(error)}"
        ) from error
    if isinstance(found, dict):
        return found
    return {judge.signature.outputs[0].name: found}


@contextlib.contextmanager
def _exact() -> Iterator[None]:
    """Let devices that shorten numbers to multiply them faster not do so."""
    if keras.config.backend() != "jax":
        yield
        return
    import jax

    with jax.default_matmul_precision("highest"):
        yield
