"""Short programs of yesterday: as they stand, killed, started again, changed, mistaken."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from old_programs import KILLS, PROGRAMS, finish, killed_as_not_killed, without_tensorflow
from turns import at_most, today

pytestmark = without_tensorflow

# Ten kills of one of them take a minute.
SHORT = ["a_best_weights", "b_train", "c_early_stopping", "d_checkpoint"]


def give_digits(path):
    """Write scikit-learn's digits as if they were MNIST: as many, and as large."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = np.kron(x.reshape(-1, 8, 8), np.ones((3, 3))) * (255 / 16)
    x = np.pad(x, ((0, 0), (2, 2), (2, 2))).astype("uint8")
    train, test = np.arange(60000) % 1500, 1500 + np.arange(10000) % 297
    y = y.astype("uint8")
    np.savez(path, x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])


@pytest.mark.parametrize("program", today(SHORT, one_in=4))
def test_killed_at_random_moments(program, tmp_path):
    if program == "b_train":
        give_digits(tmp_path / "mnist.npz")
    folder = killed_as_not_killed(program, tmp_path, at_most(3, KILLS))
    if program == "b_train":  # trained here, judged there
        judged, _ = finish(folder, "b_judge")
        _, accuracy = json.loads(judged[-1].partition(": ")[2])
        assert accuracy > 0.9


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
        "module": ("ModuleNotFoundError", "tensorflow.keras", "'callback'", "callbacks"),
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
