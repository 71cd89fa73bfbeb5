"""Yesterday's programs under `holdfast run`: as they stand, killed, started again, changed.

The oracle is the same program that nobody killed, in another directory and with the same seeds.
"""

import io
import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

import holdfast
from holdfast.store.layout import is_run

PROGRAMS = Path(__file__).parent / "programs"
HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
KILLS = 10
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is not None, reason="TensorFlow is installed: nothing stands in for it"
)
_LABELLED = re.compile(r"(?!Epoch|holdfast)\w[^:━]*: .*")


def start(folder, program, *options):
    environment = {
        **os.environ,
        "CHECKPOINTS": "elsewhere",
        "GIVEN_MNIST": str(folder.parent / "mnist.npz"),
        "PYTHONPATH": str(PROGRAMS / "given"),
    }
    folder.mkdir(exist_ok=True)
    (folder / "elsewhere").mkdir(exist_ok=True)
    script = program if isinstance(program, Path) else PROGRAMS / f"{program}.py"
    return subprocess.Popen(
        [HOLDFAST, "run", *options, str(script)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder, program, *options):
    """Let a program come to its end; returns what it printed, and what was said of it."""
    child = start(folder, program, *options)
    output, errors = child.communicate(timeout=240)
    assert child.returncode == 0, errors
    return printed(output), errors


def printed(output):
    """The lines that the program itself printed: a label and a value."""
    return [line for line in output.splitlines() if _LABELLED.fullmatch(line)]


def files(folder):
    """What the program's files hold, without times and orders that formats leave open."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != "runs":
            found[str(name)] = content(path.read_bytes())
    return found


def content(data):
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            names = set(members.namelist()) - {"metadata.json"}  # the time is in it
            return {name: content(members.read(name)) for name in names}
    if data.startswith(b"\x89HDF"):
        found = {}
        with h5py.File(io.BytesIO(data)) as file:

            def visit(name, item):
                found[name] = {key: str(value) for key, value in item.attrs.items()}
                if isinstance(item, h5py.Dataset):
                    array = np.asarray(item)
                    found[name]["array"] = (str(array.dtype), array.shape, array.tobytes())

            visit("/", file)
            file.visititems(visit)
        return found
    return data


def kill_many(folder, program, life, kills=KILLS):
    """Kill a program at random moments of its life, and start it again each time.

    A program that comes to its end before its moment is started again too: then there is nothing
    left to train, and it is killed while it says so.
    """
    seed = time.time_ns() % 2**32
    print("seed", seed)
    moments = random.Random(seed)
    killed = 0
    while killed < kills:
        child = start(folder, program)
        began = time.monotonic()
        try:
            _, errors = child.communicate(timeout=moments.uniform(0, life))
        except subprocess.TimeoutExpired:
            child.kill()
            _, errors = child.communicate()
        if child.returncode == -signal.SIGKILL:
            killed += 1
        else:
            assert child.returncode == 0, errors
            life = time.monotonic() - began


def runs(folder, program):
    """The runs of a program's calls of fit, in the order of the calls."""
    found = [
        path
        for path in (folder / "runs" / program).iterdir()
        if is_run(path) and ".old-" not in path.name
    ]
    return [holdfast.Run(path) for path in sorted(found, key=lambda p: int(p.name.split("-")[0]))]


def attempts(run):
    return sum(event.name == "attempt_started" for event in run.journal().events)


def seeded(folder, other, program):
    """Make a directory for a program that has the seeds of another directory's."""
    (folder / "runs" / program).mkdir(parents=True)
    seeds = Path("runs") / program / "program.json"
    shutil.copy(other / seeds, folder / seeds)
    return folder


def killed_as_not_killed(program, tmp_path):
    """Run a program in peace and then through its kills; returns the directory of the latter."""
    peace = tmp_path / "peace"
    began = time.monotonic()
    expected, _ = finish(peace, program)
    life = time.monotonic() - began
    war = seeded(tmp_path / "war", peace, program)
    kill_many(war, program, life)
    found, _ = finish(war, program)
    assert expected
    assert found == expected
    assert files(war) == files(peace)
    assert [run.digest() for run in runs(war, program)] == [
        run.digest() for run in runs(peace, program)
    ]
    return war


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """A directory in which the whole lesson was killed again and again, and came to its end."""
    folder = killed_as_not_killed("e_lesson", tmp_path_factory.mktemp("lesson"))
    assert len(runs(folder, "e_lesson")) == 7
    return folder


def give_digits(path):
    """Write scikit-learn's digits as if they were MNIST: as many, and as large."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = np.kron(x.reshape(-1, 8, 8), np.ones((3, 3))) * (255 / 16)
    x = np.pad(x, ((0, 0), (2, 2), (2, 2))).astype("uint8")
    train, test = np.arange(60000) % 1500, 1500 + np.arange(10000) % 297
    y = y.astype("uint8")
    np.savez(path, x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])


@pytest.mark.parametrize("program", ["a_best_weights", "c_early_stopping", "d_checkpoint"])
def test_killed_at_random_moments(program, tmp_path):
    killed_as_not_killed(program, tmp_path)


def test_training_here_and_judging_there(tmp_path):
    give_digits(tmp_path / "mnist.npz")
    folder = killed_as_not_killed("b_train", tmp_path)
    judged, _ = finish(folder, "b_judge")
    _, accuracy = json.loads(judged[-1].partition(": ")[2])
    assert accuracy > 0.9


def test_the_lesson_goes_on_in_the_right_call(lesson):
    """Calls that had finished were not gone into again."""
    for run in runs(lesson, "e_lesson"):
        names = [event.name for event in run.journal().events]
        assert names.count("finished") == 1
        assert "attempt_started" not in names[names.index("finished") :]


def test_a_changed_program_is_trained_anew_from_the_change_on(lesson, tmp_path):
    folder = shutil.copytree(lesson, tmp_path / "lesson")
    before = [run.digest() for run in runs(folder, "e_lesson")]
    program = tmp_path / "e_lesson.py"
    text = (PROGRAMS / "e_lesson.py").read_text()
    assert text.count("learning_rate=0.001") == 1
    program.write_text(text.replace("learning_rate=0.001", "learning_rate=0.002"))
    _, said = finish(folder, program)
    after = [run.digest() for run in runs(folder, "e_lesson")]
    assert [then == now for then, now in zip(before, after, strict=True)][:3] == [True, True, False]
    assert [attempts(run) for run in runs(folder, "e_lesson")][2:] == [1] * 5
    assert "call 3 of fit" in said
    assert "learning_rate" in said
    assert "0.001" in said
    assert "0.002" in said


def test_more_epochs_and_fresh(tmp_path):
    program = tmp_path / "train.py"
    text = (PROGRAMS / "a_best_weights.py").read_text()
    program.write_text(text)
    first, _ = finish(tmp_path / "here", program)
    program.write_text(text.replace("epochs=10", "epochs=12"))
    second, _ = finish(tmp_path / "here", program)
    losses = [json.loads(lines[0].partition(": ")[2]) for lines in (first, second)]
    assert len(losses[1]) == 12
    assert losses[1][:10] == losses[0]
    third, said = finish(tmp_path / "here", program, "--fresh")
    assert json.loads(third[0].partition(": ")[2])[:10] != losses[0]
    assert "train.old-1" in said


def test_the_tables_of_old_names_are_those_of_the_modules():
    """`python docs/make_old_programs.py` writes them."""
    docs = Path(__file__).parents[1] / "docs"
    text = (docs / "old-programs.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(docs / "make_old_programs.py"))
    assert text == made["page"](text)


def test_slips_of_the_pen_are_told_what_is_right(tmp_path):
    finish(tmp_path, "d_slips")
    told = json.loads((tmp_path / "slips.json").read_text())
    for slip, words in {
        "module": ("ModuleNotFoundError", "tensorflow.keras.callback", "callbacks"),
        "name": ("ImportError", "EarlyStoping", "EarlyStopping"),
        "argument": ("restor_best_weights", "restore_best_weights"),
        "path": ("tmp_checkpoint.ckpt", str(tmp_path / "elsewhere" / "tmp_checkpoint.ckpt")),
        "architecture": ("(8, 32)", "(8, 16)"),
        "evaluate": ("compile",),
        "monitor": ("val_loss", "validation"),
    }.items():
        assert slip in told, f"no error for {slip}"
        text = ": ".join(told[slip])
        for word in words:
            assert word in text, text
