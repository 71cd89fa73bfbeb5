"""The lock: one writer a run, told by name, and gone with its process however that ends."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from holdfast.errors import RunLockedError
from holdfast.store.lock import Lock, holder

HOLD = """
    import os, sys, time
    from pathlib import Path
    from holdfast.store.lock import Lock
    lock = Lock(Path(sys.argv[1]))
"""
SAY_AND_WAIT = """
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "lock"


@pytest.fixture
def start(path):
    """Start a program that holds the lock, and wait until it says so."""
    children = []

    def begin(program=HOLD + SAY_AND_WAIT):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child, child.stdout.readline().split()

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def taken(path):
    """Whether another could have the lock now, without waiting."""
    Lock(path, patience=0).release()
    return True


def test_a_second_process_is_refused_by_name(path, start):
    child, _ = start()
    with pytest.raises(RunLockedError) as raised:
        Lock(path)
    assert f"process {child.pid} on {os.uname().nodename}" in str(raised.value)
    assert str(path.parent) in str(raised.value)
    assert holder(path).pid == child.pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_is_free_at_once(path, start, number):
    child, _ = start()
    child.send_signal(number)
    child.wait()
    assert holder(path) is None
    assert taken(path)


def test_a_forked_worker_that_outlives_its_parent_holds_nothing(path, start):
    fork = """
        reading, writing = os.pipe()
        if (worker := os.fork()) == 0:
            lock.release()
            os.write(writing, b"begun")
            time.sleep(60)
        os.read(reading, 5)
        print("held", worker, flush=True)
        sys.stdin.read()
    """
    child, (_, worker) = start(textwrap.dedent(HOLD) + textwrap.dedent(fork))
    try:
        assert holder(path).pid == child.pid
        child.kill()
        child.wait()
        assert taken(path)
        os.kill(int(worker), 0)  # it is still there
    finally:
        os.kill(int(worker), signal.SIGKILL)


def test_holder_beside_a_writer_does_not_disturb_it(path, start):
    assert holder(path) is None
    child, _ = start()
    for _ in range(100):
        assert holder(path).pid == child.pid
        with pytest.raises(RunLockedError):
            Lock(path, patience=0)
    child.communicate()
    assert child.returncode == 0


def test_a_writer_gets_its_lock_beside_readers_that_ask_all_the_time(path):
    taken(path)
    done = threading.Event()

    def ask():
        while not done.is_set():
            holder(path)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(20):
            lock = Lock(path)
            assert holder(path).pid == os.getpid()
            lock.release()
    finally:
        done.set()
        for reader in readers:
            reader.join()


def test_released_is_released_once(path):
    lock = Lock(path)
    lock.release()
    assert holder(path) is None
    other = Lock(path)
    lock.release()
    assert holder(path).pid == os.getpid()
    other.release()
    assert path.read_bytes() == b""


def test_one_who_waited_while_the_run_was_moved_aside_locks_the_new_one(path):
    first = Lock(path)
    got = []
    waiting = threading.Thread(target=lambda: got.append(Lock(path, patience=20)))
    waiting.start()
    time.sleep(0.1)
    aside = path.parent.with_name("run.old-1")
    path.parent.rename(aside)
    first.release()
    time.sleep(0.1)
    path.parent.mkdir()
    waiting.join()
    with pytest.raises(RunLockedError):
        Lock(path, patience=0)
    assert taken(aside / "lock")
    got[0].release()


def test_a_lock_that_was_moved_aside_while_it_was_opened_is_not_the_runs(path, monkeypatch):
    first = Lock(path)
    real = fcntl.flock

    def moved_just_before(handle, operation):
        monkeypatch.setattr(fcntl, "flock", real)
        path.parent.rename(path.parent.with_name("run.old-1"))
        first.release()
        path.parent.mkdir()
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", moved_just_before)
    lock = Lock(path)
    assert holder(path).pid == os.getpid()
    assert taken(path.parent.with_name("run.old-1") / "lock")
    lock.release()


def test_where_the_directory_is_missing_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        Lock(tmp_path / "nowhere" / "lock")
    assert holder(tmp_path / "nowhere" / "lock") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[1]", b'{"host":"h"}', b'{"host":"h","pid":"x","time":1}', b"[" * 100_000],
)
def test_what_the_file_says_decides_nothing(path, content):
    lock = Lock(path)
    path.write_bytes(content)
    assert holder(path).host == "unknown"
    with pytest.raises(RunLockedError, match="another process"):
        Lock(path, patience=0)
    lock.release()
    path.write_bytes(content)
    assert holder(path) is None
    assert taken(path)
