"""A soak: real trainings, killed with SIGKILL at random moments of all they do, again and again.

Owns the killing, what must hold after each kill and at a training's end, and the counting. Leaves
the moments to `lives`, the trainings to programs/soaked, and what is told of it to bench/soak.py.

Every life is a new Python process, on the same directory as the one before it until the training
ends; then it is compared with the oracle, which was never killed, and a new training begins. Lives
differ in what must not matter: how often a checkpoint is taken, which are kept, whether a callback
looks at every batch, whether compiled programs are there.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field

import h5py
import numpy as np
from lives import FILES, PHASES, PROGRAMS, WRITER, Board, Life, SoakError

import holdfast
from holdfast.events import CheckpointCommitted, CheckpointFailed, RolledBack
from holdfast.types import Position

TRAININGS = ("dense", "conv", "rollback")
# Files of these are Holdfast's: whole at any moment.
OWN_FILES = ("dense", "rollback")

NEVER = threading.Event()


@dataclass
class Found:
    """What came of a soak.

    Args:
        kills: how many there were.
        phases: by what the program was doing when it was killed.
        beside: by what a thread was doing beside it.
        operations: how many came at, within or right after an operation on the disk.
        cold: how many came in a life that found nothing compiled.
        halves: how many left a file half written, or one that nobody needs any more.
        ended: trainings that ended as the one never killed, by program.
    """

    kills: int = 0
    phases: Counter = field(default_factory=Counter)
    beside: Counter = field(default_factory=Counter)
    operations: int = 0
    cold: int = 0
    halves: int = 0
    ended: Counter = field(default_factory=Counter)

    def to_json(self):
        return {
            "kills": self.kills,
            "phases": {name: self.phases[name] for name in PHASES},
            "beside": {name: self.beside[name] for name in (*WRITER[1:], *FILES[1:])},
            "operations": self.operations,
            "cold": self.cold,
            "halves": self.halves,
            "ended": dict(self.ended),
        }


class Training:
    """One training and its directory, over all its lives.

    Args:
        folder: where its files go.
        program: which one.
        data: the file of its samples.
        oracle: what it must end with, or None where this is the oracle.
    """

    def __init__(self, folder, program, data, oracle=None):
        folder.mkdir(parents=True)
        self.folder = folder
        self.program = program
        self.kills = 0
        self.result = None
        self.board = None
        self._data = data
        self.oracle = oracle
        self.run = holdfast.Run(folder / "run")
        self._newest, self._read = Position(), 0
        self._halves = set()
        self._board = folder / "board"
        self._output, self._errors = folder / "output.txt", folder / "errors.txt"

    def live(self, life, cache, stopped=NEVER):
        """Begin a life, end it, and look at what it left.

        Returns whether it was killed; `board` is as it was then. Killed or at its end, what must
        hold is checked.

        Args:
            life: how to live, and when to die.
            cache: the directory of compiled programs.
            stopped: an event that ends all lives.

        Raises:
            SoakError: something does not hold.
        """
        board = self.board = Board(self._board, new=True)
        options = {"program": self.program, "data": str(self._data), **life.options}
        command = [sys.executable, str(PROGRAMS / "soaked.py"), str(self.folder)]
        with self._output.open("w") as output, self._errors.open("w") as errors:
            child = subprocess.Popen(
                [*command, json.dumps(options), str(self._board)],
                stdout=output,
                stderr=errors,
                # Ctrl-C is for the soak, which then kills what lives.
                process_group=0,
                env={**os.environ, "KERAS_BACKEND": "jax", "HOLDFAST_CACHE": str(cache)},
            )
            try:
                struck = life.wait(child, board, stopped)
            finally:
                child.kill()
                child.wait()
        killed = child.returncode == -signal.SIGKILL
        if stopped.is_set():
            return killed
        if not killed:
            self.check_ended(child.returncode)
        elif not struck and "kill" not in life.options:
            raise SoakError("the program was killed, and not by the soak: is memory short?")
        else:
            self.kills += 1
            self.check_killed()
        return killed

    def left_halves(self):
        """Return whether a file is not whole, or needed no more, that was not so a life before."""
        found = set(self.folder.rglob("*.tmp"))
        if self.run.status != "new":
            removed = self.run.prune(dry_run=True).removed
            found.update(path for path in removed if path.suffix != ".json")
        left, self._halves = bool(found - self._halves), found
        return left

    def check_killed(self):
        """Raise what a kill has harmed: nothing that was committed may be lost."""
        try:
            status, position = self.run.status, self.run.position
            events = self.run.journal().events
            findings = self.run.verify().findings if status != "new" else ()
        except Exception as error:
            raise SoakError(f"after a kill the run cannot be read: {error!r}") from error
        if status not in ("new", "interrupted", "finished"):
            raise SoakError(f"after a kill the run should be interrupted, found {status}")
        for event in events[self._read :]:
            if isinstance(event, CheckpointFailed):
                raise SoakError(f"a checkpoint could not be written: {event.error}")
            if isinstance(event, CheckpointCommitted):
                self._newest = max(self._newest, event.position)
            if isinstance(event, RolledBack):
                self._newest = min(self._newest, event.to)
        if position < self._newest:
            raise SoakError(f"{self._newest} was committed, and the run stands at {position}")
        if findings:
            raise SoakError(f"after a kill verify finds: {'; '.join(map(str, findings))}")
        self._newest, self._read = position, len(events)
        if self.program in OWN_FILES:
            for path in self.folder.iterdir():
                _check_file(path)

    def check_ended(self, code):
        """Raise what is not as in the training that was never killed."""
        if code:
            raise SoakError(
                f"the program ended with status {code}:\n{self._errors.read_text()[-4000:]}"
            )
        self.result = json.loads(self._output.read_text().splitlines()[-1])
        self._check_files()
        run = self.run
        if run.status != "finished":
            raise SoakError(f"at the training's end its run is {run.status}")
        if run.digest() != self.result["digest"]:
            raise SoakError(f"the digest was {self.result['digest']} and is {run.digest()}")
        if findings := run.verify().findings:
            raise SoakError(f"at the training's end verify finds: {'; '.join(map(str, findings))}")
        if left := [*run.path.rglob("*.tmp")]:
            raise SoakError(f"at the training's end there is still {left[0].name}")
        compare(self.oracle or self.result, self.result)

    def _check_files(self):
        """A file of the best model is as good as the best epoch's report."""
        files = self.result["files"].values()
        if files:
            best = min(item["val_loss"] for item in files)
            reported = min(self.result["history"]["val_loss"])
            if abs(best - reported) > 1e-5 * (1 + reported):
                raise SoakError(f"the best file has val_loss {best}, the best epoch had {reported}")


def compare(oracle, result):
    """Raise what a training ended with other than the one that was never killed."""
    found = []
    for name in {**oracle, **result}:
        # NaN is not equal to itself.
        expected, other = repr(oracle.get(name)), repr(result.get(name))
        if expected != other:
            same = (a == b for a, b in zip(expected, other, strict=False))
            at = next((n for n, equal in enumerate(same) if not equal), len(expected))
            show = slice(max(0, at - 60), at + 60)
            found.append(f"{name} should be …{expected[show]}…, found …{other[show]}…")
    if found:
        raise SoakError("\n".join(found))


def _check_file(path):
    """Raise what of a model's file cannot be read."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as file:
                damaged = file.testzip()
            if damaged:
                raise SoakError(f"after a kill {damaged} in {path.name} is not what was written")
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                file.visititems(_read)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise SoakError(f"after a kill {path.name} cannot be read: {error!r}") from error


def _read(_, item):
    if isinstance(item, h5py.Dataset):
        item[()]


class Soak:
    """Kills trainings, several at a time, until so many kills or seconds are spent.

    Args:
        folder: where everything goes; made here.
        seed: of all that is chosen.
        kills: how many, or None.
        seconds: after which no more, or None.
        children: how many processes at a time.
        programs: which trainings.
    """

    def __init__(self, folder, seed, *, kills=None, seconds=None, children=2, programs=TRAININGS):
        self.folder = folder
        self.found = Found()
        self.wrong = None
        self._seed = seed
        self._most = kills
        self._seconds = seconds
        self._deadline = float("inf")
        self._children = children
        self._programs = programs
        self._claimed = self._begun = self._cold = 0
        self._oracles = {}
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._data = folder / "digits.npz"

    def run(self, show=lambda: None):
        """Soak; `show` is called about once a second. Returns what was found.

        When no kill is left, what has begun is trained to its end, and that is compared too.

        Raises:
            SoakError: something did not hold. All processes are dead, and the files stay.
        """
        self._deadline = time.monotonic() + (self._seconds or float("inf"))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_digits(self._data)
        self._together(show, [(self._oracle, program) for program in self._programs])
        self._together(show, [(self._work, number) for number in range(self._children)])
        return self.found

    def _together(self, show, tasks):
        """Do some things at a time, as many as there may be children."""
        waiting = iter(tasks)

        def work():
            while not self._stopped.is_set():
                with self._guard:
                    task = next(waiting, None)
                if task is None:
                    return
                try:
                    task[0](task[1])
                except BaseException as error:
                    with self._guard:
                        self.wrong = self.wrong or error
                    self._stopped.set()

        threads = [threading.Thread(target=work) for _ in range(self._children)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(1)
                    show()
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()
        if self.wrong is not None:
            raise self.wrong
        self._stopped.clear()

    def _oracle(self, program):
        training = Training(self.folder / f"oracle-{program}", program, self._data)
        self._live(training, Life({}))
        self._oracles[program] = training.result

    def _work(self, number):
        moments = random.Random(f"{self._seed}/{number}")
        while self._has_kills():
            with self._guard:
                program = self._programs[self._begun % len(self._programs)]
                self._begun += 1
                folder = self.folder / f"{self._begun:04d}-{program}"
            training = Training(folder, program, self._data, self._oracles[program])
            while training.result is None and not self._stopped.is_set():
                if self._claim():
                    life = Life.draw(moments)
                    if not self._live(training, life):
                        with self._guard:
                            self._claimed -= 1
                else:
                    self._live(training, Life({}))
            if training.result is not None:
                with self._guard:
                    self.found.ended[program] += 1
                shutil.rmtree(folder)

    def _live(self, training, life):
        """Have a training live once; returns whether it was killed."""
        if life.cold:
            with self._guard:
                self._cold += 1
        cache = self.folder / f"cache-{self._cold}"
        try:
            killed = training.live(life, cache, self._stopped)
        except SoakError as error:
            error.add_note(f"in {training.folder}, kill {training.kills} of it, {life}")
            raise
        board = training.board
        if killed and not self._stopped.is_set():
            halves = training.left_halves()
            with self._guard:
                found = self.found
                found.kills += 1
                found.phases[board.now()] += 1
                found.beside.update({board.now(1), board.now(2)} - {"nothing"})
                found.operations += "kill" in life.options
                found.cold += life.cold
                found.halves += halves
        board.close()
        return killed

    def _claim(self):
        """Return whether one more kill may be; it is then taken."""
        with self._guard:
            if time.monotonic() > self._deadline or self._claimed == self._most:
                return False
            self._claimed += 1
            return True

    def _has_kills(self):
        with self._guard:
            left = time.monotonic() < self._deadline and self._claimed != self._most
        return left and not self._stopped.is_set()


def write_digits(path):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    np.savez(path, x=(x / 16).astype("float32"), y=y.astype("int32"))
