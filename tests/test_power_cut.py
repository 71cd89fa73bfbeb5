"""Promise 2 where SIGKILL proves nothing: the power goes, and with it what was not synced.

The operations of a whole training are logged; at each of them every disk that a cut may leave (see
power_cut), up to a bound, is made anew: the run opens, holds what was promised and no other byte,
and goes on to the same end. So a sync or a rename that is taken out must be missed (mutation).
"""

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from power_cut import Disk, put
from tiny_training import STOP, Course, check, train
from turns import today

from holdfast.store import disk, files
from holdfast.store.faults import Faults

SHARED = Path("/dev/shm")
MOST, STRIDE = 48, 6


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


def logged(work, *, omit=None, until=None):
    """Do `work(course)` and return the course, with the log of its operations.

    Args:
        work: what to do.
        omit: of which operations nothing is done.
        until: after how many operations the process is killed.
    """
    course = Course()

    def log(operation):
        if until is not None and len(course.log) >= until:
            raise Killed
        course.log.append(operation)

    disk.switch = Faults(log=log, omit=omit)
    try:
        work(course)
    except Killed:
        pass
    finally:
        disk.switch = None
    return course


def whole(root):
    """A training that is stopped and goes on, as `logged` takes it."""

    def work(course):
        train(root, course, stop=STOP)
        train(root, course)

    return work


def promised(course, operations):
    """What was promised when so many operations were done."""
    places = [place for done, place in course.told if done <= operations]
    return places[-1] if places else None


class Looker:
    """Looks at each disk that a cut may leave, once."""

    def __init__(self, memory, expected):
        self.memory, self.expected = memory, expected
        self.seen = set()

    def look(self, image, place):
        key = hash((frozenset(image.items()), place))
        if key in self.seen:
            return
        self.seen.add(key)
        base = self.memory / f"cut-{len(self.seen)}"
        base.mkdir()
        put(image, base)
        check(base / "run", self.expected, place)
        shutil.rmtree(base)


def every_cut(memory, expected, *, omit=None, most=MOST):
    """Cut the power at each operation of a training; returns how many disks were looked at."""
    live = memory / "live"
    live.mkdir(parents=True)
    try:
        course = logged(whole(live / "run"), omit=omit)
    finally:
        shutil.rmtree(live)
    looker = Looker(memory, expected)
    cut = Disk(live / "run", random.Random(0))
    for done in range(len(course.log) + 1):
        if done:
            cut.do(course.log[done - 1])
        for image in cut.images(most):
            try:
                looker.look(image, promised(course, done))
            except Exception as error:
                error.add_note(f"cut after operation {done}: {course.log[done - 1]}")
                error.add_note(f"there was: {sorted(map(str, image))}")
                raise
    return len(looker.seen)


def cuts_after_kills(memory, expected, chance, *, omit=None, first=1, stride=1):
    """Kill a training at operations, go on, and cut the power at some of the next ones."""
    live = memory / "live"
    live.mkdir(parents=True)
    length = len(logged(whole(live / "run"), omit=omit).log)
    shutil.rmtree(live)
    for kill in range(first, length, stride):
        live.mkdir()
        before = logged(whole(live / "run"), omit=omit, until=kill)
        after = logged(lambda course: train(live / "run", course), omit=omit)
        shutil.rmtree(live)
        cut = Disk(live / "run", chance)
        for operation in before.log:
            cut.do(operation)
        looker = Looker(memory, expected)
        cuts = {*range(12), *chance.sample(range(len(after.log) + 1), min(6, len(after.log)))}
        for done in range(len(after.log) + 1):
            if done:
                cut.do(after.log[done - 1])
            if done not in cuts:
                continue
            place = promised(after, done) or promised(before, kill)
            for image in (cut.image({}), cut.random_image(), cut.random_image()):
                try:
                    looker.look(image, place)
                except Exception as error:
                    error.add_note(f"killed after operation {kill}, cut after {done} of the next")
                    error.add_note(f"there was: {sorted(map(str, image))}")
                    raise


def test_a_cut_at_every_operation(memory, expected):
    seen = every_cut(memory, expected)
    print("disks:", seen)
    assert seen > 1000


def test_a_cut_after_a_kill(memory, expected):
    """What a killed process had not synced is not synced either when the next one goes on."""
    seed = time.time_ns() % 2**32
    print("seed", seed)
    chance = random.Random(seed)
    first = chance.randint(1, STRIDE)
    cuts_after_kills(memory, expected, chance, first=first, stride=STRIDE)


@given(st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=8), st.randoms())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_kills_and_cuts_in_any_order(expected, ends, chance):
    """Each attempt ends by a kill or by a cut, at any operation, and with any disk."""
    with tempfile.TemporaryDirectory(dir=SHARED if SHARED.is_dir() else None) as memory:
        base, place = Path(memory, "0"), None
        base.mkdir()
        cut = Disk(base / "run", chance)
        for number, (operations, power) in enumerate(ends, start=1):
            course = logged(lambda course, base=base: train(base / "run", course), until=operations)
            for operation in course.log:
                cut.do(operation)
            place = course.told[-1][1] if course.told else place
            if power:
                image = cut.random_image()
                base = Path(memory, str(number))
                base.mkdir()
                put(image, base)
                cut = Disk(base / "run", chance, image)
        check(base / "run", expected, place)


# files by themselves


@dataclass(frozen=True)
class Contract:
    """What a function of `files` promises.

    Args:
        act: calls it; given a directory that has `old`, a file with the bytes OLD.
        during: whether a disk that a cut may leave meanwhile is as promised.
        after: whether one that a cut may leave afterwards is.
    """

    act: Callable
    after: Callable
    during: Callable = lambda folder: True


OLD, NEW = b"old" * 700, b"new" * 900
BLANKED = OLD[:3] + b" " * 599 + b"\n" + OLD[603:1000] + b" \n" + OLD[1002:]


def write(path, data=NEW):
    """What another library does: it syncs nothing."""
    with disk.File(path) as file:
        file.write(data)


def append(folder):
    log = files.Appender(folder / "log")
    log.append(b"one\n")
    log.append(b"two\n")
    log.sync()
    log.append(b"three\n")
    log.close()


def filled(folder):
    files.write_new(folder / "new", [NEW])


def cut_off(folder):
    log = files.Appender(folder / "old")
    log.truncate(4)
    log.append(b"one")
    log.close()


def read(path):
    return path.read_bytes() if path.exists() else None


CONTRACTS = {
    "make_directory": Contract(
        lambda folder: files.make_directory(folder / "a" / "b"),
        lambda folder: (folder / "a" / "b").is_dir(),
    ),
    "make_directory, made by a killed process": Contract(
        lambda folder: (
            disk.make_directory(folder / "a"),
            disk.make_directory(folder / "a" / "b"),
            files.make_directory(folder / "a" / "b"),
            files.make_directory(folder / "a"),
        ),
        lambda folder: (folder / "a" / "b").is_dir(),
    ),
    "write_new": Contract(
        lambda folder: files.write_new(folder / "new", [NEW, OLD]),
        lambda folder: read(folder / "new") == NEW + OLD,
    ),
    "replace": Contract(
        lambda folder: files.replace(folder / "old", NEW),
        lambda folder: read(folder / "old") == NEW,
        lambda folder: read(folder / "old") in (OLD, NEW),
    ),
    "replace_by": Contract(
        lambda folder: files.replace_by(folder / "old", write),
        lambda folder: read(folder / "old") == NEW,
        lambda folder: read(folder / "old") in (OLD, NEW),
    ),
    "settle": Contract(
        lambda folder: (write(folder / "new"), files.settle(folder / "new")),
        lambda folder: read(folder / "new") == NEW,
    ),
    "settle_names": Contract(
        lambda folder: (disk.rename(folder / "old", folder / "new"), files.settle_names(folder)),
        lambda folder: read(folder / "new") == OLD,
    ),
    "remove": Contract(
        lambda folder: files.remove([folder / "old"]),
        lambda folder: not (folder / "old").exists(),
    ),
    "move": Contract(
        lambda folder: files.move(folder / "old", folder / "new"),
        lambda folder: read(folder / "new") == OLD and not (folder / "old").exists(),
        lambda folder: OLD in (read(folder / "old"), read(folder / "new")),
    ),
    "move, to another directory": Contract(
        lambda folder: (
            files.make_directory(folder / "to"),
            files.move(folder / "old", folder / "to" / "new"),
        ),
        lambda folder: read(folder / "to" / "new") == OLD and not (folder / "old").exists(),
    ),
    "blank": Contract(
        lambda folder: files.blank(folder / "old", [(3, 600), (1000, 2)]),
        lambda folder: read(folder / "old") == BLANKED,
        lambda folder: all(
            old == there
            for at, (old, there) in enumerate(zip(OLD, read(folder / "old"), strict=True))
            if not (3 <= at < 603 or 1000 <= at < 1002)
        ),
    ),
    "new_folder": Contract(
        lambda folder: files.new_folder(folder / "to", filled),
        lambda folder: read(folder / "to" / "new") == NEW,
        lambda folder: not (folder / "to").exists() or read(folder / "to" / "new") == NEW,
    ),
    "duplicate": Contract(
        lambda folder: (
            files.duplicate(folder / "old", folder / "new"),
            files.settle_names(folder),
        ),
        lambda folder: read(folder / "new") == read(folder / "old") == OLD,
        lambda folder: read(folder / "new") in (None, OLD),
    ),
    "remove_folders": Contract(
        lambda folder: (
            files.new_folder(folder / "to", filled),
            files.remove_folders([folder / "to"]),
        ),
        lambda folder: not (folder / "to").exists(),
    ),
    "publish": Contract(
        lambda folder: (write(folder / "new"), files.publish(folder / "new", folder / "public")),
        lambda folder: read(folder / "public") in (None, NEW),
        lambda folder: read(folder / "public") in (None, NEW),
    ),
    "Appender": Contract(
        append,
        lambda folder: read(folder / "log").startswith(b"one\ntwo\n"),
    ),
    "Appender.truncate": Contract(
        cut_off,
        lambda folder: read(folder / "old")[:4] == OLD[:4] and len(read(folder / "old")) <= 7,
    ),
}


def keeps(contract, memory, omit=None):
    """Look at each disk that a cut may leave while a function works, and after it."""
    live = memory / "live"
    live.mkdir(parents=True)
    (live / "old").write_bytes(OLD)
    cut = Disk(live / "old", random.Random(0), {Path("old"): OLD})
    course = logged(lambda _: contract.act(live), omit=omit)
    shutil.rmtree(live)
    disks = 0
    for done in range(len(course.log) + 1):
        if done:
            cut.do(course.log[done - 1])
        for image in cut.images(MOST):
            disks += 1
            base = memory / f"cut-{disks}"
            base.mkdir()
            put(image, base)
            assert contract.during(base), sorted(image)
            assert done < len(course.log) or contract.after(base), sorted(image)
            shutil.rmtree(base)
    return course


@pytest.mark.parametrize("name", CONTRACTS)
def test_files_keep_what_they_promise(name, memory):
    assert keeps(CONTRACTS[name], memory).log


# mutation


def sites(log):
    """Where syncs and renames are done: the calls of the package that lead there."""
    kinds = ("sync", "sync directory", "rename")
    return {item.site: item.kind for item in log if item.kind in kinds and item.site}


def test_files_miss_each_sync_and_rename(memory):
    """Take out each in turn: what a function of `files` promises does not hold without it."""
    logs = {name: keeps(contract, memory / name).log for name, contract in CONTRACTS.items()}
    found = {site.rpartition(" > ")[2] for log in logs.values() for site in sites(log)}
    idle = set(found)
    for name, contract in CONTRACTS.items():
        for line in {site.rpartition(" > ")[2] for site in sites(logs[name])}:
            try:
                keeps(
                    contract,
                    memory / f"{name} without {line}",
                    lambda item, line=line: item.site.endswith(line),
                )
            except Exception:
                idle.discard(line)
    assert len(found) >= 18
    assert sorted(idle) == []


def test_a_training_misses_each_sync_and_rename(memory, expected):
    """Take out each in turn, by the calls that lead to it: a cut, or a kill and a cut, shows it.

    One in six of them, by turns.
    """
    log = logged(whole(memory / "run")).log
    log += logged(lambda course: train(memory / "run", course)).log
    found = sites(log)
    idle = []
    for number, (site, kind) in today(list(enumerate(sorted(found.items()))), one_in=6):

        def omit(item, site=site):
            return item.site == site

        place = memory / str(number)
        try:
            every_cut(place / "few", expected, omit=omit, most=0)
            cuts_after_kills(place / "kills", expected, random.Random(1), omit=omit, stride=7)
            every_cut(place / "more", expected, omit=omit, most=8)
            cuts_after_kills(place / "all", expected, random.Random(2), omit=omit)
        except Exception as error:
            print(f"{kind} at {site}: {type(error).__name__}")
        else:
            idle.append(f"{kind} at {site}")
    assert len(found) >= 15
    assert idle == [], "\n".join(idle)
