"""A model is written over another one, and the process killed at each operation of the disk.

`python writes.py FOLDER NAME KIND` writes one line: how many operations there were, or what was
found that is neither the old file nor the new one. It forks for each kill; the backend is numpy,
which has no threads.
"""

import os
import shutil
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "numpy"

import keras
import numpy as np

from holdfast.formats import writing
from holdfast.formats.live import bind
from holdfast.formats.opening import open_file
from holdfast.store import disk
from holdfast.store.faults import Faults

ENOUGH = 500


def model_of(value):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    model.set_weights([np.full(w.shape, value, "float32") for w in model.get_weights()])
    return model


def write(model, path, kind):
    (writing.save_weights if kind == "weights" else writing.save_model)(model, path)


def value_in(path):
    """The one value that all weights of a file have."""
    model = model_of(0.0)
    with open_file(path) as file:
        bind.bind(model, file)
    values = {float(v) for w in model.get_weights() for v in w.flat}
    assert len(values) == 1, f"old and new are mixed: {values}"
    return values.pop()


def main(folder, name, kind):
    folder = Path(folder)
    old, new = model_of(1.0), model_of(2.0)
    for number in range(1, ENOUGH):
        for when in ("before", "within", "after"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            write(old, folder / name, kind)
            child = os.fork()
            if not child:
                disk.switch = Faults(kill=(number, when))
                write(new, folder / name, kind)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            found = value_in(folder / name)
            if os.WIFEXITED(status):
                assert os.WEXITSTATUS(status) == 0
                assert found == 2.0
                print(number - 1)
                return
            assert found in (1.0, 2.0), found
            # What was killed does not stand in the way of the next.
            write(new, folder / name, kind)
            assert value_in(folder / name) == 2.0
            left = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
            assert not left, left


if __name__ == "__main__":
    main(*sys.argv[1:])
