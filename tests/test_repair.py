"""Repair: what is broken goes out of the way, nothing is deleted, and the run goes on."""

import errno
import itertools
import json
import os
import shutil

import pytest
from test_corruption import NEWEST, expected, make, newest, swap
from test_every_kill import MOMENTS, lives
from tiny_run import RUN, VERSIONS, contents, files_of, flip, make_newer, snapshot, state_at
from tiny_training import STOP, oracle, train

from holdfast.errors import NewerFormatError, NotARunError, RunLockedError
from holdfast.events import AttemptStarted, EpochEnded, Repaired
from holdfast.run import Run
from holdfast.store import disk, journal
from holdfast.store.checkpoints import Store, load_newest
from holdfast.store.faults import Failure, Faults
from holdfast.store.journal import Journal
from holdfast.store.layout import Layout
from holdfast.store.lock import Lock
from holdfast.store.prune import prune
from holdfast.store.repair import repair
from holdfast.store.retention import Keep
from holdfast.store.verify import verify
from holdfast.types import Position


@pytest.fixture
def layout(memory):
    return make(memory / "run")


def goes_on(layout):
    """Go on with a run from its newest sound checkpoint, and prune it."""
    manifest, _, damaged = load_newest(layout, final=False)
    assert damaged == []
    log = Journal(layout.journal, journal.read(layout.journal))
    store = Store(layout, log, RUN, "plan", VERSIONS, shared=0)
    store.remember(manifest)
    log.append(
        AttemptStarted(
            2.0, 2, manifest.position, manifest.journal, 9, "tiny", "", "here", 1, run=RUN
        )
    )
    store.commit(snapshot(9, state_at(9), journal=log.size))
    log.sync()
    log.close()
    prune(layout, Keep(last=1, best=0))
    assert newest(layout) == ((9, False), contents(state_at(9)), False)
    assert verify(layout).findings == ()


def nothing_is_lost(before, layout):
    """Every file that was there is there still: somewhere, or with more at its end."""
    after = [data for path, data in files_of(layout.root).items() if path != layout.lock]
    for path, data in before.items():
        assert path == layout.lock or any(now.startswith(data) for now in after), path.name


GONE = "it is gone; the journal tells of its commit, and of no newer one"
LONE = "it needs the checkpoint at step 2 beside it, which is gone"


def mended(layout, *unmended):
    """Repair a run; returns what was done. But for what is `unmended` all is well then."""
    before = files_of(layout.root)
    done = repair(layout)
    nothing_is_lost(before, layout)
    for item in done.moved:
        assert (layout.root / item.to).exists()
        assert item.to.startswith("lost+found/")
        assert item.why
    found = verify(layout)
    three, two = (layout.manifest(step, final=False).is_file() for step in (3, 2))
    lone = [LONE] * (three and not two)
    assert [item.problem for item in done.unmended] == [*unmended, *lone]
    assert found.findings == tuple(item for item in done.unmended if item.problem == LONE)
    assert found.unreachable == 0
    assert found.checkpoints == done.checkpoints
    again = repair(layout)
    assert (again.moved, again.mended, again.unmended) == ((), (), found.findings)
    return done


# what is repaired


def test_a_sound_run_is_left_as_it_is(layout):
    before = files_of(layout.root)
    done = repair(layout)
    assert (done.moved, done.mended, done.unmended) == ((), (), ())
    assert done.checkpoints == 3
    assert files_of(layout.root) == before


def harm(layout):
    """Harms to a run of every kind: a name, and what does it."""
    for path in sorted(files_of(layout.root)):
        if path in (layout.lock, layout.identity):
            continue
        size = path.stat().st_size
        for offset in sorted({*range(0, size, 97), size - 1}):
            yield f"{path.name} changed at {offset}", lambda p=path, o=offset: flip(p, o, 0x29)
            yield f"{path.name} cut to {offset}", lambda p=path, o=offset: os.truncate(p, o)
    kinds = [layout.manifests(), layout.all_packs()]
    for one, two in [pair for kind in kinds for pair in itertools.combinations(kind, 2)]:
        yield f"{one.name} for {two.name}", lambda o=one, t=two: swap(o, t)
    for path in [layout.journal, *layout.all_packs()]:
        yield f"{path.name} deleted", path.unlink


def test_whatever_was_harmed_is_repaired_and_the_run_goes_on(layout, memory):
    whole = memory / "whole"
    shutil.copytree(layout.root, whole)
    right, done = expected(), 0
    for name, do in harm(layout):
        do()
        try:
            if newest(layout)[0] is None:
                assert repair(layout).moved == ()
            else:
                mended(layout)
                which, arrays, said = newest(layout)
                assert (arrays, said) == (right[which], False)
                if any(not final for _, final in map(layout.key, layout.manifests())):
                    goes_on(layout)
        except Exception as error:
            error.add_note(name)
            raise
        shutil.rmtree(layout.root)
        shutil.copytree(whole, layout.root)
        done += 1
    assert done > 150


def test_a_training_goes_on_after_a_repair_and_ends_with_the_same_bits(memory):
    digest = oracle(memory / "whole").digest
    layout = Layout(memory / "run")
    train(layout.root, stop=STOP)
    flip(layout.manifests()[-1])
    flip(layout.journal, 300)
    layout.new_pack(3).write_bytes(b"a pack that was being written")
    assert len(mended(layout).moved) >= 3
    train(layout.root)
    assert load_newest(layout, final=True)[0].digest() == digest
    assert verify(layout).findings == ()


def test_a_damaged_line_is_blank_and_the_others_stay_where_they_are(layout):
    whole = layout.journal.read_bytes()
    events = journal.read(layout.journal).events
    lines = whole.splitlines(keepends=True)
    begin = len(lines[0])
    flip(layout.journal, begin + 5)
    harmed = layout.journal.read_bytes()
    done = mended(layout)
    assert (layout.lost / "journal.jsonl").read_bytes() == harmed
    now = layout.journal.read_bytes()
    assert now[:begin] == whole[:begin]
    assert now[begin : begin + len(lines[1])] == b" " * (len(lines[1]) - 1) + b"\n"
    assert now[begin + len(lines[1]) :].startswith(whole[begin + len(lines[1]) :])
    *after, last = journal.read(layout.journal).events
    assert after == [events[0], *events[2:]]
    assert isinstance(last, Repaired)
    assert [item.file for item in done.mended] == ["journal.jsonl"]


def test_a_journal_that_is_too_short_is_as_long_as_the_checkpoints_know_it(layout):
    known = load_newest(layout, final=True)[0].journal
    for length in (known - 1, known // 2, 1, 0):
        os.truncate(layout.journal, length)
        mended(layout)
        assert layout.journal.stat().st_size > known
    assert len(list(layout.lost.glob("journal.jsonl*"))) == 4


def test_a_journal_of_another_run_is_blank(layout, memory):
    other = make(memory / "other", "b" * 16, 100)
    swap(layout.journal, other.journal)
    mended(layout)
    assert journal.read(layout.journal).events[:-1] == []
    # Where only an attempt is another's, only that goes.
    mine, theirs = (
        other.journal.read_bytes(),
        (memory / "run/lost+found/journal.jsonl").read_bytes(),
    )
    other.journal.write_bytes(theirs + mine + theirs)
    mended(other)
    events = journal.read(other.journal).events
    assert len([event for event in events if isinstance(event, EpochEnded)]) == 6


def test_what_checkpoints_need_of_a_pack_is_kept_when_the_rest_of_it_is_damaged(layout):
    before = newest(layout)
    pack = harm_what_nobody_needs(layout)
    assert [item.file for item in verify(layout).findings] == [f"packs/{pack.name}"]
    assert newest(layout) == before
    done = mended(layout)
    assert [item.to for item in done.moved] == [f"lost+found/packs/{pack.name}"]
    assert newest(layout) == before


def harm_what_nobody_needs(layout):
    """Change the first byte of the arrays of the first pack: of a checkpoint that was pruned."""
    pack = layout.all_packs()[0]
    flip(pack, 8 + int.from_bytes(pack.read_bytes()[:8], "little"))
    return pack


def test_where_all_checkpoints_are_gone_nothing_is_touched(layout):
    """The packs stay where they are: put back, the manifests find them."""
    aside = layout.root.with_name("aside")
    layout.checkpoints.rename(aside)
    assert {item.file for item in verify(layout).findings} >= {"checkpoints"}
    done = untouched(layout, lambda: repair(layout))
    assert (done.moved, done.checkpoints) == ((), 0)
    assert "none of the checkpoints is there and sound" in done.unmended[0].problem
    aside.rename(layout.checkpoints)
    assert verify(layout).findings == ()


def test_a_file_in_the_place_of_a_directory_and_the_other_way_round(layout):
    for path in layout.manifests():
        path.unlink()
    shutil.rmtree(layout.packs)
    layout.packs.write_bytes(b"no directory")
    layout.journal.unlink()
    layout.journal.mkdir()
    layout.lost.mkdir()
    (layout.lost / "packs").mkdir()
    assert {item.file for item in verify(layout).findings} == {"packs", "journal.jsonl"}
    mended(layout)
    assert (layout.lost / "packs.1").read_bytes() == b"no directory"
    assert (layout.lost / "journal.jsonl").is_dir()
    assert layout.packs.is_dir()


def test_a_checkpoint_that_is_gone_is_said_once(layout):
    layout.manifest(3, final=True).unlink()
    done = mended(layout, GONE)
    assert [item.file for item in done.unmended] == ["checkpoints/0000000003-final.json"]


def test_leftovers_and_strangers_go_and_what_the_program_keeps_there_stays(layout):
    stay = [layout.root / "best.keras", layout.root / "logs" / "events"]
    go = [
        layout.packs / "copy of a pack",
        layout.packs / "folder" / "file",
        layout.checkpoints / ".0000000004.json.01234567.tmp",
        layout.root / ".best.keras.01234567.tmp" / "best.keras",
        layout.new_pack(4),
    ]
    for path in (*stay, *go):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12345")
    found = verify(layout)
    assert found.findings == ()
    assert (found.unreachable, found.unreachable_bytes) == (5, 25)
    done = mended(layout)
    assert len(done.moved) == 5
    for path in stay:
        assert path.read_bytes() == b"12345"
    for path in go:
        assert not path.exists()
        assert (layout.lost / path.relative_to(layout.root)).read_bytes() == b"12345"


def test_a_name_that_is_taken_in_lost_and_found_is_not_overwritten(layout):
    for text in (b"first", b"second", b"third"):
        (layout.packs / "notes.txt").write_bytes(text)
        mended(layout)
    there = [layout.lost / "packs" / f"notes.txt{number}" for number in ("", ".1", ".2")]
    assert [path.read_bytes() for path in there] == [b"first", b"second", b"third"]


def test_lost_and_found_is_no_part_of_the_run(layout):
    flip(layout.manifests()[-1])
    mended(layout)
    lost = files_of(layout.lost)
    assert len(lost) == 2
    prune(layout, Keep(last=1, best=0))
    goes_on(layout)
    assert files_of(layout.lost) == lost


# what is not


def untouched(layout, run):
    before = files_of(layout.root)
    done = run()
    assert {path: data for path, data in files_of(layout.root).items() if path != layout.lock} == {
        path: data for path, data in before.items() if path != layout.lock
    }
    return done


def test_without_run_json_nothing_is_touched(layout):
    flip(layout.manifests()[0])
    flip(layout.identity)
    done = untouched(layout, lambda: repair(layout))
    assert done.moved == ()
    first, second = done.unmended
    assert first.file == "run.json"
    assert "put a copy of it back" in first.problem
    assert "fresh=True" in first.problem
    assert second.file == "checkpoints/0000000002.json"
    layout.identity.unlink()
    with pytest.raises(NotARunError):
        repair(layout)


def test_a_run_json_of_another_run_is_the_stranger(layout, memory):
    swap(layout.identity, make(memory / "other", "b" * 16).identity)
    done = untouched(layout, lambda: repair(layout))
    assert done.moved == ()
    assert f"it is of the run {'b' * 16}, and all else is of the run {RUN}" in (
        done.unmended[0].problem
    )


def test_where_no_checkpoint_is_sound_nothing_is_touched(layout):
    for path in layout.manifests():
        flip(path)
    done = untouched(layout, lambda: repair(layout))
    assert (done.moved, done.checkpoints) == ((), 0)
    assert "none of the checkpoints is there and sound" in done.unmended[0].problem
    assert done.unmended[0].file == "checkpoints"
    assert len(done.unmended) == 4


def test_a_newer_format_is_no_damage(layout):
    flip(layout.manifests()[0])
    for path in (layout.manifests()[1], layout.identity):
        make_newer(path)
        with pytest.raises(NewerFormatError, match="format 2"):
            untouched(layout, lambda: repair(layout))


def test_a_run_that_is_being_written_is_not_repaired(layout):
    (layout.packs / "stranger").write_bytes(b"")
    layout.manifest(3, final=True).unlink()
    assert verify(layout).unreachable == 2
    held = Lock(layout.lock)
    try:
        # Beside a writer a pack is there before its manifest.
        found = verify(layout)
        assert (found.findings, found.unreachable) == ((), 0)
        with pytest.raises(RunLockedError, match=f"process {os.getpid()}"):
            Run(layout.root).repair()
    finally:
        held.release()
    assert len(Run(layout.root).repair().moved) == 2


# kills and a failing disk


def harm_all(layout):
    """Harm a run so that a repair has everything to do."""
    flip(layout.manifest(3, final=True))
    flip(layout.journal, 400)
    with layout.journal.open("ab") as file:
        file.write(b'{"event":"epoch_en')
    harm_what_nobody_needs(layout)
    (layout.packs / ".0000000003-01234567.safetensors.01234567.tmp").write_bytes(b"half")
    (layout.checkpoints / "folder").mkdir()
    (layout.checkpoints / "folder" / "file").write_bytes(b"stranger")


def look_after(layout, before, right):
    """Look at what a repair that did not come to its end has left."""
    which, arrays, _ = newest(layout)
    assert (which, arrays) == ((3, False), right[3, False])
    nothing_is_lost(before, layout)
    mended(layout)
    nothing_is_lost(before, layout)
    assert newest(layout) == ((3, False), right[3, False], False)
    goes_on(layout)


def sweep(place):
    """Kill a repair at each operation on the disk; returns how many there are."""
    whole = make(place / "whole")
    harm_all(whole)
    right = expected()
    for number in itertools.count(1):
        for when in MOMENTS:
            layout = Layout(place / f"run-{number}-{when}")
            shutil.copytree(whole.root, layout.root)
            before = files_of(layout.root)
            lived = lives(number, when, repair, layout)
            try:
                look_after(layout, before, right)
            except Exception as error:
                error.add_note(f"killed {when} operation {number}")
                raise
            if lived:
                return number - 1
            shutil.rmtree(layout.root)
    return None


def test_killed_at_every_operation(bare, memory):
    assert bare(sweep, memory) > 30


def test_the_disk_fails_at_every_operation(layout, memory, monkeypatch):
    harm_all(layout)
    whole = layout.root.rename(memory / "whole")
    for number in itertools.count(1):
        shutil.copytree(whole, layout.root)
        before = files_of(layout.root)
        monkeypatch.setattr(disk, "switch", Faults(fail=Failure(number, None, errno.ENOSPC)))
        try:
            repair(layout)
            break
        except OSError as error:
            said = error
        finally:
            monkeypatch.setattr(disk, "switch", None)
        assert said.errno == errno.ENOSPC
        look_after(layout, before, expected())
        shutil.rmtree(layout.root)
    assert number > 30


def test_a_repair_is_told_as_data(layout):
    flip(layout.manifests()[-1])
    done = Run(layout.root).repair()
    (manifest, pack) = done.moved
    assert (manifest.file, manifest.to) == (
        "checkpoints/0000000003-final.json",
        "lost+found/checkpoints/0000000003-final.json",
    )
    assert "its sum should be" in manifest.why
    assert pack.why == "no sound checkpoint needs it"
    assert json.dumps([item.__dict__ for item in done.moved])
    assert Run(layout.root).last().position == Position(0, 3, 3)
    assert newest(layout)[0] != NEWEST
