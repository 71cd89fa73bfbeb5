"""Checkpoints: wholly there or not there, never of other bytes, whatever became of the files."""

import errno
import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from tiny_run import (
    RUN,
    TinyRun,
    array,
    contents,
    files_of,
    flip,
    loaded,
    make_run,
    record,
    snapshot,
    state_at,
)

from holdfast.errors import (
    DamagedError,
    NoCheckpointError,
)
from holdfast.run import Run
from holdfast.store import checkpoints, disk, files, sums
from holdfast.store.checkpoints import load_arrays, load_manifest, load_newest
from holdfast.store.faults import Failure, Faults
from holdfast.store.prune import Pruner
from holdfast.store.retention import Keep
from holdfast.store.verify import verify
from holdfast.store.writer import Writer
from holdfast.types import Array, Position


@pytest.fixture
def root(tmp_path):
    return tmp_path / "run"


# commit and load


def test_what_was_committed_is_loaded(root):
    metrics = {"loss": 0.5, "accuracy": float("nan")}
    state = {"seed": 3, "callbacks": [{"class": "näive", "state": None}]}
    with TinyRun(root) as run:
        written = run.commit(12, metrics=metrics, state=state, epoch_end=True)
    assert loaded(run.layout) == (12, contents(state_at(12)), [])
    (path,) = run.layout.manifests()
    read = load_manifest(path, RUN)
    assert read.digest() == written.digest() == Run(root).digest()
    assert (read.position, read.state, read.epoch_end) == (Position(1, 2, 12), state, True)
    assert repr(read.metrics) == repr(metrics)
    assert [entry.label for entry in read.arrays] == [item.label for item in state_at(12)]


def test_the_arrays_asked_for_are_read_and_no_others(root):
    layout = make_run(root, 1, 2)
    manifest = load_manifest(layout.manifests()[-1], RUN)
    layout.all_packs()[0].unlink()
    found = load_arrays(layout, manifest, ["trainable/"])
    assert contents(found) == contents(state_at(2)[:2])
    with pytest.raises(DamagedError, match="the pack is missing"):
        load_arrays(layout, manifest)


def test_what_has_not_changed_is_not_written_again(root):
    layout = make_run(root, 1)
    # Another process goes on: it knows from the manifest what is there.
    with TinyRun(root) as run:
        manifest = load_newest(layout, final=True)[0]
        run.store.remember(manifest)
        run.commit(2)
        run.commit(3, state_at(2))
    first, second = layout.all_packs()
    assert second.stat().st_size < first.stat().st_size
    third = load_manifest(layout.manifests()[-1], RUN)
    assert {entry.name: entry.pack for entry in third.arrays} == {
        "trainable/0": second.name,
        "trainable/1": second.name,
        "frozen/0": first.name,
        "frozen/1": first.name,
        "frozen/2": first.name,
    }
    assert loaded(layout) == (3, contents(state_at(2)), [])


def test_the_same_bytes_of_another_type_or_shape_are_written_again(root):
    zeros = [np.zeros(4, "float32"), np.zeros(4, "int32"), np.zeros((2, 2), "float32")]
    with TinyRun(root) as run:
        for step, values in enumerate(zeros):
            run.commit(step, [array("w", values)])
            assert loaded(run.layout) == (step, contents([array("w", values)]), [])


def test_a_final_checkpoint_is_another_than_the_last_of_the_training(root):
    with TinyRun(root) as run:
        run.commit(3)
        run.commit(3, state_at(8), final=True)
    assert loaded(run.layout, final=True)[1] == contents(state_at(8))
    assert loaded(run.layout, final=False)[1] == contents(state_at(3))


def test_two_arrays_of_one_name_are_refused_before_they_are_written(root):
    layout = make_run(root, 1)
    with TinyRun(root) as run, pytest.raises(ValueError, match=r"two arrays .* named 'w'"):
        run.commit(2, [array("w", np.zeros(1)), array("w", np.ones(1))])
    assert loaded(layout) == (1, contents(state_at(1)), [])
    assert len(layout.all_packs()) == 1


def test_the_order_of_writes_is_the_one_documented(root, monkeypatch):
    with TinyRun(root) as run:
        done = record(monkeypatch, root)
        run.commit(1)
        (pack,) = run.layout.all_packs()
        assert done == [
            f"sync packs/{pack.name}",
            "sync packs",
            "sync journal.jsonl",
            "sync checkpoints/temporary",
            "rename checkpoints/temporary to checkpoints/0000000001.json",
            "sync checkpoints",
        ]


def test_what_a_commit_does_to_the_disk_and_how_often(root, monkeypatch):
    """A state of the same arrays takes the same operations each time: tests count on it."""
    with TinyRun(root) as run:
        for step in (1, 2, 3):
            done = []
            monkeypatch.setattr(disk, "switch", Faults(log=lambda one: done.append(one.kind)))  # noqa: B023
            run.commit(step)
            monkeypatch.setattr(disk, "switch", None)
            arrays = 4 if step == 1 else 2  # an empty array is no write
            assert done == [
                "create",
                *["write"] * arrays,
                "write",  # the header, which is known last
                "sync",
                "sync directory",
                "sync",
                "create",
                "write",
                "sync",
                "rename",
                "sync directory",
            ]


# what is shared between checkpoints


def test_what_is_left_of_a_pack_that_is_mostly_dead_is_written_again_once(root, monkeypatch):
    def state(step):
        return [
            array("w", np.full(1000, step)),
            array("rate", np.ones(3)),
            array("seed", np.ones(2)),
        ]

    with TinyRun(root) as run:
        run.commit(1, state(1))
        done = record(monkeypatch, root)
        second = run.commit(2, state(2))
        new, moved = (entry.pack for entry in second.arrays[:2])
        assert second.arrays[2].pack == moved != new
        # Each pack is durable, with its name, before the next thing is written.
        assert done[:4] == [f"sync packs/{new}", "sync packs", f"sync packs/{moved}", "sync packs"]
        for step in (3, 4):
            later = run.commit(step, state(step))
            assert [entry.pack == moved for entry in later.arrays] == [False, True, True]
            Pruner(run.layout, Keep(last=1, best=0)).prune(newest=step)
        assert len(run.layout.all_packs()) == 2
    assert loaded(run.layout) == (4, contents(state(4)), [])
    assert verify(run.layout).findings == ()


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.6, 0.99])
def test_the_disk_holds_at_most_about_twice_what_is_needed(root, share):
    """Whatever share of a state never changes, it is written twice at most."""
    total, parts, header = 200_000, 4, 2_000
    frozen = [
        array(f"frozen/{part}", np.full(int(total * share / parts), part, "uint8"))
        for part in range(parts)
    ]
    still = sum(item.data.nbytes for item in frozen)

    def state(step):
        return [array("w", np.full(total - still, step % 256, "uint8")), *frozen]

    kept, written = 2, 0
    with TinyRun(root) as run:
        pruner = Pruner(run.layout, Keep(last=kept, best=0))
        for step in range(1, 51):
            packs_before = set(run.layout.all_packs())
            run.commit(step, state(step))
            new = set(run.layout.all_packs()) - packs_before
            written += sum(path.stat().st_size for path in new)
            pruner.prune(newest=step)
            needed = still + min(step, kept) * (total - still)
            held = sum(path.stat().st_size for path in run.layout.all_packs())
            assert held <= 2 * needed + (kept + 2) * header
    assert written <= 50 * (total - still) + 2 * still + 52 * header
    assert loaded(run.layout) == (50, contents(state(50)), [])
    assert contents(load_arrays(run.layout, load_manifest(run.layout.manifests()[0], RUN))) == (
        contents(state(49))
    )
    assert verify(run.layout).findings == ()


@pytest.mark.parametrize("harm", ["gone", "cut", "no pack at all"])
def test_what_a_pack_should_hold_that_is_not_there_is_written_again(root, harm):
    with TinyRun(root) as run:
        run.commit(1)
        (pack,) = run.layout.all_packs()
        if harm == "gone":
            pack.unlink()
        elif harm == "cut":
            os.truncate(pack, pack.stat().st_size - 40)
        else:
            pack.write_bytes(b"\xff" * 100)
        run.commit(2)
        assert loaded(run.layout) == (2, contents(state_at(2)), [])


# large states, which threads help with


def large_state(step, parts=7):
    return [
        array(f"part/{part}", np.full(1 << 20, step if part % 2 else part, "uint8"))
        for part in range(parts)
    ]


def helpers():
    return [thread.name for thread in threading.enumerate() if "holdfast-" in thread.name]


def test_a_large_state_is_loaded_as_it_was_committed(root):
    with TinyRun(root) as run:
        for step in (1, 2, 3):
            run.commit(step, large_state(step))
            assert helpers() == []
        assert loaded(run.layout) == (3, contents(large_state(3)), [])
        assert helpers() == []
        newest = load_manifest(run.layout.manifests()[-1], RUN)
        pack = run.layout.packs / newest.arrays[3].pack
        flip(pack, -1)
        step, found, (finding,) = loaded(run.layout)
        assert (step, found) == (2, contents(large_state(2)))
        assert f"{pack}: the BLAKE3 of part/5 should be " in finding
        assert helpers() == []


def test_no_thread_outlives_a_commit_that_failed(root, monkeypatch):
    with TinyRun(root) as run:
        run.commit(1, large_state(1))
        for number in range(1, 8):
            failure = Failure(number, None, errno.ENOSPC)
            monkeypatch.setattr(disk, "switch", Faults(fail=failure))
            with pytest.raises(OSError, match="No space left"):
                run.commit(2, large_state(2))
            assert helpers() == []
        monkeypatch.setattr(disk, "switch", None)
        run.commit(2, large_state(2))
    assert loaded(run.layout) == (2, contents(large_state(2)), [])


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_the_thread_that_sums_yields_to_training_too_and_its_time_counts(root, monkeypatch):
    found = set()
    real = sums._sum

    def slowly(item):
        found.add((threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, 0)))
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass
        return real(item)

    monkeypatch.setattr(sums, "_sum", slowly)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    with TinyRun(root) as run:
        (outcome,) = outcomes_of(run, snapshot(1, large_state(1)))
    assert "holdfast-sums_0" in {name for name, _ in found}
    assert {priority for _, priority in found} == {own + 10}
    assert outcome.error is None
    assert outcome.processor > 0.7


# damage


def test_a_damaged_newest_falls_back_and_is_named(root):
    layout = make_run(root, 1, 2)
    pack = layout.all_packs()[-1]
    whole = pack.read_bytes()
    for length in range(len(whole)):
        pack.write_bytes(whole[:length])
        step, found, (finding,) = loaded(layout)
        assert (step, found) == (1, contents(state_at(1)))
        assert pack.name in finding
    pack.write_bytes(whole)
    flip(pack, -1)
    step, found, (finding,) = loaded(layout)
    assert (step, found) == (1, contents(state_at(1)))
    assert f"{pack}: the BLAKE3 of trainable/1 should be " in finding
    pack.unlink()
    assert loaded(layout)[2] == [f"{pack}: the pack is missing"]


def test_none_sound_is_an_error_that_names_each_finding(root):
    layout = make_run(root, 1, 2, 3)
    layout.all_packs()[0].unlink()
    flip(layout.manifests()[1])
    with pytest.raises(NoCheckpointError) as raised:
        load_newest(layout, final=True)
    assert str(raised.value).count("the pack is missing") == 2
    assert str(raised.value).count("0000000002.json") == 1
    assert len(verify(layout).findings) == 3


def test_a_run_without_checkpoints_says_so(root):
    layout = make_run(root)
    with pytest.raises(NoCheckpointError, match="has no sound checkpoint"):
        load_newest(layout, final=True)


def test_what_the_disk_cannot_read_is_damaged_too(root):
    layout = make_run(root, 1)
    (layout.checkpoints / "0000000002.json").symlink_to("/proc/self/mem")
    if not (layout.checkpoints / "0000000002.json").exists():
        pytest.skip("no file here that answers a read with EIO")
    step, found, (finding,) = loaded(layout)
    assert (step, found) == (1, contents(state_at(1)))
    assert "0000000002.json: the disk cannot read it (Input/output error)" in finding


def test_a_pack_that_is_no_file(root):
    layout = make_run(root, 1, 2)
    pack = layout.all_packs()[-1]
    pack.unlink()
    os.mkfifo(pack)
    assert loaded(layout)[0] == 1
    pack.unlink()
    for other in layout.all_packs():
        other.unlink()
    layout.packs.rmdir()
    layout.packs.write_bytes(b"")
    with pytest.raises(NoCheckpointError, match="the pack is missing"):
        load_newest(layout, final=True)


# beside a writer


def test_a_reader_beside_a_writer_that_prunes_always_finds_the_newest(root):
    done = threading.Event()
    with TinyRun(root) as run:
        run.commit(1)
        pruner = Pruner(run.layout, Keep(last=1, best=0))

        def write():
            step = 1
            while not done.is_set():
                step += 1
                run.commit(step)
                pruner.prune(newest=step)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            last = 0
            while last < 300:
                step, found, damaged = loaded(run.layout)
                assert found == contents(state_at(step))
                assert damaged == []
                assert step >= last
                last = step
                assert verify(run.layout).findings == ()
        finally:
            done.set()
            writer.join()


@pytest.mark.parametrize("moment", ["newest", "load_manifest"])
def test_what_is_pruned_after_it_was_listed_or_half_read_is_passed_over(root, monkeypatch, moment):
    with TinyRun(root) as run:
        run.commit(1)
        steps = iter(range(2, 5))
        real = getattr(checkpoints, moment)

        def then_the_writer_goes_on(*arguments):
            found = real(*arguments)
            if step := next(steps, None):
                run.commit(step, [array("w", np.full(3, step))])
                Pruner(run.layout, Keep(last=1, best=0)).prune(newest=step)
            return found

        monkeypatch.setattr(checkpoints, moment, then_the_writer_goes_on)
        step, found, damaged = loaded(run.layout)
        assert (step, damaged) == (4, [])
        assert found == contents([array("w", np.full(3, 4))])


def test_a_run_whose_checkpoints_never_last_as_long_as_a_reader_says_so(root, monkeypatch):
    with TinyRun(root) as run:
        run.commit(1)
        real, steps = checkpoints.newest, itertools.count(2)

        def then_all_go(layout):
            found = real(layout)
            run.commit(next(steps))
            files.remove(found)
            return found

        monkeypatch.setattr(checkpoints, "newest", then_all_go)
        with pytest.raises(NoCheckpointError, match="was pruned while it was read"):
            load_newest(run.layout, final=True)


# the writer's thread and the disk


def outcomes_of(run, *snapshots, keep=None):
    outcomes = []
    writer = Writer(run.store, Pruner(run.layout, keep or Keep()), outcomes.append)
    for item in snapshots:
        writer.submit([item])
    writer.wait()
    assert not writer.busy
    return outcomes


def test_the_writer_commits_and_prunes_and_tells(root):
    with TinyRun(root) as run:
        snapshots = [snapshot(step) for step in (1, 2, 3, 4)]
        outcomes = outcomes_of(run, *snapshots, snapshot(4, final=True))
    assert [(item.position.total, item.final, item.error) for item in outcomes] == [
        (1, False, None),
        (2, False, None),
        (3, False, None),
        (4, False, None),
        (4, True, None),
    ]
    assert all(item.bytes > 0 and item.seconds > 0 for item in outcomes)
    names = [path.name for path in run.layout.manifests()]
    assert names == ["0000000003.json", "0000000004.json", "0000000004-final.json"]


def test_a_disks_error_is_an_outcome_and_the_next_commit_goes_well(root):
    with TinyRun(root) as run:
        run.commit(1)
        aside = run.layout.packs.rename(root / "aside")
        (outcome,) = outcomes_of(run, snapshot(2))
        assert isinstance(outcome.error, FileNotFoundError)
        assert outcome.position == Position(0, 2, 2)
        aside.rename(run.layout.packs)
        (outcome,) = outcomes_of(run, snapshot(3))
        assert outcome.error is None
    assert loaded(run.layout) == (3, contents(state_at(3)), [])


def test_any_other_error_in_the_thread_is_raised_where_one_waits(root):
    with TinyRun(root) as run:
        told = []
        writer = Writer(run.store, Pruner(run.layout, Keep()), told.append)
        for wrong, error in (
            (snapshot(1, [Array("w", "object", (1,), memoryview(b"x"))]), KeyError),
            (snapshot(1, state={"callback": object()}), TypeError),
        ):
            writer.submit([wrong])
            with pytest.raises(error, match="object"):
                writer.wait()
        assert told == []
        assert list(files_of(run.layout.packs)) == []
        writer.submit([snapshot(2)])
        writer.wait()
    assert [item.position.total for item in told] == [2]


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from holdfast.store.checkpoints import load_newest
    from holdfast.store.prune import Pruner
    from holdfast.store.retention import Keep
    from holdfast.store.writer import Writer
    from tiny_run import TinyRun, array, snapshot
    with TinyRun(Path(sys.argv[1])) as run:
        run.store.remember(load_newest(run.layout, final=True)[0])
        outcomes = []
        writer = Writer(run.store, Pruner(run.layout, Keep()), outcomes.append)
        state = {"history": "x" * int(sys.argv[3])}
        large = snapshot(2, [array("w", np.zeros(int(sys.argv[2]), "uint8"))], state=state)
        small = snapshot(3)
        for limit, item in ((8000, large), (8000, small), (resource.RLIM_INFINITY, large)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            writer.submit([item])
            writer.wait()
            error = outcomes[-1].error
            print(error and error.strerror, len(run.layout.all_packs()), *(
                path.name for folder in (run.layout.packs, run.layout.checkpoints)
                for path in folder.iterdir() if path.name.endswith(".tmp")))
"""


@pytest.mark.parametrize(
    ("pack", "manifest"), [(100_000, 1), (10, 100_000)], ids=["in the pack", "in the manifest"]
)
def test_a_full_disk_leaves_nothing_half_written_and_the_last_checkpoint(root, pack, manifest):
    layout = make_run(root, 1)
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(root), str(pack), str(manifest)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.path.dirname(__file__)},
        check=True,
    )
    # Refused: no pack too many. Then a smaller one fits, and with room again the large one.
    assert said.stdout.splitlines() == ["File too large 1", "None 2", "None 3"]
    assert verify(layout).findings == ()
    assert [path.name for path in layout.manifests()] == [
        "0000000001.json", "0000000002.json", "0000000003.json",
    ]  # fmt: skip
    assert loaded(layout)[:2] == (3, contents(state_at(3)))
