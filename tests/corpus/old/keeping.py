"""What the scripts beside this one share: random weights, and keeping a model's files.

Runs in Python 3.6 and later with nothing but numpy. A script makes a `Keeper` for its library's
age and hands it each model; at the end the keeper packs them into `files/<age>.tar.xz`, whose
members are `<age>/<model>/…` (one model's files are much like another's), and notes them in
`corpus.json`, in the shape of the manifest one folder up. `unpack` gives the files back.
"""

import hashlib
import json
import os
import shutil
import tarfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "files")
MANIFEST = os.path.join(HERE, "corpus.json")


def random_weights(names, shapes, seed):
    """Values for weights of these names and shapes; what is a variance stays positive."""
    rng = np.random.RandomState(seed)
    values = []
    for name, shape in zip(names, shapes):  # noqa: B905
        positive = "std" in name or "var" in name
        low, high = (0.5, 1.5) if positive else (-0.6, 0.6)
        values.append(rng.uniform(low, high, size=shape).astype("float32"))
    return values


def described(names, values):
    """The manifest's rows of weights: name, shape, dtype, SHA-256 of the little-endian bytes."""
    rows = []
    for name, value in zip(names, values):  # noqa: B905
        array = np.asarray(value)
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
        digest = hashlib.sha256(little.tobytes()).hexdigest()
        rows.append([name, list(array.shape), str(array.dtype), digest])
    return rows


def _plain(member):
    """Without times and owners, so that the same files give the same archive."""
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def pack(folder):
    """Puts a folder into `<folder>.tar.xz`, and removes it."""
    with tarfile.open(folder + ".tar.xz", "w:xz", preset=9) as archive:
        for root, folders, names in os.walk(folder):
            folders.sort()
            inside = os.path.relpath(root, os.path.dirname(folder))
            if not names and not folders:
                archive.add(root, inside, filter=_plain)
            for name in sorted(names):
                archive.add(os.path.join(root, name), inside + "/" + name, filter=_plain)
    shutil.rmtree(folder)


def unpack(into, ages=None):
    """Unpacks these ages' files, or all, below `into`; returns the manifest's entries of them."""
    with open(MANIFEST) as file:
        entries = json.load(file)
    known = sorted({entry["age"] for entry in entries})
    for age in known if ages is None else ages:
        with tarfile.open(os.path.join(FILES, age + ".tar.xz")) as archive:
            archive.extractall(into, filter="data")
    return [entry for entry in entries if ages is None or entry["age"] in ages]


def shape_of(arrays):
    return "single" if len(arrays) == 1 else "list"


def trained(kind, config, x, y, after, steps=4, more=5):
    """For `Keeper.keep`: the optimizer, what it saw in whole batches, and the weights later."""
    told = {
        "class": kind,
        "legacy": True,
        "config": config,
        "batch_size": len(x),
        "steps": steps,
        "more": more,
        "x": "single",
        "y": "single",
    }
    arrays = {"x/0": x, "y/0": y}
    for position, array in enumerate(after):
        arrays[f"after/{position}"] = array
    return told, arrays


class Keeper:
    """Keeps the models of one library's age in `files/<age>.tar.xz`."""

    def __init__(self, age, library, backend):
        self.age = age
        self.library = library
        self.backend = backend
        self.entries = []
        self.folder = os.path.join(FILES, age)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def place(self, name):
        """The empty folder for a model's files."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        return folder

    def keep(
        self,
        name,
        family,
        layers,
        formats,
        names,
        values,
        inputs=(),
        outputs=(),
        training=None,
        refused="",
        tolerance=1e-5,
        **more,
    ):
        """Puts beside the files already in place an `io.npz`, and notes the entry.

        `training` is `trained(...)`: how the optimizer went on.
        """
        arrays = {}
        described_optimizer = None
        if training:
            described_optimizer, arrays = training
        for prefix, group in (("inputs", inputs), ("outputs", outputs)):
            for position, array in enumerate(group):
                arrays[f"{prefix}/{position}"] = array
        folder = os.path.join(self.folder, name)
        if arrays:
            np.savez_compressed(os.path.join(folder, "io.npz"), **arrays)
        entry = {
            "name": self.age + "/" + name,
            "age": self.age,
            "library": self.library,
            "backend": self.backend,
            "family": family,
            "layers": sorted(set(layers)),
            "formats": {
                kind: file if isinstance(file, dict) else "/".join((self.age, name, file))
                for kind, file in formats.items()
            },
            "tolerance": tolerance,
            "refused": bool(refused),
            "why": refused,
            "inputs": shape_of(inputs),
            "outputs": shape_of(outputs),
            "weights": described(names, values),
            "optimizer": described_optimizer,
            "plain_keras": {},
        }
        entry.update(more)
        self.entries.append(entry)
        print(self.age, name, sorted(formats))

    def write(self):
        """Packs the files, and puts this age's entries into the manifest in place of the old."""
        pack(self.folder)
        entries = []
        if os.path.exists(MANIFEST):
            with open(MANIFEST) as file:
                entries = json.load(file)
        entries = [entry for entry in entries if entry["age"] != self.age] + self.entries
        entries.sort(key=lambda entry: entry["name"])
        rows = [json.dumps(entry, sort_keys=True) for entry in entries]
        with open(MANIFEST + ".new", "w") as file:
            file.write("[\n" + ",\n".join(rows) + "\n]\n")
        os.replace(MANIFEST + ".new", MANIFEST)
