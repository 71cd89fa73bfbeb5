"""What is known of a model that Keras has: of its layers, and of the run that it is from.

Owns gathering it. Leaves what a run is to `holdfast.run`, and its form to `judge/about`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from holdfast.errors import DamagedError, NoCheckpointError
from holdfast.judge.about import About, Layer
from holdfast.run import Checkpoint, Run
from holdfast.store.layout import Layout

MOST_POINTS = 500
"""Of a curve."""

# A run that prunes faster than this many reads is not expected.
_TRIES = 10


def load_best(run: Run, custom_objects: dict[str, Any] | None = None) -> tuple[Any, About]:
    """Return the model of a run's best epoch, or the last where none was judged, and its About.

    The run may be training: what it prunes while it is read is looked for anew.

    Raises:
        NotARunError: there is no run at the path.
        NoCheckpointError: it has no checkpoint yet.
        DamagedError: its bytes are not what was written.
    """
    for _ in range(_TRIES):
        checkpoint = best_checkpoint(run)
        with contextlib.suppress(OSError, DamagedError):
            return load_checkpoint(run, checkpoint, custom_objects)
        if checkpoint.path.exists():
            break  # nobody pruned it
    return load_checkpoint(run, best_checkpoint(run), custom_objects)


def best_checkpoint(run: Run) -> Checkpoint:
    """Return the checkpoint of a run's best epoch, or the last where none was judged."""
    try:
        return run.best()
    except NoCheckpointError:
        return run.last()


def load_checkpoint(
    run: Run, checkpoint: Checkpoint, custom_objects: dict[str, Any] | None = None
) -> tuple[Any, About]:
    """Return the model of a run's checkpoint, not compiled, and what is known of it."""
    from holdfast.loading import build_model

    # By its path: at one step there may be two, what was trained and what training returned.
    model = build_model(Layout(run.path), checkpoint.path, custom_objects, compile=False)
    return model, of_run(run, checkpoint, model)


def of_run(run: Run, checkpoint: Checkpoint, model: Any) -> About:
    """Return what is known of the model of a run's checkpoint."""
    told = run.description()
    return replace(
        of_model(model, run.path.name),
        classes=told.classes,
        inputs=dict(told.inputs),
        run={
            "name": run.path.name,
            "id": run.identity().id,
            "step": checkpoint.position.total,
            "epoch": checkpoint.position.epoch,
            "digest": checkpoint.digest,
        },
        metrics={name: float(value) for name, value in checkpoint.metrics.items()},
        curve={
            name: _thinned([value for _, value in points])
            for name, points in run.history.series.items()
        },
    )


def of_model(model: Any, name: str) -> About:
    """Return what a Keras model itself tells: its layers."""
    return About(name=name, layers=tuple(_layer(part) for part in model.layers))


def of_file(model: Any, carried: About) -> About:
    """Return what a file carries, with the layers of the model in it where it names none."""
    return carried if carried.layers else replace(carried, layers=of_model(model, "").layers)


def _layer(layer: Any) -> Layer:
    try:
        parameters = layer.count_params()
    except ValueError:  # not built
        parameters = 0
    return Layer(layer.name, type(layer).__name__, _output(layer), int(parameters))


def _output(layer: Any) -> str | None:
    try:
        given = layer.output
    except (AttributeError, ValueError):  # it was called never, or more than once
        return None
    parts = given if isinstance(given, list | tuple) else [given]
    if not all(hasattr(part, "shape") for part in parts):
        return None
    return ", ".join(str(tuple(part.shape)) for part in parts)


def _thinned(values: Sequence[float]) -> list[float]:
    """Return at most so many of the values, evenly, the first and the last among them."""
    if len(values) <= MOST_POINTS:
        return [float(value) for value in values]
    last = len(values) - 1
    return [
        float(values[round(number * last / (MOST_POINTS - 1))]) for number in range(MOST_POINTS)
    ]
