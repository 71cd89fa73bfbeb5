"""Promises 1 to 3 by what would break them: SIGKILL, SIGTERM, Ctrl-C, exceptions, full disks."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from overwrites import kill_many
from turns import at_most

import holdfast

PROGRAM = Path(__file__).parent / "programs" / "digits.py"
EPOCHS = 30


def start(run, *options, **popen):
    command = [sys.executable, str(PROGRAM), str(run), *map(str, options)]
    popen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **popen}
    return subprocess.Popen(command, **popen)


def finish(run, *options):
    """Start the program, let it end, and return what it says at its end."""
    child = start(run, *options)
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def until(condition, child=None, seconds=60.0):
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        assert child is None or child.poll() is None, child.communicate()
        time.sleep(0.002)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the program ends with when nobody interrupts it."""
    return finish(tmp_path_factory.mktemp("whole") / "run", "--epochs", EPOCHS)


def epochs_recorded(run):
    return sum(event.name == "epoch_ended" for event in run.journal().lived())


def attempts(run):
    return sum(event.name == "attempt_started" for event in run.journal().events)


def test_killed_at_random_moments(whole, tmp_path):
    """Any moment: while importing, compiling, training, writing, validating, resuming."""
    seed = time.time_ns() % 2**32
    print("seed", seed)
    moments = random.Random(seed)
    run = holdfast.Run(tmp_path / "run")
    positions = []
    kills = at_most(10, 20)
    while len(positions) < kills:
        child = start(run.path, "--epochs", EPOCHS, "--slow", 0.15, "--every-steps", 7)
        chance = moments.random()
        if chance < 0.75:
            # After the attempt began: importing takes most of a short process's life.
            before = attempts(run)
            until(lambda known=before: attempts(run) > known, child)
            if chance < 0.2:  # how long it takes to the first step is the machine's affair
                until(lambda: run.position.step > 0, child)
            time.sleep(moments.uniform(0, 0.1 if chance < 0.2 else 0.4))
        else:
            time.sleep(moments.uniform(0, 2.5))
        child.kill()
        output, _ = child.communicate()
        if child.returncode == 0:  # it was faster than the kill
            break
        assert child.returncode == -signal.SIGKILL, output
        positions.append(run.position)
    found = finish(run.path, "--epochs", EPOCHS)
    assert found == whole
    assert len(positions) == kills, f"it ended after {len(positions)} kills: {positions}"
    assert any(position.step for position in positions), "no kill left a checkpoint in an epoch"
    assert not run.verify().findings


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_leaves_with_its_status(number, status, whole, heeding, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    child = start(run.path, "--epochs", EPOCHS, "--slow", 0.1, "--every", 1000)
    until(lambda: epochs_recorded(run) >= 2, child)
    child.send_signal(number)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == status
    assert f"goes on from step {run.position.total}" in errors
    assert "Traceback" not in errors
    assert run.position.epoch >= 2, "the state at the signal was not saved"
    assert run.status == "interrupted"
    assert finish(run.path, "--epochs", EPOCHS) == whole


def test_a_second_ctrl_c_leaves_at_once_and_harms_nothing(whole, heeding, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    child = start(run.path, "--epochs", EPOCHS, "--slow", 5)
    until(lambda: run.journal().events, child)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    began = time.monotonic()
    child.wait(timeout=30)
    assert time.monotonic() - began < 2
    assert child.returncode == -signal.SIGINT
    assert finish(run.path, "--epochs", EPOCHS) == whole


def test_a_signal_at_the_very_end_is_not_swallowed(whole, tmp_path):
    """The training is over: it ends as it should, and then the process does as it was told."""
    run = holdfast.Run(tmp_path / "run")
    child = start(run.path, "--epochs", EPOCHS, "--slow-end", 1.5)
    until(lambda: epochs_recorded(run) == EPOCHS, child)
    time.sleep(0.3)
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=30)
    assert child.returncode == -signal.SIGTERM
    assert not output
    assert run.status == "finished"
    assert run.digest() == whole["digest"]


def test_an_exception_saves_what_was_last_sound_and_goes_up(whole, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    child = start(run.path, "--epochs", EPOCHS, "--fail-at", 4, "--every", 1000)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "RuntimeError: the disk of the logger is gone" in errors
    steps = -(-1501 // 8)
    assert f"goes on from step {5 * steps}" in errors
    assert run.status == "failed"
    # The epoch's steps are done; its validation and its end are not.
    assert run.position == holdfast.types.Position(epoch=4, step=steps, total=5 * steps)
    assert finish(run.path, "--epochs", EPOCHS) == whole


def test_more_epochs_go_on_and_a_finished_run_returns(whole, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    first = finish(run.path, "--epochs", 4)
    assert run.status == "finished"
    assert first["history"]["loss"] == whole["history"]["loss"][:4]
    assert finish(run.path, "--epochs", EPOCHS) == whole
    assert attempts(run) == 2
    assert finish(run.path, "--epochs", EPOCHS) == whole
    assert attempts(run) == 2, "a finished run is no new attempt"


def test_a_second_process_is_refused_with_the_first_ones_name(tmp_path):
    run = holdfast.Run(tmp_path / "run")
    first = start(run.path, "--epochs", EPOCHS, "--slow", 30)
    try:
        until(lambda: run.journal().events, first)
        assert run.status == "running"
        second = start(run.path, "--epochs", EPOCHS)
        _, errors = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"RunLockedError: {run.path} is being written by process {first.pid} on " in errors
    finally:
        first.kill()
        first.communicate()
    assert run.status == "interrupted"


def test_a_full_disk_never_ends_a_training(whole, tmp_path):
    """The system refuses files above a size, as a full disk refuses writes."""
    run = holdfast.Run(tmp_path / "run")
    finish(run.path, "--epochs", 2)
    saved = run.position

    limited = (
        "import os, resource, sys;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000));"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    program = [str(PROGRAM), str(run.path), "--epochs", "12", "--every", "0.01"]
    child = subprocess.Popen(
        [sys.executable, "-c", limited, *program], stderr=subprocess.PIPE, text=True
    )
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "NotSavedError: the training has ended, and its last state could not be" in errors
    assert errors.count("cannot write to") == 1, "it is said once"
    assert run.position == saved
    assert not run.verify().findings
    assert finish(run.path, "--epochs", EPOCHS) == whole


# Of a file that is overwritten again and again.
KILLS = at_most(30, 200)


def test_kills_while_one_file_is_overwritten(tmp_path):
    """The best model's file can always be opened, and is at least as good as was reported."""
    seed = time.time_ns() % 2**32
    print("seed", seed)
    found = kill_many(KILLS, tmp_path, seed)
    print(found)
    assert (found.kills, found.unreadable, found.worse) == (KILLS, 0, 0)
    assert found.within >= KILLS // 10, "too few kills came while the file was written"
