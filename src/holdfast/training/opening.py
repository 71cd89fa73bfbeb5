"""Opening a run for writing: its lock, what is there, and whether it is the same plan.

Owns what is compared and refused before an attempt begins. Leaves the attempt to `attempt`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any
from weakref import WeakSet

import keras
import numpy as np

from holdfast.errors import ANEW, DamagedError, NoCheckpointError, PlanChangedError, RunError
from holdfast.events import CheckpointCommitted
from holdfast.state.values import from_array
from holdfast.store import description, files, journal
from holdfast.store.checkpoints import load_newest, settle
from holdfast.store.identity import begin as make_run
from holdfast.store.identity import load_identity
from holdfast.store.journal import Record
from holdfast.store.layout import Layout, is_run
from holdfast.store.lock import Lock
from holdfast.store.manifest import Manifest
from holdfast.training.describe import differences, short
from holdfast.training.plan import Plan
from holdfast.training.progress import Reporter
from holdfast.types import Array, Json

_ONLY_FINAL = (
    "What the training returned is sound, but more epochs go on from the checkpoint before it."
)

SAVED = "saved without training"
"""In the plan of a run that holds a model, and no training to go on with."""

_NO_BACKENDS = ("holdfast", "keras", "numpy")

Found = tuple[Manifest, list[Array]]
"""A checkpoint to go on from."""

# Optimizers that attempts in this process have worked with.
_trained: WeakSet[Any] = WeakSet()


def note_trained(model: Any) -> None:
    """Note that training may change a model's learning rate from now on."""
    _trained.add(model.optimizer)


@contextlib.contextmanager
def writing(layout: Layout, fresh: bool, take_over: bool, reporter: Reporter) -> Iterator[None]:
    """Hold the run's lock; with `fresh`, a run that is there is moved aside first.

    With `take_over`, a lock that another host's process did not let go of is no hindrance.
    """
    with refusing(layout):
        _check_place(layout)
        files.make_directory(layout.root)
        lock = Lock(layout.lock, take_over=take_over)
    try:
        if lock.took_over is not None:
            reporter.insist(f"took over the lock of {lock.took_over}")
        if fresh and (is_run(layout.root) or layout.manifests()):
            with refusing(layout):
                aside = layout.aside()
                files.move(layout.root, aside)
                reporter.say(f"the run that was in {layout.root} is now in {aside}")
                lock.release()
                files.make_directory(layout.root)
                lock = Lock(layout.lock)
                description.take_along(Layout(aside), layout)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def refusing(layout: Layout) -> Iterator[None]:
    """Before the first step a disk that fails is a reason to refuse."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot use {layout.root} for the run: {error.strerror or error}"
            f"{f' ({error.filename})' if error.filename else ''}. Nothing was trained. Choose a "
            "directory that can be written to, or make this one so."
        ) from error


def _check_place(layout: Layout) -> None:
    root = layout.root
    if root.exists() and not root.is_dir():
        raise RunError(f"{root} is a file; expected a directory for the run, or none yet")
    if root.is_dir() and not is_run(root):
        own = {
            layout.description,
            layout.lock,
            layout.journal,
            layout.packs,
            layout.checkpoints,
        }
        other = next((p for p in root.iterdir() if p not in own and p.suffix != ".tmp"), None)
        if other is not None:
            raise RunError(
                f"{root} is no run and not empty (it has {other.name}); "
                "choose a directory of the run's own, such as one within it"
            )


def read_journal(layout: Layout) -> Record:
    """Read the run's journal, as far as an attempt needs it."""
    try:
        return journal.skim(layout.journal)
    except OSError as error:
        raise RunError(
            f"{layout.journal} cannot be read: {error.strerror}. The training itself is in the "
            f"checkpoints: `holdfast verify {layout.root} --repair` moves the journal out of the "
            "way."
        ) from error


def find(
    layout: Layout, plan: Plan, model: Any, record: Record, reporter: Reporter
) -> Found | None:
    """Return the newest sound checkpoint, or None for a run that has none yet."""
    if not is_run(layout.root):
        if not layout.manifests():
            return None
        raise RunError(
            f"{layout.root} has checkpoints, and its {layout.identity.name} is gone. Put a copy of "
            f"it back. {ANEW}"
        )
    with refusing(layout):
        try:
            identity = load_identity(layout)
        except DamagedError as error:
            raise DamagedError(f"{error}. Put a copy of it back. {ANEW}") from None
    if SAVED in identity.plan:
        raise RunError(
            f"{layout.root} holds a model that was saved, and no training to go on with. Load it, "
            "model = holdfast.load_model(path), and train it in another directory."
        )
    if not layout.manifests():
        if next(record.newest(CheckpointCommitted), None) is None:
            return None  # nothing was trained: whatever is asked for now is the plan
        raise NoCheckpointError(
            f"{layout.root} had checkpoints, as its journal tells, and they are gone. Put "
            f"{layout.checkpoints.name}/ and {layout.packs.name}/ back. {ANEW}"
        )
    with refusing(layout):
        settle(layout)
    with refusing(layout):
        found = load(layout, reporter, final=True)
    _compare(layout, identity.plan, plan, found, model)
    if record.damage(found[0].journal) or record.size < found[0].journal:
        reporter.insist(
            f"{layout.journal} is damaged: some of the curves are lost, and nothing of the "
            f"training. See: holdfast verify {layout.root} --repair"
        )
    return found


def load(layout: Layout, reporter: Reporter, *, final: bool) -> Found:
    """Return the newest sound checkpoint, with or without final ones; says what it passed over.

    Raises:
        NoCheckpointError: none is sound.
    """
    try:
        manifest, arrays, damaged = load_newest(layout, final=final)
    except NoCheckpointError as error:
        only = "" if final else f"\n{_ONLY_FINAL}"
        raise NoCheckpointError(f"{error}{only}\n{ANEW}") from None
    for finding in damaged:
        reporter.insist(f"a newer checkpoint is damaged and was passed over: {finding}")
    return manifest, arrays


def _compare(
    layout: Layout, then: Mapping[str, Json], plan: Plan, found: Found, model: Any
) -> None:
    """Refuse another plan than the run was begun with.

    A learning rate is no difference where training itself has changed it: in the model of an
    attempt in this process, or where it is the checkpoint's.
    """
    rate = short(_learning_rate(found))
    trained = model.optimizer in _trained
    different = [
        (name, was, now)
        for name, was, now in differences(then, plan.description)
        if not (name.endswith("learning_rate") and (trained or now == rate))
    ]
    if different:
        raise PlanChangedError(layout.root, different)


def _learning_rate(found: Found) -> float | None:
    manifest, arrays = found
    for entry, array in zip(manifest.arrays, arrays, strict=True):
        if entry.name.startswith("optimizer/") and entry.label.endswith("learning_rate"):
            return float(from_array(array))
    return None


def begin(layout: Layout, model: Any, plan: Plan) -> None:
    """Make the directory a run. One that was begun and has no checkpoint yet begins anew."""
    with refusing(layout):
        begin_as(layout, model, plan.description)


def begin_as(layout: Layout, model: Any, description: Mapping[str, Json]) -> None:
    """Make the directory a run of this model, by a plan in words."""
    make_run(layout, versions(), description, _configuration(model))


def _configuration(model: Any) -> Json:
    """Return the model as Keras serializes it, or None where it cannot be serialized."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            config = keras.saving.serialize_keras_object(model)
        except Exception:  # a user's own get_config may raise anything
            return None
    # The modules of PyTorch in it are pickled with their weights, and nobody would open them.
    return config if _is_json(config) and not _wraps_modules(config) else None


def _wraps_modules(config: Json) -> bool:
    if isinstance(config, dict):
        wraps = config.get("class_name") == "TorchModuleWrapper"
        return wraps or any(map(_wraps_modules, config.values()))
    return isinstance(config, (list, tuple)) and any(map(_wraps_modules, config))


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(part) for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (bool, int, float, str))


def begun_elsewhere(found: Manifest) -> list[str]:
    """Return what people are to be told of a checkpoint that was written under another backend."""
    now = keras.config.backend()
    was = next((name for name in found.versions if name not in {*_NO_BACKENDS, now}), None)
    if was is None or now in found.versions:
        return []
    return [
        f"its last step was taken under {was}, and it goes on under {now}: weights, optimizer, "
        "metrics and place are the same; random numbers of layers and the last digits of sums are "
        "another backend's from here on"
    ]


def versions() -> dict[str, str]:
    """Return the versions of what decides a training's bits."""
    backend = keras.config.backend()
    return {
        "holdfast": version("holdfast"),
        "keras": keras.__version__,
        # Not of the distribution, which has several names: tensorflow-cpu is tensorflow.
        backend: str(import_module(backend).__version__),
        "numpy": np.__version__,
    }
