"""The command line, on runs that were really trained, interrupted, killed and damaged."""

import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny_run import make_newer

from holdfast.cli.main import main
from holdfast.cli.prune import prune
from holdfast.history.figure import draw
from holdfast.run import Run
from holdfast.store.lock import Lock
from holdfast.store.retention import Keep

ROOT = Path(__file__).parents[1]

# Makes under its argument: digits (two restarts, finished), deep/stopped (by SIGTERM), broken
# (an exception, losses of NaN) and killed (by SIGKILL, in its third epoch, as is the program).
TRAININGS = """
import os, signal, sys, threading
import holdfast, keras
import numpy as np

class At(keras.callbacks.Callback):
    def __init__(self, name, **then):
        super().__init__()
        self.run = holdfast.Run(os.path.join(sys.argv[1], name))
        self.then = then
    def on_epoch_begin(self, epoch, logs=None):
        # Epochs this short would end before the checkpoint of the one before is written.
        for thread in threading.enumerate():
            if thread.name == "holdfast-writer":
                thread.join()
    def on_epoch_end(self, epoch, logs=None):
        then = self.then.pop(f"epoch{epoch}", None)
        if then:
            then()

def send(number):
    return lambda: os.kill(os.getpid(), number)

def fail():
    raise RuntimeError("the disk of the data went away")

def train(callback, x):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    y = (x[:, 0] > 0).astype("int32")
    return callback.run.fit(
        model, x, y, epochs=4, validation_split=0.25, verbose=0, callbacks=[callback],
        every=holdfast.Every(epochs=1), keep=holdfast.Keep(last=4),
    )

x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
digits = At("digits", epoch0=send(signal.SIGTERM), epoch2=send(signal.SIGTERM))
for callback, data in [
    (digits, x),
    (digits, x),
    (digits, x),
    (At("deep/stopped", epoch1=send(signal.SIGTERM)), x),
    (At("broken", epoch1=fail), x * np.nan),
    (At("killed", epoch2=send(signal.SIGKILL)), x),
]:
    try:
        train(callback, data)
    except (holdfast.errors.Interrupted, RuntimeError):
        pass
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = subprocess.run(
        [sys.executable, "-c", TRAININGS, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the runs to do harm to; it is the current directory."""
    folder = tmp_path / "runs"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


Cli = Callable[..., Said]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Said(end.value.code, said.out, said.err)

    return call


def one_line(said: Said) -> str:
    """The one line on the standard error of a command that could not do what it should."""
    assert said.code == 1
    assert said.err.startswith("holdfast: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def manifests(run: str) -> list[Path]:
    return sorted(Path(run, "checkpoints").iterdir())


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def files_of(run: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}


# ls


def test_ls_lists_all_runs_below(cli: Cli, runs: Path) -> None:
    said = cli("ls")
    assert said.code == 0
    head, *lines = said.out.splitlines()
    assert head.split() == [
        "name", "status", "epoch", "step", "val_loss", "loss", "size", "changed",
    ]  # fmt: skip
    assert [line.split()[:4] for line in lines] == [
        ["broken", "failed", "1/4", "4"],
        ["deep/stopped", "interrupted", "2/4", "4"],
        ["digits", "finished", "4/4", "8"],
        ["killed", "interrupted", "2/4", "4"],
    ]


def test_ls_as_json_has_the_numbers(cli: Cli, runs: Path) -> None:
    rows = {row["name"]: row for row in cli("ls", "--json").json["runs"]}
    digits = rows["digits"]
    assert (digits["epoch"], digits["epochs"], digits["step"]) == (4, 4, 8)
    assert digits["metrics"]["val_loss"] == Run("digits").history.series["val_loss"][-1][1]
    assert digits["size"] == sum(map(len, files_of("digits").values()))
    assert digits["problem"] is None
    assert rows["broken"]["metrics"]["loss"] is None


def test_ls_tells_what_is_not_saved_yet_only_of_a_running_run(cli: Cli, runs: Path) -> None:
    manifests("killed")[-1].unlink()
    losses = [value for _, value in Run("killed").history.series["loss"]]
    row = cli("ls", "killed", "--json").json["runs"][0]
    assert (row["status"], row["epoch"], row["step"]) == ("interrupted", 1, 2)
    assert row["metrics"]["loss"] == losses[0]
    held = Lock(Path("killed/lock"))
    try:
        row = cli("ls", "killed", "--json").json["runs"][0]
        assert (row["status"], row["epoch"], row["step"]) == ("running", 2, 4)
        assert row["metrics"]["loss"] == losses[1]
    finally:
        held.release()


def test_ls_of_a_run_is_that_run(cli: Cli, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("ls", "deep/stopped").out.splitlines()[1].split()[0] == "stopped"
    monkeypatch.chdir("digits")
    assert cli("ls").out.splitlines()[1].split()[0] == "digits"


def test_ls_without_runs_says_so(cli: Cli, tmp_path: Path) -> None:
    said = cli("ls", tmp_path)
    assert (said.code, said.out) == (0, f"no runs in {tmp_path}\n")
    assert cli("ls", tmp_path, "--json").json == {"runs": []}


def test_ls_lists_a_damaged_run_among_the_others(cli: Cli, runs: Path) -> None:
    flip(Path("digits/run.json"))
    make_newer(Path("broken/run.json"))
    said = cli("ls")
    assert said.code == 1
    assert [line.split()[1] for line in said.out.splitlines()[1:5]] == [
        "unreadable", "interrupted", "unreadable", "interrupted",
    ]  # fmt: skip
    assert "digits: digits/run.json: " in said.out
    assert "broken: broken/run.json is in format 2; this Holdfast reads" in said.out
    assert len(cli("ls", "--json").json["runs"]) == 4


def test_ls_counts_a_link_to_a_run_and_ends_in_a_loop_of_links(cli: Cli, runs: Path) -> None:
    Path("latest").symlink_to("digits")
    Path("deep/up").symlink_to(runs)
    names = [row["name"] for row in cli("ls", "--json").json["runs"]]
    assert names == ["broken", "deep/stopped", "digits", "killed", "latest"]


def test_ls_prints_names_that_a_terminal_would_obey(cli: Cli, runs: Path) -> None:
    Path("digits").rename("dig\x1b[31mits")
    said = cli("ls")
    assert "\x1b" not in said.out
    assert r"dig\x1b[31mits" in said.out


# show


def test_show_tells_the_whole_story(cli: Cli, runs: Path) -> None:
    said = cli("show", "digits")
    assert (said.code, said.err) == (0, "")
    run = Run("digits")
    for text in (
        "finished", "epoch 4 of 4, step 8", "Sequential", "keras 3.", "fused: ", run.digest(),
        "stopped (SIGTERM)", "finished (all 4 epochs are done)", "newest, best", "final",
        run.last().digest[:12],
    ):  # fmt: skip
        assert text in said.out
    assert "held by" not in said.out


def test_show_as_json(cli: Cli, runs: Path) -> None:
    shown = cli("show", "digits", "--json").json
    assert shown["position"] == {"epoch": 4, "step": 0, "total": 8}
    assert shown["digest"] == Run("digits").digest()
    assert [(item["position"]["total"], item["end"]) for item in shown["attempts"]] == [
        (0, "stopped"),
        (2, "stopped"),
        (6, "finished"),
    ]
    assert [item["step"] for item in shown["checkpoints"]] == [2, 4, 6, 8, 8]
    assert shown["checkpoints"][-1]["kinds"] == ["final"]
    assert shown["holder"] is None
    assert shown["problems"] == []


@pytest.mark.parametrize(
    ("name", "end", "why"),
    [
        ("broken", "failed", "RuntimeError: the disk of the data went away"),
        ("killed", "killed", "no end recorded"),
        ("deep/stopped", "stopped", "SIGTERM"),
    ],
)
def test_show_says_how_an_attempt_ended(
    cli: Cli, runs: Path, name: str, end: str, why: str
) -> None:
    attempt = cli("show", name, "--json").json["attempts"][-1]
    assert (attempt["end"], attempt["why"]) == (end, why)
    assert f"{end} ({why})" in cli("show", name).out


def test_show_names_the_process_that_is_writing(cli: Cli, runs: Path) -> None:
    held = Lock(Path("killed/lock"))
    try:
        said = cli("show", "killed")
        assert f"process {os.getpid()} on {os.uname().nodename}" in said.out
        assert cli("show", "killed", "--json").json["attempts"][-1]["end"] == "running"
    finally:
        held.release()
    assert cli("show", "killed", "--json").json["status"] == "interrupted"


def test_show_tells_the_rest_of_a_run_with_a_damaged_manifest(cli: Cli, runs: Path) -> None:
    flip(manifests("digits")[0])
    said = cli("show", "digits")
    assert (said.code, said.err) == (1, "")
    assert "damaged: checkpoints/0000000002.json: " in said.out
    assert "finished (all 4 epochs are done)" in said.out
    shown = cli("show", "digits", "--json").json
    assert [item["step"] for item in shown["checkpoints"]] == [4, 6, 8, 8]
    assert [item["file"] for item in shown["problems"]] == ["checkpoints/0000000002.json"]


def test_show_tells_of_a_damaged_journal(cli: Cli, runs: Path) -> None:
    flip(Path("digits/journal.jsonl"))
    said = cli("show", "digits")
    assert said.code == 1
    assert "damaged: journal.jsonl: the line at byte " in said.out


# verify


def test_verify_of_a_sound_run(cli: Cli, runs: Path) -> None:
    said = cli("verify", "digits")
    assert said.code == 0
    assert said.out.startswith("digits: sound: 5 checkpoints, ")
    assert said.out.count("\n") == 1
    found = cli("verify", "digits", "--json").json
    assert (found["sound"], found["checkpoints"], found["findings"]) == (True, 5, [])


def test_verify_names_each_finding_on_a_line(cli: Cli, runs: Path) -> None:
    flip(manifests("digits")[0])
    flip(sorted(Path("digits/packs").iterdir())[-1])
    flip(Path("digits/run.json"))
    said = cli("verify", "digits")
    assert said.code == 1
    lines = said.out.splitlines()
    assert all(line.startswith("digits: ") for line in lines)
    assert "digits: run.json: " in said.out
    assert "digits: checkpoints/0000000002.json: " in said.out
    assert "packs/0000000008-" in said.out
    found = cli("verify", "digits", "--json")
    assert found.code == 1
    assert not found.json["sound"]
    assert len(found.json["findings"]) == len(lines)


def test_verify_goes_on_where_the_disk_refuses_to_read(cli: Cli, runs: Path) -> None:
    pack = sorted(Path("digits/packs").iterdir())[-1]
    pack.unlink()
    pack.mkdir()
    found = cli("verify", "digits", "--json").json
    assert not found["sound"]
    assert found["checkpoints"] > 0
    assert all(pack.name in finding["problem"] for finding in found["findings"])


def test_verify_counts_what_nothing_reaches_and_is_content(cli: Cli, runs: Path) -> None:
    Path("digits/packs/0000000002-01234567.safetensors").write_bytes(b"12345")
    said = cli("verify", "digits")
    assert said.code == 0
    sound, unreachable = said.out.splitlines()
    assert sound.startswith("digits: sound: ")
    assert unreachable == (
        "digits: unreachable: 1 file, 5 bytes (holdfast verify --repair moves them to lost+found/)"
    )
    found = cli("verify", "digits", "--json").json
    assert (found["sound"], found["unreachable"], found["unreachable_bytes"]) == (True, 1, 5)


def test_repair_moves_what_is_broken_and_says_where(cli: Cli, runs: Path) -> None:
    newest = manifests("digits")[-1]
    flip(newest)
    before = files_of("digits")
    said = cli("verify", "digits", "--repair")
    assert said.code == 0
    name = f"checkpoints/{newest.name}"
    first, *_, last = said.out.splitlines()
    assert first.startswith(f"digits: {name} -> lost+found/{name}: its sum should be ")
    assert last.startswith("digits: moved ")
    assert last.endswith("; 4 sound checkpoints")
    assert cli("verify", "digits").code == 0
    after = files_of("digits").values()
    assert all(any(now.startswith(data) for now in after) for data in before.values())
    assert Run("digits").last().position.total == 8

    again = cli("verify", "digits", "--repair", "--json")
    assert again.code == 0
    assert (again.json["sound"], again.json["moved"], again.json["checkpoints"]) == (True, [], 4)


def test_repair_says_what_it_cannot_mend(cli: Cli, runs: Path) -> None:
    flip(Path("digits/run.json"))
    before = files_of("digits")
    said = cli("verify", "digits", "--repair")
    assert said.code == 1
    assert "digits: run.json: not mended: " in said.out
    assert "put a copy of it back" in said.out
    assert files_of("digits") == before
    found = cli("verify", "digits", "--repair", "--json")
    assert found.code == 1
    assert (found.json["sound"], found.json["unmended"][0]["file"]) == (False, "run.json")


def test_repair_refuses_a_run_that_is_being_written(cli: Cli, runs: Path) -> None:
    held = Lock(Path("digits/lock"))
    try:
        assert f"process {os.getpid()}" in one_line(cli("verify", "digits", "--repair"))
    finally:
        held.release()
    assert cli("verify", "digits", "--take-over").code == 2


# plot


def test_plot_prints_a_chart(cli: Cli, runs: Path) -> None:
    before = sorted(runs.iterdir())
    said = cli("plot", "digits")
    assert (said.code, said.err) == (0, "")
    best = Run("digits").history.best()
    assert best is not None
    assert f"best epoch {best[1]} (val_loss {best[2]:.4g})" in said.out
    assert "> restart (2)" in said.out
    assert sorted(runs.iterdir()) == before


def test_plot_compares_runs(cli: Cli, runs: Path) -> None:
    said = cli("plot", "digits", "deep/stopped", "killed")
    assert said.code == 0
    for letter, name in zip("ABC", ("digits", "stopped", "killed"), strict=True):
        assert f"{letter} {name}: best epoch " in said.out


def test_plot_as_json_has_the_curves(cli: Cli, runs: Path) -> None:
    drawn = cli("plot", "digits", "broken", "--json").json["runs"]
    assert [run["name"] for run in drawn] == ["digits", "broken"]
    curves = Run("digits").history
    assert drawn[0]["series"] == {
        name: [list(point) for point in points] for name, points in curves.series.items()
    }
    assert drawn[0]["restarts"] == [1, 3]
    assert drawn[1]["series"]["loss"][0] == [1, None]
    assert drawn[1]["best"] is None


def test_plot_writes_a_picture_and_prints_where(cli: Cli, runs: Path) -> None:
    said = cli("plot", "deep/stopped", "-o", "stopped.png")
    assert (said.code, said.out) == (0, "stopped.png\n")
    assert Path("stopped.png").read_bytes().startswith(b"\x89PNG")
    Path("old.svg").write_text("an old picture")
    assert cli("plot", "digits", "killed", "-o", "old.svg").code == 0
    assert "<svg" in Path("old.svg").read_text()
    assert not list(runs.glob(".*"))


def test_the_picture_marks_the_best_epoch_and_the_restarts(runs: Path) -> None:
    figure = draw(Run("digits").history, "digits")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    best = Run("digits").history.best()
    assert best is not None
    assert labels[:3] == ["train", "validation", f"best epoch ({best[1]}, by val_loss)"]
    assert "restart (2)" in labels
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert marks == [1, 3]


def test_plot_draws_losses_of_nan_and_any_name(cli: Cli, runs: Path) -> None:
    Path("broken").rename("5$ and $_{")
    assert cli("plot", "5$ and $_{", "-o", "broken.png").code == 0
    assert Path("broken.png").exists()
    assert "NaN or infinite in epoch 1" in cli("plot", "5$ and $_{").out


@pytest.mark.parametrize("target", ["digits.pgn", "digits", "nowhere/digits.png", "deep"])
def test_plot_refuses_what_it_cannot_write(cli: Cli, runs: Path, target: str) -> None:
    before = sorted(runs.iterdir())
    said = cli("plot", "digits", "-o", target)
    assert said.code == 2
    assert said.err.startswith("holdfast: ")
    assert said.err.count("\n") == 1
    if "/" not in target:
        assert ".png or .svg" in said.err
    assert sorted(runs.iterdir()) == before


def test_plot_before_the_first_epoch_ended(cli: Cli, runs: Path) -> None:
    Path("digits/journal.jsonl").write_bytes(b"")
    assert "no epoch has ended yet" in one_line(cli("plot", "digits"))


def test_plot_without_matplotlib(cli: Cli, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert 'pip install "holdfast[plot]"' in one_line(cli("plot", "digits", "-o", "digits.png"))
    assert cli("plot", "digits").code == 0


# prune


def test_prune_says_what_goes_and_why_the_rest_stays(cli: Cli, runs: Path) -> None:
    before = files_of("digits")
    dry = cli("prune", "digits", "--last", 1, "--dry-run")
    assert dry.code == 0
    assert "nothing was deleted" in dry.out
    assert files_of("digits") == before

    digest = Run("digits").digest()
    pruned = cli("prune", "digits", "--last", 1, "--json").json
    assert [(item["step"], item["keep"], item["reason"]) for item in pruned["checkpoints"]] == [
        (2, False, "no rule keeps it"),
        (4, False, "no rule keeps it"),
        (6, False, "no rule keeps it"),
        (8, True, "the newest"),
        (8, True, "what the training returned"),
    ]
    after = files_of("digits")
    # Each file says why: by the checkpoint it is of, or by itself.
    reasons = {item["file"]: item["reason"] for item in pruned["unneeded"]}
    assert set(reasons.values()) == {"no checkpoint needs it"}
    assert all(f"{file}  goes  no checkpoint needs it" in dry.out for file in reasons)
    files = [item["file"] for item in pruned["checkpoints"] if not item["keep"]]
    assert sorted([*files, *reasons]) == sorted(pruned["removed"])
    gone = {path: data for path, data in before.items() if path not in after}
    assert {str(path.relative_to("digits")) for path in gone} == set(pruned["removed"])
    assert pruned["freed"] == sum(map(len, gone.values()))
    assert cli("verify", "digits").code == 0
    assert Run("digits").digest() == digest


def test_prune_keeps_by_the_rules_given(cli: Cli, runs: Path) -> None:
    said = cli(
        "prune", "digits", "--last", 1, "--every-epochs", 2, "--best", 1,
        "--monitor", "loss", "--mode", "max",
    )  # fmt: skip
    assert said.code == 0
    rows = [line.rstrip().split(maxsplit=3) for line in said.out.splitlines()[1:6]]
    assert [row[2:] for row in rows] == [
        ["stays", "number 1 by loss"],
        ["stays", "every 2 epochs"],
        ["goes", "no rule keeps it"],
        ["stays", "the newest"],
        ["stays", "what the training returned"],
    ]
    assert [item.position.total for item in Run("digits").checkpoints] == [2, 4, 8, 8]


def test_prune_refuses_a_metric_that_is_not_there(cli: Cli, runs: Path) -> None:
    before = files_of("digits")
    assert "did you mean 'val_accuracy'?" in one_line(
        cli("prune", "digits", "--monitor", "val_acuracy")
    )
    assert files_of("digits") == before


def test_prune_refuses_a_run_that_is_being_written(cli: Cli, runs: Path) -> None:
    held = Lock(Path("digits/lock"))
    try:
        assert f"process {os.getpid()}" in one_line(cli("prune", "digits"))
        assert cli("prune", "digits", "--dry-run").code == 0
    finally:
        held.release()


def test_prune_leaves_what_a_damaged_manifest_might_need(cli: Cli, runs: Path) -> None:
    flip(manifests("digits")[1])
    packs = sorted(Path("digits/packs").iterdir())
    said = cli("prune", "digits", "--last", 1)
    assert said.code == 1
    assert "damaged: checkpoints/0000000004.json: " in said.out
    assert sorted(Path("digits/packs").iterdir()) == packs
    assert manifests("digits")[0].name == "0000000004.json"


# what is wrong


READING = [["show"], ["verify"], ["plot"], ["prune", "--dry-run"]]


@pytest.mark.parametrize("verb", READING, ids=lambda verb: verb[0])
def test_a_path_that_is_no_run(cli: Cli, runs: Path, verb: Sequence[str]) -> None:
    assert "nowhere does not exist" in one_line(cli(*verb, "nowhere"))
    assert "did you mean 'digits'?" in one_line(cli(*verb, "digts"))
    assert "did you mean 'digits'?" in one_line(cli(*verb, "digits/run.json"))
    assert "see: holdfast ls deep" in one_line(cli(*verb, "deep"))


@pytest.mark.parametrize("verb", READING[:1] + READING[3:], ids=lambda verb: verb[0])
def test_a_newer_manifest_is_refused_with_both_numbers(
    cli: Cli, runs: Path, verb: Sequence[str]
) -> None:
    make_newer(manifests("digits")[-1])
    assert "is in format 2; this Holdfast reads formats up to 1" in one_line(cli(*verb, "digits"))
    assert cli("verify", "digits").code == 1


@pytest.mark.parametrize("harm", [flip, make_newer, lambda path: path.write_bytes(b"")])
def test_a_run_json_that_cannot_be_read(cli: Cli, runs: Path, harm: Callable[[Path], None]) -> None:
    harm(Path("digits/run.json"))
    before = files_of("digits")
    for verb in ("show", "plot", "prune"):
        assert "digits/run.json" in one_line(cli(verb, "digits"))
    assert files_of("digits") == before
    assert "digits: run.json: " in cli("verify", "digits").out


@pytest.mark.parametrize("verb", ["show", "plot"])
def test_what_the_system_refuses_is_one_line(cli: Cli, runs: Path, verb: str) -> None:
    journal = Path("digits/journal.jsonl")
    journal.unlink()
    journal.mkdir()
    assert "digits/journal.jsonl: Is a directory" in one_line(cli(verb, "digits"))


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["show"], ["prune", "digits", "--last", "0"], ["ls", "--all"]]
)
def test_a_wrong_command_line_exits_with_2(cli: Cli, runs: Path, arguments: Sequence[str]) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "Usage: holdfast" in said.err


# the program as a whole


def test_version(cli: Cli) -> None:
    from importlib.metadata import version

    assert cli("--version").out == f"holdfast {version('holdfast')}\n"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_only_the_verbs_need_is_not_imported_for(option: str) -> None:
    program = (
        "import sys, typer\n"
        "before = set(sys.modules) | sys.stdlib_module_names\n"
        "from holdfast.cli.main import main\n"
        "try:\n"
        "    main([sys.argv[1]])\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end\n"
        "new = {name for name in sys.modules if name.partition('.')[0] not in before}\n"
        "own = {name for name in new if name.startswith('holdfast.cli')}\n"
        "assert new - own == {'holdfast', 'holdfast.config', 'holdfast.errors'}, new\n"
        "facts = {f'holdfast.cli.{name}' for name in ('facts', 'file_facts', 'programs')}\n"
        "assert not facts & own, own\n"
    )
    subprocess.run([sys.executable, "-c", program, option], check=True, capture_output=True)


def test_prune_keeps_by_default_what_a_run_keeps() -> None:
    told = inspect.signature(prune).parameters
    assert (told["last"].default, told["best"].default) == (Keep.last, Keep.best)


def test_looking_imports_neither_keras_nor_anything_heavy(trained: Path) -> None:
    program = (
        "import sys\n"
        "from holdfast.cli.main import main\n"
        "try:\n"
        f"    main([sys.argv[1], {str(trained / 'digits')!r}])\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end\n"
        "heavy = {'keras', 'jax', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for verb in ("ls", "show", "verify", "plot"):
        subprocess.run([sys.executable, "-c", program, verb], check=True, capture_output=True)


def test_a_reader_that_goes_away_is_no_traceback(trained: Path) -> None:
    program = "from holdfast.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "show", str(trained / "digits")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# the page


@pytest.fixture
def make_cli() -> ModuleType:
    path = ROOT / "docs" / "make_cli.py"
    spec = importlib.util.spec_from_file_location("make_cli", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_help_says(
    make_cli: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLUMNS", "TERMINAL_WIDTH", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    written = make_cli.PAGE.read_text(encoding="utf-8")
    if make_cli.MADE_WITH not in written:
        pytest.skip(f"docs/cli.md was not made with {make_cli.MADE_WITH}")
    assert written == make_cli.page(), "docs/cli.md is out of date: python docs/make_cli.py"


def test_the_json_has_the_keys_that_the_page_names(
    cli: Cli, runs: Path, make_cli: ModuleType
) -> None:
    page = make_cli.page()
    for document in (
        cli("ls", "--json").json,
        cli("show", "digits", "--json").json,
        cli("verify", "digits", "--json").json,
        cli("plot", "digits", "--json").json,
        cli("prune", "digits", "--dry-run", "--json").json,
        cli("verify", "digits", "--repair", "--json").json,
    ):
        assert f"| {', '.join(f'`{key}`' for key in document)} |" in page
