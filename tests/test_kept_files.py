"""A run keeps the files that its ModelCheckpoints wrote, and puts them back.

Calls of fit in one program may write to one path, one after the other, or the program may move what
is there. Started again, the program must find after each call what that call had left. Here the
store alone is tested, at every operation; real trainings are in test_kept_trainings.
"""

import errno
import os
import random
import shutil

import pytest
from power_cut import Disk, put
from test_every_kill import MOMENTS, lives
from test_power_cut import logged, sites
from tiny_run import make_run, sealed

from holdfast.store import disk, files
from holdfast.store.faults import Failure, Faults
from holdfast.store.kept import Kept
from holdfast.store.layout import Layout
from holdfast.store.patterns import Pattern, renamed
from holdfast.store.repair import repair
from holdfast.store.verify import verify

FIRST, SECOND, OTHER = b"first" * 300, b"second" * 301, b"another training's"


def one(pattern):
    return Pattern(pattern, pattern)


class Place:
    """A directory with a run in it, and files that a program has there."""

    def __init__(self, root, run=None):
        self.root = root
        self.run = Layout(run or root / "run")
        self.kept = Kept(self.run)

    def write(self, path, data):
        files.replace(self.root / path, data)

    def keep(self, path, data, *, pattern=None, stay=()):
        """What ModelCheckpoint does: write a file, and have it kept."""
        self.write(path, data)
        names = one(pattern or path)
        self.kept.keep(names, path, [self.root / path], {path, *stay}, {"loss": len(data)})

    def put_back(self, pattern, now=None):
        def standing(path):
            return [self.root / path] if (self.root / path).exists() else []

        names = Pattern(pattern, now or pattern)
        return self.kept.put_back(names, lambda path: self.root / path, standing)

    def holds(self, path, pattern=None):
        return self.kept.scores(one(pattern or path), path) is not None

    def read(self, path):
        return (self.root / path).read_bytes()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_gone_moved_or_another_is_put_back(elsewhere, tmp_path, memory):
    """With a second name of the file; on another file system, with a copy."""
    if elsewhere and memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system here")
    place = Place(tmp_path, memory / "run" if elsewhere else None)
    place.keep("best.h5", FIRST)
    place.keep("best.h5", SECOND)
    before = (tmp_path / "best.h5").stat()
    half = tmp_path / f".best.h5.{'0' * 8}.tmp"
    half.mkdir()
    (half / "best.h5").write_bytes(b"half")
    assert place.put_back("best.h5").back == ()
    assert not half.exists()
    assert os.path.samestat((tmp_path / "best.h5").stat(), before), "nothing was to be done"
    os.rename(tmp_path / "best.h5", tmp_path / "fold1.h5")
    assert place.put_back("best.h5").back == ("best.h5",)
    assert place.read("best.h5") == place.read("fold1.h5") == SECOND
    place.write("best.h5", OTHER)
    assert place.put_back("best.h5").back == ("best.h5",)
    assert place.read("best.h5") == SECOND
    (tmp_path / "best.h5").unlink()
    assert place.put_back("best.h5").back == ("best.h5",)
    assert place.read("best.h5") == SECOND
    assert (tmp_path / "best.h5").stat().st_nlink == (1 if elsewhere else 3)
    assert len(place.run.saved_folders()) == 1, "only the newest is kept"
    assert place.holds("best.h5")
    place.kept.let_go(one("best.h5"), ["best.h5"])
    assert not place.holds("best.h5")
    assert place.run.saved_folders() == []


def test_of_many_names_only_those_that_still_matter_are_kept(place):
    for epoch in range(5):
        stay = ["ck-2.h5"] if epoch > 2 else []
        place.keep(f"ck-{epoch}.h5", b"%d" % epoch, pattern="ck-{epoch}.h5", stay=stay)
    place.keep("last.h5", b"last")
    held = [path for path in (*(f"ck-{n}.h5" for n in range(5)), "last.h5") if place.holds(path)]
    assert held == ["ck-2.h5", "ck-4.h5", "last.h5"]
    place.kept.forget(one("ck-{epoch}.h5"))
    assert [path for path in held if place.holds(path)] == ["last.h5"]


def test_what_was_changed_in_place_is_not_put_back(place):
    place.keep("best.h5", FIRST)
    with (place.root / "best.h5").open("r+b") as file:
        file.write(b"edited")
    edited = place.read("best.h5")
    assert place.put_back("best.h5").lost == {}, "it is where the program left it"
    place.write("best.h5", OTHER)
    assert "was changed" in place.put_back("best.h5").lost["best.h5"]
    assert place.read("best.h5") == OTHER
    assert edited != FIRST


def test_a_project_that_was_copied_keeps_its_files(tmp_path):
    """The copies have other times."""
    there = Place(tmp_path / "there")
    there.root.mkdir()
    there.keep("best.h5", FIRST)
    shutil.copytree(there.root, tmp_path / "here", copy_function=shutil.copyfile)
    here = Place(tmp_path / "here")
    here.write("best.h5", OTHER)
    assert here.put_back("best.h5").back == ("best.h5",)
    assert here.read("best.h5") == FIRST


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("../out.h5", "out.h5"),
        ("best.h5", "../out.h5"),
        ("out.h5", "out.h5"),
        ("best.h5", "out.h5"),
        ("../best.h5", "best.h5"),
    ],
)
@pytest.mark.parametrize("now", ["best.h5", "today/best.h5"])
def test_a_note_does_not_lead_elsewhere(place, path, name, now):
    """Somebody wrote it, by hand, with a sum that holds."""
    place.keep("best.h5", FIRST)
    [(folder, *_)] = place.run.saved_folders()
    note = place.run.saved_note(folder)
    text = note.read_text().partition(',"sum"')[0] + "}"
    text = text.replace('"path":"best.h5"', f'"path":"{path}"')
    note.write_bytes(sealed(text.replace('"name":"best.h5"', f'"name":"{name}"')))
    (folder / name).write_bytes(FIRST)
    (place.root / "best.h5").unlink()
    assert place.put_back("best.h5", now).back == ()
    for folder in (place.root, place.root / "today", place.root.parent):
        assert not (folder / "out.h5").exists()
        assert not (folder / "best.h5").exists()


@pytest.mark.parametrize(
    ("path", "old", "new", "name"),
    [
        ("m-1.h5", "m-1.h5", "m-2.h5", "m-2.h5"),
        ("m-1.h5", "m-3.h5", "m-2.h5", None),
        (
            "a/w-03-0.52.h5",
            "a/w-{epoch:02d}-{loss:.2f}.h5",
            "b/{epoch:02d}_{loss:.2f}",
            "b/03_0.52",
        ),
        ("1-03.h5", "1-{epoch:02d}.h5", "2-{epoch:02d}.h5", "2-03.h5"),
        ("03--0.52", "{epoch}-{loss}", "x{epoch}-{loss}", "x03--0.52"),
        ("03--0.52", "{epoch}-{loss}", "{epoch}_{loss}", None),
        ("../x", "{epoch}/x", "b/{epoch}/x", None),
        ("a/b/x", "{epoch}/x", "b/{epoch}/x", None),
        ("../x", "../x", "b/x", "b/x"),
        ("{1}", "{{{epoch}}}", "a{{{epoch}}}", "a{1}"),
    ],
)
def test_what_a_path_is_called_in_another_pattern(path, old, new, name):
    assert renamed(path, old, new) == name
    if name is not None:
        assert renamed(name, new, old) == path


def test_what_is_kept_goes_to_todays_names(place):
    """And stays kept, as the run first called it, while the names change from start to start."""
    monday, tuesday = "mo/{epoch}.h5", "tu/{epoch}.h5"
    (place.root / "mo").mkdir()
    place.keep("mo/1.h5", FIRST, pattern=monday)
    assert place.put_back(monday, tuesday).back == ("tu/1.h5",)
    assert place.read("tu/1.h5") == place.read("mo/1.h5") == FIRST
    names = Pattern(monday, tuesday)
    place.write("tu/2.h5", SECOND)
    place.kept.keep(names, "tu/2.h5", [place.root / "tu/2.h5"], {"tu/1.h5"}, {"loss": 0.5})
    assert place.kept.scores(names, "tu/2.h5") == {"loss": 0.5}
    result = place.put_back(monday, "we/{epoch}.h5")
    assert result.stands == result.back == ("we/1.h5", "we/2.h5")
    assert (place.read("we/1.h5"), place.read("we/2.h5")) == (FIRST, SECOND)
    place.kept.let_go(names, ["tu/1.h5"])
    assert len(place.run.saved_folders()) == 1


def test_a_disk_that_refuses_ends_nothing_and_leaves_nothing_old(memory):
    """From each operation on, once and for good: what is put back later is never an older file."""
    for last in (0, None):
        for number in range(1, 20):
            place = Place(memory / f"{number}-{last}")
            place.root.mkdir()
            place.keep("best.h5", FIRST)
            place.write("best.h5", SECOND)
            found = [place.root / "best.h5"]
            fail = Failure(number, None if last is None else number, errno.ENOSPC)
            disk.switch = Faults(fail=fail)
            try:
                place.kept.keep(one("best.h5"), "best.h5", found, {"best.h5"}, {})
            finally:
                disk.switch = None
            place.kept = Kept(place.run)
            if last is None:  # nothing could be removed either: the next time takes its place
                place.kept.keep(one("best.h5"), "best.h5", found, {"best.h5"}, {})
            held = place.holds("best.h5")
            place.write("best.h5", OTHER)
            place.put_back("best.h5")
            assert place.read("best.h5") == (SECOND if held else OTHER), number


def story(place, told):
    """Two files of one path, each said to be kept; then one that falls out of the best."""
    files.make_directory(place.run.root)
    disk.make_directory(place.run.saved)  # as a process has left it that was killed there
    for data in (FIRST, SECOND):
        place.keep("best.h5", data)
        told(data)
    place.keep("ck-1", FIRST, pattern="ck-{epoch}")
    place.keep("ck-2", SECOND, pattern="ck-{epoch}")
    told("fell")


def check(place, told):
    """What was said to be kept is put back over another's file, and what fell out is not."""
    told = list(told)
    place.run.root.mkdir(exist_ok=True)
    place.write("best.h5", OTHER)
    place.kept.tidy()
    place.put_back("best.h5")
    later = [FIRST, SECOND] if told == [FIRST] else [told[min(len(told), 2) - 1]] if told else None
    assert later is None or place.read("best.h5") in later, f"{told} was promised"
    assert place.read("best.h5") in (FIRST, SECOND, OTHER)
    if "fell" in told:
        (place.root / "ck-1").unlink(missing_ok=True)
        (place.root / "ck-2").unlink(missing_ok=True)
        assert place.put_back("ck-{epoch}").back == ("ck-2",)
    assert [path for path in place.run.leftovers(folders=True) if "saved" in str(path)] == []


def tell(path, what):
    with path.open("ab") as file:
        file.write((b"fell" if what == "fell" else what) + b"\n")


def every_kill(memory):
    number = 0
    while True:
        number += 1
        for when in MOMENTS:
            place, said = Place(memory / f"{number}-{when}"), memory / f"told-{number}-{when}"
            place.root.mkdir()
            lived = lives(number, when, story, place, lambda what, said=said: tell(said, what))
            lines = said.read_bytes().split() if said.exists() else []
            try:
                check(place, ["fell" if line == b"fell" else line for line in lines])
            except Exception as error:
                error.add_note(f"killed {when} operation {number}")
                raise
            if lived:
                return number
            shutil.rmtree(place.root)


def test_killed_at_every_operation(bare, memory):
    assert bare(every_kill, memory) > 40


def every_cut(memory, omit=None):
    """Cut the power at each operation; returns the log."""
    live = Place(memory / "live")
    live.root.mkdir(parents=True)
    told = []
    course = logged(
        lambda course: story(live, lambda what: told.append((len(course.log), what))), omit=omit
    )
    shutil.rmtree(live.root)
    cut = Disk(live.root / "run", random.Random(0), {})
    for done in range(len(course.log) + 1):
        if done:
            cut.do(course.log[done - 1])
        for number, image in enumerate(cut.images(0)):
            place = Place(memory / f"cut-{done}-{number}")
            place.root.mkdir()
            put(image, place.root)
            check(place, [what for at, what in told if at <= done])
            shutil.rmtree(place.root)
    return course.log


def test_a_cut_at_every_operation_and_each_sync_taken_out(memory):
    log = every_cut(memory / "whole")
    found = [site for site in sites(log) if "store.kept" in site]
    idle = []
    for number, site in enumerate(found):
        try:
            every_cut(memory / str(number), lambda item, site=site: item.site == site)
        except Exception:
            continue
        idle.append(site)
    assert len(found) >= 6
    assert idle == []


def test_verify_and_repair_leave_kept_files_alone(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2)
    place = Place(tmp_path)
    place.keep("best.h5", FIRST)
    left = layout.saved / f".{'0' * 16}-3.{'0' * 8}.tmp"
    left.mkdir()
    (left / "best.h5").write_bytes(b"half")
    found = verify(layout)
    assert (found.findings, found.unreachable) == ((), 1)
    assert [item.file for item in repair(layout).moved] == [str(left.relative_to(layout.root))]
    assert verify(layout).unreachable == 0
    place.write("best.h5", OTHER)
    assert place.put_back("best.h5").back == ("best.h5",)
