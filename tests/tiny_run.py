"""A run made with the store alone: a few small arrays and no model, as the store's tests need it.

Owns what such a run holds: `state_at` says for each step what its checkpoint must give back.
"""

import json
import os
from pathlib import Path

import ml_dtypes
import numpy as np
from blake3 import blake3

from holdfast.store import journal
from holdfast.store.checkpoints import Store, load_newest
from holdfast.store.identity import Identity, write_identity
from holdfast.store.journal import Journal
from holdfast.store.layout import Layout
from holdfast.types import Array, Position, Snapshot

RUN = "a" * 16
VERSIONS = {"holdfast": "0", "numpy": "2"}


def array(name, values, label=""):
    """A numpy array as the store sees it."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return Array(name, values.dtype.name, values.shape, flat.view(np.uint8).data, label)


def state_at(step):
    """The arrays of the checkpoint at a step. All but the first two are the same at each."""
    return (
        array("trainable/0", np.full((3, 2), step, "float32"), "dense/kernel"),
        array("trainable/1", np.arange(step, step + 4, dtype="int32").astype(ml_dtypes.bfloat16)),
        array("frozen/0", np.arange(6, dtype="float64").reshape(2, 3)),
        array("frozen/1", np.zeros((0, 5), "float32")),
        array("frozen/2", np.array(7, "int64")),
    )


def snapshot(step, arrays=None, **fields):
    """The snapshot at a step, in epochs of ten."""
    fields = {"state": {"seed": 3, "history": []}, **fields}
    arrays = state_at(step) if arrays is None else arrays
    return Snapshot(Position(step // 10, step % 10, step), tuple(arrays), **fields)


def contents(arrays):
    """What a user would compare: names, types, shapes and bytes."""
    return [(item.name, item.dtype, item.shape, bytes(item.data)) for item in arrays]


class TinyRun:
    """A run open for writing, as an attempt has it open. Use it as a context manager."""

    def __init__(self, root: Path):
        self.layout = Layout(root)
        root.mkdir(exist_ok=True)
        if not self.layout.identity.exists():
            write_identity(self.layout, Identity(RUN, 1.5, VERSIONS, {"epochs": 2}, None))
        self.journal = Journal(self.layout.journal, journal.read(self.layout.journal))
        self.store = Store(self.layout, self.journal, RUN, "plan", VERSIONS, shared=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.journal.close()

    def commit(self, step, arrays=None, **fields):
        """Commit the checkpoint at a step; returns its manifest."""
        fields = {"journal": self.journal.size, **fields}
        return self.store.commit(snapshot(step, arrays, **fields))[0]


def make_run(root, *steps):
    """Make a run with a checkpoint at each of some steps."""
    with TinyRun(root) as run:
        for step in steps:
            run.commit(step)
    return run.layout


def loaded(layout, *, final=True):
    """The step and the contents of the newest sound checkpoint, and the findings."""
    manifest, arrays, damaged = load_newest(layout, final=final)
    return manifest.position.total, contents(arrays), [str(error) for error in damaged]


def files_of(root):
    """The bytes of every file of a run."""
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def sealed(text):
    """The bytes of a file of JSON with a sum that holds, whatever it says."""
    body = text.encode()
    return body[:-1] + b',"sum":"' + blake3(body).hexdigest().encode() + b'"}\n'


def make_newer(path):
    """Make run.json or a manifest one of the next format."""
    value = json.loads(path.read_bytes())
    del value["sum"]
    path.write_bytes(sealed(json.dumps({**value, "format": 2})))


def flip(path, offset=None, mask=1):
    """Change one byte of a file, by default the one in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset is None else offset] ^= mask
    path.write_bytes(data)


def record(monkeypatch, root):
    """Return a list to which each sync, rename and removal below `root` is added as it is done."""
    done = []
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def shown(path):
        if path.suffix == ".tmp":
            path = path.with_name("temporary")
        return str(path.relative_to(root))

    def recorded_fsync(handle):
        fsync(handle)
        synced = os.fstat(handle)
        for path in (root, *root.rglob("*")):
            if os.path.samestat(path.stat(), synced):
                done.append(f"sync {shown(path)}")

    def recorded_replace(source, target):
        done.append(f"rename {shown(Path(source))} to {shown(Path(target))}")
        replace(source, target)

    def recorded_unlink(path, **named):
        done.append(f"remove {shown(Path(path))}")
        unlink(path, **named)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    monkeypatch.setattr(os, "unlink", recorded_unlink)
    return done
