"""`holdfast run`: a program behaves as under python, and is started again when it dies."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

from holdfast.cli.main import main
from holdfast.compat.launch import command
from holdfast.compat.program import last_death, peek_hash_seed
from holdfast.compat.supervise import next_delay
from holdfast.events import ProgramDied, ProgramEnded, ProgramStarted
from holdfast.store import journal
from holdfast.store.layout import Layout

PROGRAMS = Path(__file__).parent / "programs"
HOLDFAST = [str(Path(sys.executable).with_name("holdfast")), "run"]


def start(words, folder, **environment):
    return subprocess.Popen(
        words,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process, seconds=60):
    out, err = process.communicate(timeout=seconds)
    return out, err, process.returncode


def run(words, folder, **environment):
    return end(start(words, folder, **environment))


def launch(folder, *words, module=False):
    """Return what the program's own process says, and how it ends."""
    return run(command(folder / "runs" / "it", words[0], words[1:], module=module), folder)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def events(directory, *kinds):
    return list(journal.read(Layout(directory).journal).of(*kinds))


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


SEES = """
    import sys
    import helper
    print(sys.argv, sys.path[0], __file__, __package__, type(__loader__), __builtins__)
    print(__spec__ and __spec__.name, __doc__, sorted(globals()), helper.__file__)

    class Thing:
        pass

    import inspect, pickle, __main__
    print(pickle.loads(pickle.dumps(Thing)) is Thing, vars(__main__) is globals())
    print("keras" in sys.modules, "typer" in sys.modules, "rich" in sys.modules)
    if sys.argv[1:]:
        raise KeyError(sys.argv[1])
"""


@pytest.mark.parametrize(
    "words", ["train.py", "./train.py -m --fresh -- x", "work", "work.zip x", "-m work.train -h"]
)
def test_a_program_sees_what_it_sees_under_python(words, tmp_path):
    (tmp_path / "work").mkdir()
    for name in ("train.py", "work/__main__.py", "work/train.py"):
        write(tmp_path / name, SEES)
    for name in ("helper.py", "work/helper.py"):
        write(tmp_path / name, "")
    with zipfile.ZipFile(tmp_path / "work.zip", "w") as file:
        for name in ("__main__.py", "helper.py"):
            file.write(tmp_path / "work" / name, name)
    words = words.split()
    module = words[0] == "-m"
    expected = run([sys.executable, *words], tmp_path)
    assert launch(tmp_path, *words[module:], module=module) == expected
    assert expected[2] == (1 if len(words[module:]) > 1 else 0), expected[1]


ENDS = """
    import atexit, os, sys, threading, time
    atexit.register(print, "at exit")
    threading.Thread(target=lambda: (time.sleep(0.1), print("a thread ends"))).start()
    what = sys.argv[1]
    if what == "text":
        sys.exit("a text")
    if what == "number":
        sys.exit(259)
    if what == "chain":
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise KeyError("x") from error
    if what == "hook":
        sys.excepthook = lambda kind, value, trace: print(
            kind, value, trace.tb_lineno, trace.tb_next, value.__traceback__ is trace
        )
        raise ValueError("two\\nlines")
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "signal":
        os.kill(os.getpid(), 15)
    if what == "fork":
        if os.fork() == 0:
            raise OSError("in a child")
        os.wait()
"""


@pytest.mark.parametrize(
    ("what", "status", "died"),
    [
        ("nothing", 0, None),
        ("text", 1, None),
        ("number", 3, None),
        ("fork", 0, None),
        ("chain", 1, ("KeyError: 'x'", 14)),
        ("hook", 1, ("ValueError: two", 19)),
        ("interrupt", -signal.SIGINT, ("KeyboardInterrupt", 21)),
        ("signal", -signal.SIGTERM, None),
    ],
)
def test_a_program_ends_as_under_python(what, status, died, tmp_path):
    write(tmp_path / "train.py", ENDS)
    expected = run([sys.executable, "train.py", what], tmp_path)
    assert expected[2] == status
    assert launch(tmp_path, "train.py", what) == expected
    directory = tmp_path / "runs" / "it"
    assert len(events(directory, ProgramStarted)) == 1
    ended = [event.status for event in events(directory, ProgramEnded)]
    assert ended == ([status] if died is None and status >= 0 else [])
    found = last_death(directory)
    if died is None:
        assert found is None
    else:
        assert (found.reason, found.where) == (died[0], f"{tmp_path / 'train.py'}:{died[1]}")


@pytest.mark.parametrize("text", ["x = (\n", "# coding: latin-1\nprint('\xe9')\n1 / 0\n"])
def test_the_source_is_read_as_python_reads_it(text, tmp_path):
    (tmp_path / "train.py").write_bytes(text.encode("latin-1"))
    expected = run([sys.executable, "train.py"], tmp_path)
    assert expected[2] == 1
    assert launch(tmp_path, "train.py") == expected
    assert last_death(tmp_path / "runs" / "it").where.startswith(str(tmp_path / "train.py:"))


def test_what_follows_the_program_is_its_own_and_every_start_draws_the_same(tmp_path):
    write(
        tmp_path / "train.py",
        """
        import os, random, sys
        import numpy as np
        print(sys.argv, random.random(), np.random.random(), hash("a text"), os.getpid())
        print(os.environ.get("KERAS_BACKEND"), file=sys.stderr)
        """,
    )
    words = [*HOLDFAST, "--runs", "kept", "--backend", "torch", "train.py", "--help", "-m", "--"]
    process = start(words, tmp_path)
    first = end(process)
    second = run(words, tmp_path)
    assert first[0].startswith("['train.py', '--help', '-m', '--'] 0.")
    assert first[1:] == second[1:] == ("torch\n", 0)
    # The process that was started is the program's.
    assert first[0].split()[-1] == str(process.pid)
    assert first[0].split()[:-1] == second[0].split()[:-1]
    anew = [*words[:2], "--fresh", *words[2:]]
    third = run(anew, tmp_path)
    assert third[0].split()[4:7] != first[0].split()[4:7]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["train", "train.old-1"]
    chosen = run(anew, tmp_path, PYTHONHASHSEED="0")
    plain = run([sys.executable, "-c", "print(hash('a text'))"], tmp_path, PYTHONHASHSEED="0")
    assert chosen[0].split()[-2] == plain[0].strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.py"], "can't open file 'nowhere.py': No such file or directory"),
        (["-m", "nowhere.at.all"], "no module named 'nowhere'"),
        (["--name", "a/b", __file__], "expected one word for a directory, found 'a/b'"),
        (["--restarts", "-1", __file__], "Input should be greater than or equal to 0"),
        (["-m", "--modernize", "json"], "--modernize takes a script's file"),
        ([], "Missing argument 'SCRIPT'"),
    ],
)
def test_a_wrong_command_line_is_told_apart(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["run", *words])
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_program_that_is_running_is_not_run_twice(tmp_path):
    write(tmp_path / "train.py", "import time; print('here', flush=True); time.sleep(30)")
    first = start([*HOLDFAST, "train.py"], tmp_path)
    assert first.stdout.readline() == "here\n"
    out, err, status = run([*HOLDFAST, "--restarts", "3", "train.py"], tmp_path)
    first.kill()
    assert (out, status) == ("", 1)
    assert f"is being written by process {first.pid}" in err
    assert len(err.splitlines()) == 1
    end(first)


DIES = """
    import os, pathlib, signal, sys, time
    lives = pathlib.Path(sys.argv[1])
    number = len(lives.read_text()) if lives.exists() else 0
    lives.write_text("x" * (number + 1))
    what = sys.argv[2].split(",")[number]
    print(what, flush=True)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "key":
        raise KeyError(number)
    if what == "index":
        [][0]
    if what == "stop":
        from holdfast.errors import Interrupted
        raise Interrupted(signal.SIGTERM)
    if what == "wait":
        def save(signal, frame):
            print("told", flush=True)
            time.sleep(0.2)
            print("saved", flush=True)
            sys.exit(128 + signal)
        signal.signal(signal.SIGTERM, save)
        signal.signal(signal.SIGINT, save)
        print("ready", flush=True)
        time.sleep(60)
    sys.exit(int(what) if what.isdecimal() else 1)
"""


def supervised(folder, name, lives, restarts):
    """Start DIES under a name of its own."""
    write(folder / "train.py", DIES)
    options = ["--restarts", str(restarts), "--name", name]
    return start([*HOLDFAST, *options, "train.py", f"{name}.lives", lives], folder)


def test_a_program_that_dies_is_started_again(tmp_path):
    """Those that wait for a second or two wait at the same time."""
    told = supervised(tmp_path, "told", "kill,key,7,0", 5)
    bug = supervised(tmp_path, "bug", "key,key,0", 5)
    spent = supervised(tmp_path, "spent", "index,kill,0", 1)
    stopped = supervised(tmp_path, "stopped", "stop,0", 1)
    out, err, status = end(told)
    assert (out.split(), status) == (["kill", "key", "7"], 7)
    assert "holdfast: died: killed by SIGKILL; starts again in 1 s (1 of 5)\n" in err
    assert "holdfast: died: KeyError: 1 (train.py:11); starts again in 2 s (2 of 5)\n" in err
    deaths = events(tmp_path / "runs" / "told", ProgramDied)
    assert [death.reason for death in deaths] == ["killed by SIGKILL", "KeyError: 1"]
    assert len(events(tmp_path / "runs" / "told", ProgramEnded)) == 1

    out, err, status = end(bug)
    assert (out.split(), status) == (["key", "key"], 1)
    assert err.count("Traceback (most recent call last):\n") == 2
    assert err.endswith(
        "holdfast: died: KeyError: 1 (train.py:11), twice at the same position; not started again\n"
    )

    out, err, status = end(spent)
    assert (out.split(), status) == (["index", "kill"], -signal.SIGKILL)
    assert err.endswith("holdfast: died: killed by SIGKILL; not started again (1 of 1)\n")

    # Somebody stopped the training, but not the process that watches it.
    out, err, status = end(stopped)
    assert (out.split(), status) == (["stop", "0"], 0)
    said = "holdfast: died: stopped by SIGTERM (train.py:16); starts again in 1 s (1 of 1)\n"
    assert err == said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_the_program_well_and_for_good(number, heeding, tmp_path):
    process = supervised(tmp_path, "it", "wait,0", 3)
    for line in ("wait\n", "ready\n"):
        assert process.stdout.readline() == line
    process.send_signal(number)
    out, err, status = end(process)
    passed_on = signal.SIGTERM if number == signal.SIGHUP else number
    assert (out, err, status) == ("told\nsaved\n", "", 128 + passed_on)


def test_a_signal_ends_the_waiting(tmp_path):
    process = supervised(tmp_path, "it", "kill,0", 3)
    assert "starts again" in process.stderr.readline()
    began = time.monotonic()
    process.terminate()
    assert end(process) == ("kill\n", "", -signal.SIGTERM)
    assert time.monotonic() - began < 0.8


def test_ctrl_c_reaches_the_program_once(heeding, tmp_path):
    write(tmp_path / "train.py", DIES)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        words = [*HOLDFAST, "--restarts", "3", "train.py", "lives", "wait,0"]
        os.execv(words[0], words)
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(process, 0)
    said += os.read(terminal, 1000)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT
    assert said.count(b"told") == said.count(b"saved") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system has nothing for it")
def test_no_program_outlives_the_process_that_watches_it(tmp_path):
    process = supervised(tmp_path, "it", "wait,0", 3)
    for line in ("wait\n", "ready\n"):
        assert process.stdout.readline() == line
    process.kill()
    # Both have its end of the pipe.
    assert end(process)[0] == ""
    (started,) = events(tmp_path / "runs" / "it", ProgramStarted)
    wait_for(lambda: not Path(f"/proc/{started.pid}").exists())


def test_what_was_done_is_moved_aside_at_the_first_start_alone(tmp_path):
    write(tmp_path / "train.py", DIES)
    peek_hash_seed(tmp_path / "runs" / "train", str(tmp_path / "train.py"), named=False)
    words = [*HOLDFAST, "--fresh", "--restarts", "2", "train.py", "lives", "kill,0"]
    out, err, status = run(words, tmp_path)
    assert (out.split(), status) == (["kill", "0"], 0)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["train", "train.old-1"]
    assert err.count("is now in") == 1


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    write(tmp_path / "here" / "train.py", "print('trained')")
    write(tmp_path / "there" / "train.py", "print('trained')")
    write(tmp_path / "runs" / "mine" / "notes.txt", "precious")
    for words in (("--name", "mine"), ("--fresh", "--name", "mine")):
        _, err, status = run([*HOLDFAST, *words, "here/train.py"], tmp_path)
        assert (status, "has notes.txt in it" in err) == (1, True)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine"]
    assert [path.name for path in (tmp_path / "runs" / "mine").iterdir()] == ["notes.txt"]
    # Another script of the same name would be taken for the first one, changed.
    assert run([*HOLDFAST, "here/train.py"], tmp_path)[2] == 0
    _, err, status = run([*HOLDFAST, "there/train.py"], tmp_path)
    assert status == 1
    assert "is that of here/train.py" in err
    for name in ("other", "train"):
        assert run([*HOLDFAST, "--name", name, "there/train.py"], tmp_path)[2] == 0


def test_nobody_hears_what_is_said_and_the_program_goes_on(tmp_path):
    write(tmp_path / "train.py", "from holdfast.compat.old import say\nsay('it')\nprint('on')")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*HOLDFAST, "train.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert done.stdout == b"on\n"


def test_the_wait_grows_until_the_training_gets_further():
    stuck, further, next_call = (ProgramDied(0.0, "", "", *at) for at in ((1, 8), (1, 9), (2, 0)))
    assert next_delay(0, stuck, None) == 1
    delays = [1]
    for _ in range(8):
        delays.append(next_delay(delays[-1], stuck, stuck))
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert next_delay(60, further, stuck) == 1
    assert next_delay(60, next_call, further) == 1
    assert next_delay(4, stuck, further) == 8


def test_worker_processes_know_older_names(tmp_path):
    """They import the program again, and so what it imports."""
    write(
        tmp_path / "train.py",
        """
        import multiprocessing
        from tensorflow.keras.utils import to_categorical

        class Images:
            labels = [0, 2]

        def prepare(images):
            return to_categorical(images.labels, 3).tolist()

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(prepare, [Images()]))
        """,
    )
    out, err, status = launch(tmp_path, "train.py")
    assert status == 0, err
    assert out == "[[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]\n"
    assert err.count("holdfast: train.py:3: tensorflow.keras") == 1


def test_workers_of_a_fork_server_import_the_program_with_older_names_in_place(tmp_path):
    """Whatever it is to import before; here without Keras, which takes its time."""
    write(
        tmp_path / "train.py",
        """
        import multiprocessing, sys

        FINDERS = {type(finder).__module__ for finder in sys.meta_path}

        def prepare(number):
            return number + 1, __name__, "holdfast.compat.imports" in FINDERS

        if __name__ == "__main__":
            multiprocessing.set_forkserver_preload(["__main__", "json"])
            with multiprocessing.get_context("forkserver").Pool(1) as pool:
                print(pool.map(prepare, [1]))
        """,
    )
    expected = ("[(2, '__mp_main__', True)]\n", "", 0)
    assert launch(tmp_path, "train.py") == expected


def test_an_ordinary_program_behaves_as_under_python(tmp_path):
    words = [str(PROGRAMS / "ordinary.py"), "--need", "1.1", "--folder"]
    plain = start([sys.executable, *words, "plain"], tmp_path)
    kept = start([*HOLDFAST, *words, "kept"], tmp_path)
    out, err, status = end(plain)
    assert status == 3, err
    again, said, _ = end(kept)
    assert again == out
    assert out.startswith("5 epochs, loss 0.")
    of_the_program = [line for line in err.splitlines() if " digits: " in line]
    assert len(of_the_program) == 2
    assert [line for line in said.splitlines() if " digits: " in line] == of_the_program
    assert kept.returncode == 3
    for folder in ("plain", "kept"):
        assert (tmp_path / folder / "curves.png").stat().st_size > 10_000
        assert (tmp_path / folder / "digits.keras").is_file()
    assert (tmp_path / "runs" / "ordinary" / "1-digits").is_dir()


def test_workers_of_a_program_that_enables_by_itself(tmp_path):
    """They import the program, and with it the line that enables."""
    text = """
        import multiprocessing
        import holdfast

        holdfast.enable()

        def double(number):
            return 2 * number

        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                print(pool.map(double, [1, 2]))
    """
    write(tmp_path / "train.py", text)
    for words in ([sys.executable], HOLDFAST):
        assert run([*words, "train.py"], tmp_path)[0] == "[2, 4]\n"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["train"]
