"""Readers beside a writer: what the command line tells of a run that is being written is whole.

One process commits checkpoints and prunes as fast as it can; meanwhile the reading verbs run.
Owns what they must never tell: an error, a finding, a checkpoint with a part missing, a step back.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tiny_run import VERSIONS, TinyRun, make_run

from holdfast.cli.main import main
from holdfast.run import Run
from holdfast.store.layout import Layout
from holdfast.store.prune import Pruner
from holdfast.store.retention import Keep

# Only the newest checkpoint stays, so that each one a reader has listed is about to go.
WRITER = """
    import itertools, os, socket, sys, time
    from pathlib import Path
    from holdfast.events import AttemptStarted, EpochEnded
    from holdfast.store.layout import Layout
    from holdfast.store.lock import Lock
    from holdfast.store.prune import Pruner
    from holdfast.store.retention import Keep
    from holdfast.types import Position
    from tiny_run import RUN, VERSIONS, TinyRun
    root = Path(sys.argv[1])
    root.mkdir()
    lock = Lock(Layout(root).lock)
    with TinyRun(root) as run:
        run.journal.append(AttemptStarted(
            time.time(), 1, Position(), 0, 10**6, "none", "a test", socket.gethostname(),
            os.getpid(), VERSIONS, "loss", "min", RUN,
        ))
        pruner = Pruner(run.layout, Keep(last=1, best=0))
        for step in itertools.count(1):
            logs = {"loss": 1 / step, "accuracy": 1 - 1 / step}
            if step % 10 == 0:
                run.journal.append(EpochEnded(time.time(), step // 10 - 1, step, logs))
            run.commit(step, metrics=logs, epoch_end=step % 10 == 0)
            pruner.prune(newest=step)
            if step == 1:
                print("begun", flush=True)
"""


@pytest.fixture
def written(memory):
    """A directory with a run in it that another process writes."""
    root = memory / "runs" / "tiny"
    root.parent.mkdir()
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(root)],
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout.readline() == "begun\n"
        yield root
        assert writer.poll() is None, "the writer ended by itself"
    finally:
        writer.kill()
        writer.communicate()


@pytest.fixture
def said(capsys):
    """Run a reading verb; returns its JSON. It ends well, and complains of nothing."""

    def run(verb, path):
        with pytest.raises(SystemExit) as ended:
            main([verb, str(path), "--json"])
        out, complaints = capsys.readouterr()
        assert (ended.value.code, complaints) == (0, ""), out
        return json.loads(out)

    return run


def test_readers_beside_a_writer_never_see_a_partial_thing(written, said):
    listed = last = turns = 0
    while turns < 150 or last < 150:
        turns += 1
        (row,) = said("ls", written.parent)["runs"]
        assert (row["status"], row["epochs"], row["problem"]) == ("running", 10**6, None)
        assert row["step"] >= max(listed, last)
        listed = row["step"]  # as far as the journal tells, so it may be ahead of what is saved
        if row["step"] >= 10:
            judge_metrics(row["metrics"])

        shown = said("show", written)
        assert shown["position"]["total"] >= last
        last = shown["position"]["total"]
        judge(shown)

        found = said("verify", written)
        assert found["sound"]
        assert found["checkpoints"] >= 1
        assert found["arrays"] == 5 * found["checkpoints"]
        assert found["bytes"] == 88 * found["checkpoints"]


def judge(shown):
    """Check that what is shown of a run is all there and of one piece."""
    assert shown["problems"] == []
    assert shown["status"] == shown["attempts"][-1]["end"] == "running"
    assert shown["holder"]["pid"] == shown["attempts"][-1]["pid"]
    checkpoints = shown["checkpoints"]
    assert [item["step"] for item in checkpoints if "newest" in item["kinds"]] == [
        shown["position"]["total"]
    ]
    assert shown["digest"] == checkpoints[-1]["digest"]
    for item in checkpoints:
        step = item["step"]
        assert Path(item["file"]) == Path("checkpoints", f"{step:010}.json")
        assert (item["epoch"], item["epoch_end"]) == (step // 10, step % 10 == 0)
        assert item["size"] == 88
        assert item["time"] > shown["created"]
        assert len(bytes.fromhex(item["digest"])) == 32
        assert item["metrics"] == {"loss": 1 / step, "accuracy": 1 - 1 / step}
    assert shown["versions"] == VERSIONS


def judge_metrics(metrics):
    assert set(metrics) == {"loss", "accuracy"}
    assert metrics["loss"] + metrics["accuracy"] == pytest.approx(1)


def test_checkpoints_that_all_went_since_they_were_listed_are_listed_again(tmp_path, monkeypatch):
    root = tmp_path / "run"
    make_run(root, 1, 2)
    real = Layout.manifests
    steps = iter((3, 4, 5))

    def then_the_writer_goes_on(layout):
        found = real(layout)
        if step := next(steps, None):
            monkeypatch.setattr(Layout, "manifests", real)
            with TinyRun(root) as run:
                run.commit(step)
            Pruner(layout, Keep(last=1, best=0)).prune(newest=step)
            monkeypatch.setattr(Layout, "manifests", then_the_writer_goes_on)
        return found

    monkeypatch.setattr(Layout, "manifests", then_the_writer_goes_on)
    assert [item.position.total for item in Run(root).checkpoints] == [5]


def test_a_manifest_that_is_listed_and_never_found_holds_nobody_up(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2)
    (layout.checkpoints / "0000000003.json").symlink_to(tmp_path / "nothing")
    assert [item.position.total for item in Run(layout.root).checkpoints] == [1, 2]
