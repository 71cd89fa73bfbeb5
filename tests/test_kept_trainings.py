"""Trainings that write files to one path: each call of fit gives back its own.

A program is started again; calls that finished return at once, and one that was killed goes on.
What the program then finds at the path, and what random numbers it draws, are what they were when
nobody interrupted it.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import holdfast
from holdfast import errors
from holdfast.cli import facts
from holdfast.store import files
from holdfast.store.layout import Layout

OTHER = b"another training's"


def train(root, blobs, callbacks, *, run="run", seed=1, epochs=3, **named):
    keras.utils.clear_session()  # it counts models, by which they are named in files
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "softmax")]
    )
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    x, y = blobs
    holdfast.Run(root / run).fit(
        model, x, y, epochs=epochs, batch_size=8, verbose=0, callbacks=callbacks, **named
    )
    return model


def best(path, **named):
    return holdfast.ModelCheckpoint(path, "loss", save_best_only=True, **named)


def test_calls_that_write_to_one_path_each_give_back_their_own(blobs, tmp_path):
    path = tmp_path / "models" / "best.h5"

    def program():
        """Folds, as people write them: the file is read after each, and that of the first moved."""
        found = []
        for fold in range(2):
            train(tmp_path, blobs, [best(path)], run=f"fold-{fold}", seed=fold)
            found.append(path.read_bytes())
            if fold == 0:
                os.replace(path, tmp_path / "first.h5")
        return [*found, (tmp_path / "first.h5").read_bytes()]

    first = program()
    assert first[0] != first[1]
    assert program() == first
    shutil.rmtree(path.parent)
    assert program() == first


def test_a_checkpoint_of_several_files_comes_back_whole(blobs, tmp_path):
    """Each time it is written, the data is in another number of files."""
    names = {}
    for run in ("one", "two"):
        save = best(tmp_path / "cp", save_weights_only=True)
        train(tmp_path, blobs, [save], run=run, epochs=1)
        names[run] = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert names["one"].keys() != names["two"].keys()
    for run in ("one", "two", "one"):
        (tmp_path / "checkpoint").unlink()
        save = best(tmp_path / "cp", save_weights_only=True)
        train(tmp_path, blobs, [save], run=run, epochs=1)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == names[run]


def test_a_call_that_cannot_put_its_file_back_says_so(blobs, tmp_path):
    path = tmp_path / "best.h5"
    train(tmp_path, blobs, [best(path)])
    path.unlink()
    path.mkdir()  # and no file can take the place of a directory
    with pytest.raises(errors.NotSavedError, match="is not what the training in"):
        train(tmp_path, blobs, [best(path)])
    path.rmdir()
    train(tmp_path, blobs, [best(path)])
    assert path.is_file()


def test_a_run_begun_anew_keeps_nothing_of_the_old(blobs, tmp_path):
    path = tmp_path / "best.h5"
    train(tmp_path, blobs, [best(path)])
    old = path.read_bytes()
    train(tmp_path, blobs, [best(path)], seed=2, fresh=True)
    assert path.read_bytes() != old
    new = path.read_bytes()
    path.unlink()
    train(tmp_path, blobs, [best(path)], seed=2)
    assert path.read_bytes() == new
    assert (tmp_path / "run.old-1" / "saved").is_dir()


def test_which_of_many_names_a_training_keeps(blobs, tmp_path):
    each = holdfast.ModelCheckpoint(tmp_path / "each-{epoch}.h5")
    top = holdfast.ModelCheckpoint(tmp_path / "top-{epoch}.h5", "loss", save_top_k=2)
    train(tmp_path, blobs, [each, top], epochs=4)
    layout = Layout(tmp_path / "run")
    kept = sorted(
        p.name for f, *_ in layout.saved_folders() for p in f.iterdir() if p.suffix == ".h5"
    )
    assert kept == ["each-4.h5", *sorted(p.name for p in tmp_path.glob("top-*.h5"))]
    assert len(kept) == 3
    run = holdfast.Run(tmp_path / "run")
    assert run.verify().findings == ()
    # They have second names: what the run takes is the rest, and grows when one goes.
    size = facts.row(run, "run").size
    assert size == sum(
        p.stat().st_size for p in run.path.rglob("*") if p.is_file() and p.name not in kept
    )
    (tmp_path / "each-4.h5").rename(tmp_path / "mine.h5")
    assert facts.row(run, "run").size == size
    (tmp_path / "mine.h5").unlink()
    assert facts.row(run, "run").size > size


class Stop(keras.callbacks.Callback):
    """Ends an attempt as a bug of the program's would."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_epoch_end(self, epoch, logs):
        if epoch == self.epoch:
            raise RuntimeError("a bug of the program's")


def highest(path, **named):
    """The loss falls: its highest is that of the first epoch."""
    return holdfast.ModelCheckpoint(path, "loss", mode="max", **named)


CALLBACKS = {
    "{}-best.h5": best,
    "{}/first.hdf5": lambda path: highest(path, save_best_only=True),
    "{}-each-{{epoch:02d}}-{{loss:.2f}}.h5": holdfast.ModelCheckpoint,
    "top_{}_{{epoch:02d}}_{{loss:.3f}}.keras": lambda path: highest(path, save_top_k=2),
    "cp.{}": lambda path: best(path, save_weights_only=True),
}


def start(root, name, blobs, stop=None, callbacks=CALLBACKS):
    """Start a program that has the time of its start in its files' names."""
    made = [make(f"{root}/{path.format(name)}") for path, make in callbacks.items()]
    ends = contextlib.nullcontext() if stop is None else pytest.raises(RuntimeError)
    with ends:
        every = holdfast.Every(epochs=1)
        train(Path(root), blobs, [*made, Stop(stop)], epochs=4, every=every)
    return made


def left(root, name):
    """Return the weights in all files of a start, by their names without its own."""
    found = {}
    for path in Path(root).rglob("*"):
        own = str(path.relative_to(root)).replace(name, "{}", 1)
        if "{}" in own and path.is_file() and not own.startswith("run/") and ".data-" not in own:
            model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
            model.add(keras.layers.Dense(3))
            holdfast.load_weights(model, str(path).removesuffix(".index"))
            found[own] = model.get_weights()[0].tolist()
    return found


@pytest.mark.filterwarnings("error:.*ModelCheckpoint:UserWarning")
def test_names_with_the_time_of_the_start(blobs, tmp_path, monkeypatch):
    """Each start has its own: the run goes on, and leaves its files where that start looks."""
    monkeypatch.chdir(tmp_path)
    whole = start("whole", "1300", blobs)
    expected = left("whole", "1300")
    assert len(expected) == 9
    start("run", "1300", blobs, stop=1)
    start("run", "1301", blobs, stop=1)
    # It came to the same epoch again, where as good a model stood already.
    assert os.path.samefile("run/1300-best.h5", "run/1301-best.h5")
    start("run", "1302", blobs, stop=2)
    last = start("run", "1303", blobs)
    assert [save.best for save in last] == [save.best for save in whole]
    found = left("run", "1303")
    assert found.items() <= expected.items()
    # The files of each epoch have the names of the start that wrote them.
    assert left("run", "1300") | left("run", "1301") | left("run", "1302") | found == expected
    # Finished: of the many, the newest comes back.
    newest = [name for name in expected if "each-04" in name or "each" not in name]
    for name in ("1304", "1305"):
        again = start("run", name, blobs)
        assert [save.best for save in again] == [save.best for save in whole]
        assert left("run", name) == {name: expected[name] for name in newest}
        assert f'"cp.{name}"' in Path("run/checkpoint").read_text()
    kept = Layout(Path("run/run")).saved_folders()
    assert len(kept) == len(newest)


def test_callbacks_that_changed_places_start_anew(blobs, tmp_path, monkeypatch):
    """What each had written must not be put where the other writes."""
    monkeypatch.chdir(tmp_path)
    two = {"a-{}.h5": best, "b-{}.h5": best}
    start("run", "1300", blobs, stop=1, callbacks=two)
    with pytest.warns(UserWarning, match=r"b-1300\.h5' and now has .*a-1300\.h5': it starts anew"):
        start("run", "1300", blobs, callbacks=dict(reversed(two.items())))


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (("w-{epoch}.h5", {}), ("w-{epoch:02d}.h5", {})),
        (("w-{epoch}.h5", {}), ("w.h5", {})),
        (("w1.h5", {}), ("w2.keras", {})),
        (("w1.h5", {}), ("w2.h5", {"save_best_only": True})),
        (("w1.h5", {"save_weights_only": True}), ("w2.h5", {})),
        (("w1", {"save_weights_only": True}), ("w2.h5", {"save_weights_only": True})),
    ],
)
def test_another_callbacks_files_are_not_taken(was, now):
    state = holdfast.ModelCheckpoint(was[0], "loss", **was[1]).get_state()
    with pytest.warns(UserWarning, match="it starts anew"):
        holdfast.ModelCheckpoint(now[0], "loss", **now[1]).set_state(state)


# One process each: it is killed when the second fold's second file has its name, and is not kept.
PROGRAM = """
    import os, pathlib, signal
    import numpy as np
    from holdfast.store import disk, faults
    from test_kept_trainings import folds

    root, seen = pathlib.Path.cwd(), []

    def log(operation):
        if operation.kind == "link" and "fold-1" in str(operation.target):
            seen.append(operation)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    disk.switch = faults.Faults(log=log)
    blobs = np.load("blobs.npz")
    folds(root, (blobs["x"], blobs["y"]))
"""


def folds(root, blobs):
    """Train two folds; returns what the file had after each, and the digests."""
    found = []
    for fold in range(2):
        save, every = best("best.h5"), holdfast.Every(epochs=1)
        train(root, blobs, [save], run=f"fold-{fold}", seed=fold, epochs=5, every=every)
        with h5py.File("best.h5") as file:
            weights = file["model_weights/dense/dense/kernel:0"][()].tolist()
        found.append((weights, save.best, holdfast.Run(root / f"fold-{fold}").digest()))
    return found


def test_a_call_that_was_killed_goes_on_with_its_own_file(blobs, tmp_path, monkeypatch):
    """Killed between the file's name and its keeping; then the first call puts its own there."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for root in (killed, whole):
        root.mkdir()
    np.savez(killed / "blobs.npz", x=blobs[0], y=blobs[1])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        cwd=killed,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert holdfast.Run(killed / "fold-1").status == "interrupted"
    monkeypatch.chdir(whole)
    expected = folds(whole, blobs)
    assert expected[0][0] != expected[1][0]
    monkeypatch.chdir(killed)
    assert folds(killed, blobs) == expected


def test_a_resumed_call_does_not_take_anothers_file_for_its_best(blobs, tmp_path):
    """It is at its best already: what it wrote then comes back, and nothing else is written."""
    path = tmp_path / "best.h5"

    class Worse(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch > 0:
                logs["loss"] = 99.0

    def fit(stop=None):
        def end(epoch, logs):
            if epoch == stop:
                raise RuntimeError("a bug of the program's")

        ends = keras.callbacks.LambdaCallback(on_epoch_end=end)
        train(
            tmp_path, blobs, [Worse(), best(path), ends], epochs=4, every=holdfast.Every(epochs=1)
        )

    with pytest.raises(RuntimeError):
        fit(stop=2)
    own = path.read_bytes()
    files.replace(path, OTHER)
    fit()
    assert path.read_bytes() == own


def test_what_comes_after_a_finished_call_draws_the_same_numbers(blobs, tmp_path):
    """The random state is what the training left: the next model begins with the same weights."""

    def draws():
        later = keras.ops.convert_to_numpy(keras.random.uniform(()))
        return random.random(), np.random.rand(), float(later)

    def program(root, *, both):
        keras.utils.set_random_seed(3)
        found = []
        for run in ("first", "second")[: 1 + both]:
            model = keras.Sequential(
                [keras.Input((6,)), keras.layers.Dropout(0.3), keras.layers.Dense(3, "softmax")]
            )
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit = holdfast.Run(root / run).fit
            model.fit(model, *blobs, epochs=2, batch_size=8, verbose=0)
            found.append((holdfast.Run(root / run).digest(), draws()))
        return found

    whole = program(tmp_path / "whole", both=True)
    program(tmp_path / "again", both=False)
    assert program(tmp_path / "again", both=True) == whole
    assert program(tmp_path / "whole", both=True) == whole
