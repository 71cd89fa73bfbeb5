"""Corruption: whatever becomes of a run's files is found, or fallen back from; never loaded.

The run is made with the store alone and is small, so that every byte of it can be changed and
every length cut. What may go unnoticed is listed here, each with why it does no harm; that it does
none is tested like all else.
"""

import itertools
import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from tiny_run import RUN, VERSIONS, array, contents, files_of, sealed, snapshot, state_at

from holdfast.errors import HoldfastError
from holdfast.events import AttemptStarted, CheckpointCommitted, EpochEnded, Finished
from holdfast.store import journal
from holdfast.store.checkpoints import Store, load_newest
from holdfast.store.identity import Identity
from holdfast.store.journal import Journal
from holdfast.store.layout import Layout
from holdfast.store.lock import Lock
from holdfast.store.prune import Pruner
from holdfast.store.retention import Keep
from holdfast.store.verify import verify
from holdfast.types import Position

OTHER = "b" * 16
# 0x29 makes a tab of a space, which a reader of JSON would not see.
MASKS = (0x01, 0x29)


def state(step, shift):
    """The arrays at a step, of a run whose values differ by `shift` from those of `state_at`."""
    frozen = array("frozen/0", np.arange(6, dtype="float64").reshape(2, 3) + shift)
    return [frozen if item.name == "frozen/0" else item for item in state_at(step + shift)]


def make(root, run=RUN, shift=0):
    """Make a finished run of three steps, of which the first was pruned: its pack is shared.

    Args:
        root: of the run.
        run: its id.
        shift: see `state`.
    """
    layout = Layout(root)
    root.mkdir(parents=True)
    lock = Lock(layout.lock)
    for folder in (layout.packs, layout.checkpoints):
        folder.mkdir()
    identity = Identity(run, 1.5, VERSIONS, {"epochs": 2}, None)
    layout.identity.write_bytes(sealed(json.dumps(asdict(identity))))
    log = Journal(layout.journal, journal.read(layout.journal))
    store = Store(layout, log, run, "plan", VERSIONS, shared=0)
    pruner = Pruner(layout, Keep(last=2, best=0))

    def commit(step, values, **fields):
        kept = snapshot(step, state(values, shift), journal=log.size, **fields)
        store.commit(kept)
        log.append(CheckpointCommitted(1.0, kept.position, kept.final, 1, 0.5))

    log.append(
        AttemptStarted(1.0, 1, Position(), 0, 3, "tiny", "", "here", 1, VERSIONS, "", "auto", run)
    )
    for step in (1, 2, 3):
        log.append(EpochEnded(1.0, step - 1, step, {"loss": 0.5}))
        commit(step, step, epoch_end=True, metrics={"loss": 0.5}, pins=(2,) if step == 3 else ())
        pruner.prune(newest=step)
    commit(3, 7, final=True)
    log.append(Finished(1.0, Position(0, 3, 3), "epochs"))
    log.sync()
    log.close()
    lock.release()
    assert len(layout.manifests()) == 3
    return layout


def expected(shift=0):
    """What each checkpoint of such a run must give back."""
    return {
        (2, False): contents(state(2, shift)),
        (3, False): contents(state(3, shift)),
        (3, True): contents(state(7, shift)),
    }


NEWEST = (3, True)


def newest(layout):
    """The newest sound checkpoint, its contents, and whether anything was said; None if none."""
    try:
        manifest, arrays, damaged = load_newest(layout, final=True)
    except HoldfastError:
        return None, None, True
    return (manifest.position.total, manifest.final), contents(arrays), bool(damaged)


def judge(layout, right, *, gone=False):
    """Whether `verify` finds the damage. Whatever it does, no other bytes are loaded.

    Args:
        layout: of the run that was harmed.
        right: what its checkpoints must give back.
        gone: whether a file is not there at all: then only `verify` can tell.
    """
    found = verify(layout).findings
    which, arrays, said = newest(layout)
    if which != NEWEST:
        assert found
        assert said or gone
    if which is not None:
        assert arrays == right[which]
    return bool(found)


@pytest.fixture
def layout(memory):
    return make(memory / "run")


@pytest.fixture
def other(memory):
    """Another run of the same plan, which was trained to other values."""
    return make(memory / "other", OTHER, 100)


def harmless(layout, path, *, cut=None, changed=None):
    """Whether what is done to a file may go unnoticed.

    Args:
        layout: of the run as it was.
        path: of the file.
        cut: the length to which it is cut.
        changed: the offset of the byte that is changed.
    """
    if path == layout.lock:
        # The kernel's lock decides; the contents are for people. Of a released one there are none.
        return True
    if path == layout.journal:
        # No checkpoint knew of it: as lines that were never synced, which a power cut took.
        return (cut if changed is None else changed) >= known_length(layout)
    return False


def known_length(layout):
    """The length of the journal that the newest checkpoint knew."""
    return load_newest(layout, final=True)[0].journal


def test_a_sound_run_has_no_findings(layout, other):
    assert (verify(layout).findings, verify(other).findings) == ((), ())
    assert not judge(layout, expected())
    assert not judge(other, expected(100))
    assert {path.parent.name for path in files_of(layout.root)} == {"run", "packs", "checkpoints"}


KINDS = ["run.json", "journal.jsonl", "lock", "packs/*", "checkpoints/*"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_changed(layout, kind):
    right, done = expected(), 0
    for path in sorted(layout.root.glob(kind)):
        whole = path.read_bytes()
        # Both for a pack: it is the one that has bytes which say nothing, and arrays of no use.
        many = len(MASKS) if kind == "packs/*" else 1
        for offset, turn in itertools.product(range(len(whole)), range(many)):
            mask = MASKS[(offset + turn) % len(MASKS)]
            excused = harmless(layout, path, changed=offset)
            harmed = bytearray(whole)
            harmed[offset] ^= mask
            path.write_bytes(harmed)
            assert judge(layout, right) or excused, f"{path.name} at {offset} by {mask:#x}"
            path.write_bytes(whole)
            done += 1
    assert done or kind == "lock"
    assert verify(layout).findings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_length_cut(layout, kind):
    right, done = expected(), 0
    for path in sorted(layout.root.glob(kind)):
        whole = path.read_bytes()
        for length in range(len(whole)):
            excused = harmless(layout, path, cut=length)
            path.write_bytes(whole[:length])
            assert judge(layout, right) or excused, f"{path.name} cut to {length}"
            path.write_bytes(whole)
            done += 1
    assert done or kind == "lock"
    assert verify(layout).findings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_appended(layout, kind):
    for path in sorted(layout.root.glob(kind)):
        whole = path.read_bytes()
        path.write_bytes(whole + b" ")
        # To a journal it is the beginning of a line that was cut off.
        assert judge(layout, expected()) or path in (layout.lock, layout.journal), path.name
        path.write_bytes(whole)


def test_every_file_and_directory_deleted(layout):
    everything = [*files_of(layout.root), layout.packs, layout.checkpoints]
    for path in everything:
        aside = layout.root.with_name("aside")
        path.rename(aside)
        assert judge(layout, expected(), gone=True) or path == layout.lock, path.name
        aside.rename(path)
    assert verify(layout).findings == ()


def test_a_checkpoint_that_nobody_needs_deleted_is_as_one_pruned(memory):
    """The one deletion that nobody can tell: nothing is lost but a checkpoint to fall back to."""
    layout = make(memory / "run")
    for path in (*layout.manifests(), *layout.all_packs()):
        path.unlink()
    log = Journal(layout.journal, journal.read(layout.journal))
    store = Store(layout, log, RUN, "plan", VERSIONS, shared=0)
    for step in (4, 5):
        store.commit(snapshot(step, journal=log.size))
        log.append(CheckpointCommitted(1.0, Position(0, step, step), False, 1, 0.5))
    log.close()
    layout.manifest(4, final=False).unlink()
    assert verify(layout).findings == ()
    assert newest(layout) == ((5, False), contents(state_at(5)), False)


def test_a_checkpoint_that_another_needs_is_missed(layout):
    layout.manifest(2, final=False).unlink()
    assert [item.problem for item in verify(layout).findings] == [
        "it needs the checkpoint at step 2 beside it, which is gone"
    ]
    assert newest(layout) == (NEWEST, expected()[NEWEST], False)


def test_the_newest_deleted_is_missed(layout):
    for final in (True, False):
        path = layout.manifest(3, final=final)
        path.unlink()
        findings = [item.file for item in verify(layout).findings]
        assert f"checkpoints/{path.name}" in findings


def test_files_swapped_between_two_runs_of_a_plan(layout, other):
    pairs = [
        (mine, theirs)
        for kind in KINDS
        for mine in sorted(layout.root.glob(kind))
        for theirs in sorted(other.root.glob(kind))
    ]
    assert len(pairs) > 20
    for mine, theirs in pairs:
        swap(mine, theirs)
        assert judge(layout, expected()) or mine == layout.lock, f"{mine.name} and {theirs.name}"
        assert judge(other, expected(100)) or mine == layout.lock
        swap(mine, theirs)
    assert verify(layout).findings == ()


@pytest.mark.parametrize("folder", ["packs", "checkpoints"])
def test_directories_swapped_between_two_runs_of_a_plan(layout, other, folder):
    swap(layout.root / folder, other.root / folder)
    assert judge(layout, expected())
    assert judge(other, expected(100))


def test_files_swapped_within_a_run(layout):
    for kind in ("packs/*", "checkpoints/*"):
        for one, two in itertools.combinations(sorted(layout.root.glob(kind)), 2):
            assert one.read_bytes() != two.read_bytes()
            swap(one, two)
            assert judge(layout, expected()), f"{one.name} and {two.name}"
            swap(one, two)
    assert verify(layout).findings == ()


def test_files_of_another_kind_in_the_place_of_each(layout):
    for one, two in itertools.permutations(files_of(layout.root), 2):
        whole = one.read_bytes()
        if layout.lock in (one, two):
            continue
        shutil.copyfile(two, one)
        assert judge(layout, expected()), f"{two.name} as {one.name}"
        one.write_bytes(whole)


def swap(one, two):
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)
