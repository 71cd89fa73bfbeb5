"""The lock: one writer a run, told by name, and gone with its process however that ends."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from tiny_run import make_run

from holdfast.cli.main import main
from holdfast.errors import RunLockedError
from holdfast.run import Run
from holdfast.store import disk, machine
from holdfast.store.faults import Failure, Faults
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


OTHER = {"host": "elsewhere", "pid": 4711, "time": 1.7e9, "machine": "another"}


def leave(path, **said):
    """Leave in the lock's file what another host's process writes and does not empty."""
    path.write_text(json.dumps({**OTHER, **said}) + "\n")


@pytest.fixture
def mounted(path, tmp_path, monkeypatch):
    """Let the kernel's list of mounts have a type of file system for that of the test."""
    real = machine.MOUNTS

    def as_type(kind):
        if not real.exists():
            pytest.skip("no list of mounts here")
        handle = os.open(path.parent, os.O_RDONLY)
        facts = Path(f"/proc/self/fdinfo/{handle}").read_text().split()
        os.close(handle)
        number = facts[facts.index("mnt_id:") + 1]
        lines = real.read_text().splitlines(keepends=True)
        (mine,) = [line for line in lines if line.split()[0] == number]
        place, _, rest = mine.partition(" - ")
        lines[lines.index(mine)] = f"{place} - {kind} {rest.split(maxsplit=1)[1]}"
        listed = tmp_path / "mountinfo"
        listed.write_text("".join(lines))
        monkeypatch.setattr(machine, "MOUNTS", listed)

    return as_type


@pytest.fixture
def shared(mounted):
    """Let the test's directory be on a file system that several hosts mount."""
    if machine.MOUNTS.exists():
        mounted("nfs4")  # elsewhere every file system may be one


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


# another host


def test_another_hosts_lock_on_a_shared_file_system_is_refused(path, shared):
    leave(path)
    before = path.read_bytes()
    with pytest.raises(RunLockedError) as raised:
        Lock(path)
    said = str(raised.value)
    assert f"{path.parent} was locked by process 4711 on elsewhere since 2023-11-1" in said
    assert "take_over=True" in said
    assert "--take-over" in said
    assert path.read_bytes() == before
    assert holder(path).host == "elsewhere"


def test_a_lock_that_was_taken_over_needs_no_taking_over_again(path, shared):
    leave(path)
    lock = Lock(path, take_over=True)
    assert str(lock.took_over) == "process 4711 on elsewhere"
    assert holder(path).pid == os.getpid()
    lock.release()
    assert holder(path) is None
    again = Lock(path, take_over=True)
    assert again.took_over is None
    again.release()
    assert taken(path)


def test_a_living_process_is_never_passed_over(path, start, shared):
    child, _ = start()
    for said in ({}, {"machine": machine.this_machine()}):
        with pytest.raises(RunLockedError, match=f"being written by process {child.pid} "):
            Lock(path, patience=0, take_over=True)
        # Even if it had the name of another host: the kernel knows better.
        leave(path, pid=child.pid, **said)


def test_kill_9_and_the_next_on_this_host_goes_on_there_too(path, start, shared):
    child, _ = start()
    child.kill()
    child.wait()
    assert json.loads(path.read_bytes())["pid"] == child.pid
    lock = Lock(path, patience=0)
    assert lock.took_over is None
    lock.release()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay"])
def test_another_machine_with_this_disk_goes_on(path, mounted, kind):
    mounted(kind)
    leave(path)
    assert holder(path) is None
    assert taken(path)


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "lustre", "gpfs", "ceph", "fuse.sshfs", "9p", "virtiofs", "new"]
)
def test_what_may_be_shared_is_asked_about(path, mounted, kind):
    mounted(kind)
    leave(path)
    with pytest.raises(RunLockedError, match="elsewhere"):
        Lock(path)


def test_the_mount_that_hides_another_is_the_one_that_counts(path, mounted, monkeypatch):
    mounted("ext4")
    here = machine.MOUNTS.read_text()
    deeper = f"9999 1 0:99 / {path.parent} rw - nfs4 server:/x rw\n"
    machine.MOUNTS.write_text(here + deeper)
    leave(path)
    assert taken(path)
    # And where the file's own is not listed, it is not known.
    machine.MOUNTS.write_text(deeper)
    leave(path)
    assert holder(path).host == "elsewhere"


@pytest.mark.parametrize(
    "said",
    [
        lambda: {"machine": machine.this_machine()},  # the network has given it another name
        lambda: {"host": os.uname().nodename},  # it was started again
    ],
)
def test_this_machine_by_another_name_and_this_host_started_again_go_on(path, shared, said):
    if not machine.this_machine():
        pytest.skip("this machine has no name")
    leave(path, **said())
    assert holder(path) is None
    assert taken(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the machine is known otherwise")
def test_where_machines_have_no_names_those_of_the_hosts_decide(path, shared, monkeypatch):
    monkeypatch.setattr(machine, "BOOT", path.parent / "nothing")
    leave(path, machine="")
    with pytest.raises(RunLockedError, match="elsewhere"):
        Lock(path)
    leave(path, machine="", host=os.uname().nodename)
    assert taken(path)


def test_who_was_taken_over_and_lives_does_not_erase_the_other(path):
    lock = Lock(path)
    leave(path)
    lock.release()
    assert json.loads(path.read_bytes()) == OTHER


@pytest.mark.parametrize("said", [{"time": 1e300}, {"time": -1e300}, {"pid": 0}, {"host": "a\x1b"}])
def test_odd_values_are_said_without_harm(path, shared, said):
    leave(path, **said)
    with pytest.raises(RunLockedError, match="which did not let go") as raised:
        Lock(path)
    assert str(raised.value).isprintable()


def test_what_writes_asks_and_what_reads_does_not(path, shared, capsys):
    make_run(path.parent, 1, 2, 3, 4)
    leave(path)
    run = Run(path.parent)
    assert run.status == "running"
    with pytest.raises(RunLockedError, match="take_over"):
        run.prune()
    assert run.verify().findings == ()
    assert said(capsys, "prune", run.path)[0] == 1
    assert said(capsys, "prune", run.path, "--dry-run")[0] == 0
    assert len(run.checkpoints) == 4
    code, _, noted = said(capsys, "prune", run.path, "--take-over", "--json")
    assert (code, noted) == (0, "holdfast: took over the lock of process 4711 on elsewhere\n")
    assert len(run.checkpoints) == 2
    assert said(capsys, "prune", run.path)[0] == 0


def said(capsys, *arguments):
    """The exit code of a command, its output, and what it complained of."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return (ended.value.code, *capsys.readouterr())


def test_fit_asks_and_notes_that_it_took_over(path, shared, blobs, capsys):
    import keras

    x, y = blobs
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    leave(path)
    run = Run(path.parent)
    with pytest.raises(RunLockedError, match="elsewhere"):
        run.fit(model, x, y, verbose=0)
    run.fit(model, x, y, verbose=0, take_over=True)
    assert "holdfast: took over the lock of process 4711 on elsewhere\n" in capsys.readouterr().err
    assert run.status == "finished"
    run.fit(model, x, y, verbose=0)


# a failing disk


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_lock_that_cannot_be_written_is_not_held(path, shared, monkeypatch, number):
    monkeypatch.setattr(disk, "switch", Faults(fail=Failure(number, None, errno.ENOSPC)))
    with pytest.raises(OSError, match="No space left") as raised:
        Lock(path)
    assert raised.value.errno == errno.ENOSPC
    monkeypatch.setattr(disk, "switch", None)
    assert holder(path) is None
    assert taken(path)


def test_a_lock_that_cannot_be_emptied_is_released(path, monkeypatch):
    lock = Lock(path)
    monkeypatch.setattr(disk, "switch", Faults(fail=Failure(1, None, errno.EIO)))
    lock.release()
    monkeypatch.setattr(disk, "switch", None)
    assert path.read_bytes() != b""
    assert holder(path) is None
    assert taken(path)


def test_killed_at_each_operation_of_taking_and_releasing_it_the_next_goes_on(path, shared):
    program = textwrap.dedent(HOLD) + "lock.release()"
    killed = 0
    for number in range(1, 6):  # make, empty, write, empty; the fifth there is not
        for when in ("before", "within", "after"):
            found = subprocess.run(
                [sys.executable, "-c", program, str(path)],
                env={**os.environ, "HOLDFAST_DISK": json.dumps({"kill": [number, when]})},
                check=False,
            )
            assert holder(path) is None
            assert taken(path)
            killed += found.returncode == -signal.SIGKILL
    assert killed == 3 * 4
