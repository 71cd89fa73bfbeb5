"""Files: durable when it is said they are, and never half there."""

import contextlib
import errno
import os
import threading
from pathlib import Path

import pytest
from tiny_run import record

from holdfast.store import disk, files
from holdfast.store.faults import Failure, Faults


@pytest.fixture
def done(tmp_path, monkeypatch):
    """What was synced, renamed and removed below the test's directory, in order."""
    return record(monkeypatch, tmp_path)


def test_a_new_file_and_its_name_are_durable(tmp_path, done):
    assert files.write_new(tmp_path / "file", [b"one", bytearray(b"two"), memoryview(b"")]) == 6
    assert (tmp_path / "file").read_bytes() == b"onetwo"
    assert done == ["sync file", "sync ."]


def test_a_new_file_is_never_written_over_one_that_is_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        files.write_new(path, [b"new"])
    assert path.read_bytes() == b"old"


def test_of_a_write_that_fails_nothing_is_left(tmp_path):
    def buffers():
        yield b"one"
        raise MemoryError

    with pytest.raises(MemoryError):
        files.write_new(tmp_path / "file", buffers())
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_replaced_is_the_old_or_the_new(tmp_path, done):
    path = tmp_path / "file"
    files.replace(path, b"old")
    files.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert done == ["sync temporary", "rename temporary to file", "sync ."] * 2
    path.unlink()
    (path / "within").mkdir(parents=True)
    with pytest.raises(OSError, match="file"):
        files.replace(path, b"newer")
    assert list(tmp_path.iterdir()) == [path]


def test_each_new_directory_is_durable_in_the_one_above_it(tmp_path, done):
    files.make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert done == ["sync .", "sync a", "sync a/b"]
    files.make_directory(tmp_path / "a" / "b" / "c")
    # It may have been made by a process that was killed before its sync.
    assert done[3:] == ["sync a/b"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no directory that cannot be synced")
def test_a_directory_whose_parent_cannot_be_synced_can_be_used():
    with pytest.raises(OSError):
        disk.sync_directory(Path("/proc"))
    files.make_directory(Path("/proc/self"))


def test_what_is_removed_stays_removed(tmp_path, done):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    files.remove([tmp_path / "b" / "file", tmp_path / "a" / "file", tmp_path / "a" / "gone"])
    assert sorted(done[:2]) == ["remove a/file", "remove b/file"]
    assert done[-2:] == ["sync a", "sync b"]
    assert not (tmp_path / "a" / "file").exists()


def test_a_directory_that_is_moved_is_durable_under_its_new_name(tmp_path, done):
    (tmp_path / "run").mkdir()
    files.move(tmp_path / "run", tmp_path / "run.old-1")
    assert (tmp_path / "run.old-1").is_dir()
    assert done == ["rename run to run.old-1", "sync ."]


def test_what_is_published_is_durable_before_it_has_its_name(tmp_path, done):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"whole")
    files.publish(source, target)
    assert target.read_bytes() == b"whole"
    assert done == ["sync source"]
    source.unlink()
    source.write_bytes(b"other")
    files.publish(source, target)
    assert target.read_bytes() == b"whole"


def test_a_file_that_another_library_writes_is_the_old_or_the_new(tmp_path, done):
    path = tmp_path / "best.h5"
    path.write_bytes(b"old")

    def write(aside):
        assert aside.name == "best.h5"
        assert path.read_bytes() == b"old"
        aside.write_bytes(b"new")

    files.replace_by(path, write)
    assert path.read_bytes() == b"new"
    assert [item.name for item in tmp_path.iterdir()] == ["best.h5"]
    aside = done[0].removeprefix("sync ")
    assert aside.endswith(".tmp/best.h5")
    assert done == [f"sync {aside}", f"rename {aside} to best.h5", "sync ."]


def test_where_another_library_fails_the_old_file_stands(tmp_path):
    path = tmp_path / "best.h5"
    path.write_bytes(b"old")

    def write(aside):
        aside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.replace_by(path, write)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["best.h5"]


def test_what_a_killed_writer_left_beside_goes_with_the_next(tmp_path):
    for name in (".best.h5.0123abcd.tmp", ".other.h5.0123abcd.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.h5").write_bytes(b"half")
    files.replace_by(tmp_path / "best.h5", lambda aside: aside.write_bytes(b"new") and None)
    assert {item.name for item in tmp_path.iterdir()} == {"best.h5", ".other.h5.0123abcd.tmp"}


@pytest.fixture
def failing():
    """Lets the disk fail: called with the kind of operation; with None, no more."""

    def fail(kind):
        broken = Failure(1, None, errno.ENOSPC)
        disk.switch = kind and OneKind(kind, broken)

    yield fail
    disk.switch = None


class OneKind(Faults):
    """Faults in operations of one kind alone."""

    def __init__(self, kind, failure):
        super().__init__(fail=failure)
        self.kind = kind

    def around(self, kind, path, **details):
        if kind != self.kind:
            return contextlib.nullcontext(True)
        return super().around(kind, path, **details)


def test_what_a_failed_sync_may_have_lost_is_written_again(tmp_path, failing):
    log = files.Appender(tmp_path / "log")
    log.append(b"one\n")
    log.sync()
    log.append(b"two\n")
    failing("sync")
    with pytest.raises(OSError, match="No space"):
        log.sync()
    failing(None)
    # What the kernel may do then: it forgets what it could not write, and says so once.
    os.truncate(tmp_path / "log", 4)
    log.append(b"three\n")
    log.sync()
    log.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\n"


def test_what_could_not_be_appended_comes_before_what_comes_later(tmp_path, failing):
    log = files.Appender(tmp_path / "log")
    log.append(b"one\n")
    failing("write")
    for data in (b"two\n", b"three\n"):
        with pytest.raises(OSError, match="No space"):
            log.append(data)
        assert (tmp_path / "log").read_bytes() == b"one\n", "half a line is there"
    assert log.size == 14, "where what comes next will be"
    failing(None)
    log.append(b"four\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\nfour\n"
    failing("write")
    with pytest.raises(OSError, match="No space"):
        log.append(b"five\n")
    failing(None)
    log.sync()
    log.close()
    assert (tmp_path / "log").read_bytes().endswith(b"four\nfive\n")


def test_threads_that_sync_at_once_write_nothing_twice(tmp_path):
    lines = [f"{number}\n".encode() for number in range(3000)]
    log = files.Appender(tmp_path / "log")
    done = threading.Event()

    def sync():
        while not done.is_set():
            log.sync()

    threads = [threading.Thread(target=sync) for _ in range(3)]
    for thread in threads:
        thread.start()
    for line in lines:
        log.append(line)
    done.set()
    for thread in threads:
        thread.join()
    log.sync()
    log.close()
    assert (tmp_path / "log").read_bytes() == b"".join(lines)
