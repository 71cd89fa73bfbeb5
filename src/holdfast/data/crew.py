"""Those who draw batches side by side: threads, or processes.

Owns who draws what, how far ahead, and that none of them is left behind. Leaves what a batch is to
whoever gives them the function to draw by. Batches come in the order of the tasks.

Worker processes are forked, so that they have the user's data set as it is, from a script's
`__main__` too. A forked process must not compute with JAX or TensorFlow, whose threads it lacks.
They end when this process does, however that ends: the kernel kills them on Linux, and elsewhere
they see that the pipe to them is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from holdfast.data.source import Tree
from holdfast.errors import RunError

Task = tuple[int, int, int]
"""Number of the pass, of the batch in it, and the index that it has in the data set."""

Draw = Callable[[int, int, int], Tree]

_AT_ONCE = 2  # tasks a worker has: it need not wait for the next when it is done with one
_GRACE = 1.0
_LONG = 60.0
_SET_PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG

_near_ends: weakref.WeakSet[Any] = weakref.WeakSet()
"""This process's ends of the pipes to all worker processes."""


class Crew(Protocol):
    """Those who draw the batches of some tasks, in order."""

    def draw(self) -> Tree | None:
        """Return the next batch, or None after the last task."""
        ...

    def close(self) -> None:
        """Let them end what they are at, or end them. None of them is there after that."""
        ...


class Threads:
    """Threads of this process, which draw only while they are waited for.

    Whatever they share with this thread, as the global random generators, nobody else uses then.

    Args:
        draw: called in them.
        tasks: what to draw, in order; may have no end.
        workers: how many there are.
        ahead: how many batches may be drawn before they are asked for.
    """

    def __init__(self, draw: Draw, tasks: Iterable[Task], workers: int, ahead: int) -> None:
        self._draw = draw
        self._tasks = iter(tasks)
        # As many for each, so that they come to their end together.
        self._a_round = ahead - ahead % workers or ahead
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="holdfast-data")
        self._drawn: deque[Future[Tree]] = deque()

    @property
    def ready(self) -> bool:
        """Whether the next batch is there."""
        return bool(self._drawn)

    def gather(self) -> None:
        """Have the next batches drawn, and wait for all of them."""
        for task in islice(self._tasks, self._a_round):
            self._drawn.append(self._pool.submit(self._draw, *task))
        wait(self._drawn)

    def draw(self) -> Tree | None:
        """Return the next batch of those gathered."""
        return self._drawn.popleft().result() if self._drawn else None

    def close(self) -> None:
        """Wait until none of them draws any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Processes:
    """Processes forked from this one.

    Args:
        draw: called in them, as it is at the fork.
        tasks, workers, ahead: as for `Threads`.
        kind: what they draw from, in words, for errors.

    `draw` raises what was raised in a worker, with its traceback as the cause, and a `RunError`
    where one died.
    """

    def __init__(
        self, draw: Draw, tasks: Iterable[Task], workers: int, ahead: int, kind: str
    ) -> None:
        self._tasks = iter(tasks)
        self._ahead = ahead
        self._kind = kind
        self._sent = self._next = 0
        self._answers: dict[int, Tree | _Failure] = {}
        self._changed = threading.Condition()
        self._stop, self._stopped = os.pipe()
        self._workers = [_hire(draw) for _ in range(workers)]
        self._collector = threading.Thread(target=self._collect, name="holdfast-data", daemon=True)
        self._collector.start()

    def draw(self) -> Tree | None:
        """Return the next batch, or None after the last task."""
        with self._changed:
            self._feed()
            if self._next == self._sent:
                if next(self._tasks, None) is not None:
                    raise RunError(f"All worker processes that drew from {self._kind} died.")
                return None
            while self._next not in self._answers:
                if not self._changed.wait(_LONG):
                    self._warn()
            answer = self._answers.pop(self._next)
            self._next += 1
            self._feed()
        if isinstance(answer, _Failure):
            raise answer.error
        return answer

    def close(self) -> None:
        """End them: those that draw have a second to come to their batch's end."""
        if not self._workers:
            return
        os.write(self._stopped, b".")
        self._collector.join()
        for end in (self._stop, self._stopped):
            os.close(end)
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
            worker.pipe.close()
        deadline = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._workers.clear()

    def _feed(self) -> None:
        """Give them something to do, as far ahead as may be, the idle first."""
        for under_way in range(_AT_ONCE):
            for worker in self._workers:
                if worker.gone or len(worker.tasks) != under_way:
                    continue
                if self._sent - self._next >= self._ahead:
                    return
                task = next(self._tasks, None)
                if task is None:
                    return
                worker.tasks.append((self._sent, task))
                self._sent += 1
                with contextlib.suppress(OSError):  # it died: the collector sees that
                    worker.pipe.send(task)

    def _collect(self) -> None:
        """Take what they have drawn, in whatever order it comes, until `close`."""
        while True:
            pipes: list[Any] = [worker.pipe for worker in self._workers if not worker.gone]
            ready = multiprocessing.connection.wait([self._stop, *pipes])
            if self._stop in ready:
                return
            for worker in self._workers:
                if worker.pipe in ready:
                    self._take(worker)

    def _take(self, worker: _Worker) -> None:
        answer: Tree | _Failure
        try:
            done, answer = pickle.loads(worker.pipe.recv_bytes())
        except (EOFError, OSError):
            worker.gone = True
            worker.process.join(_GRACE)
        else:
            if not done:
                answer = _Failure(_raised(*answer))
        with self._changed:
            if worker.gone:
                for place, task in worker.tasks:
                    self._answers[place] = _Failure(self._death(worker, task))
                worker.tasks.clear()
            else:
                self._answers[worker.tasks.popleft()[0]] = answer
            self._feed()
            self._changed.notify_all()

    def _death(self, worker: _Worker, task: Task) -> RunError:
        status = worker.process.exitcode
        how = "ended" if status is None or status >= 0 else _named(-status)
        _, batch, index = task
        return RunError(
            f"The worker process {worker.process.pid} that drew batch {batch} of {self._kind} "
            f"(its item {index}) {how}. If memory is short, use fewer workers or a smaller "
            "max_queue_size."
        )

    def _warn(self) -> None:
        for worker in self._workers:
            if worker.tasks and worker.tasks[0][0] == self._next:
                warnings.warn(
                    f"The worker process {worker.process.pid} has been drawing item "
                    f"{worker.tasks[0][1][2]} of {self._kind} for more than {_LONG:.0f} s. If it "
                    "stands still, use threads: use_multiprocessing=False.",
                    stacklevel=4,
                )


@dataclass
class _Worker:
    """A worker process, as its parent sees it. `tasks` it has, each with its place in the order."""

    process: Any
    pipe: Any
    tasks: deque[tuple[int, Task]] = field(default_factory=deque)
    gone: bool = False


@dataclass
class _Failure:
    error: BaseException


class WorkerTraceback(Exception):  # noqa: N818 (a traceback that is shown as a cause)
    """Where an exception was raised, in a worker process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def can_fork() -> bool:
    """Return whether worker processes can be had here."""
    if sys.platform == "darwin" or multiprocessing.current_process().daemon:
        return False
    return "fork" in multiprocessing.get_all_start_methods()


@contextlib.contextmanager
def computing(found: set[str]) -> Iterator[None]:
    """While this lasts, add to `found` which of JAX and TensorFlow this thread computes with.

    Nothing is found where a profiler is at work: there is room for one.
    """
    if sys.getprofile() is not None:
        yield
        return

    def look(frame: Any, event: str, argument: Any) -> None:
        name = frame.f_globals.get("__name__") or ""
        package = name.partition(".")[0]
        # To ask whether something is an array is not to compute.
        if package in ("jax", "tensorflow") and frame.f_code.co_name != "__instancecheck__":
            found.add(package)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)


def _hire(draw: Draw) -> _Worker:
    """Start a worker process."""
    near, far = multiprocessing.Pipe()
    _near_ends.add(near)
    system = ctypes.CDLL(None) if sys.platform == "linux" else None
    process = multiprocessing.get_context("fork").Process(
        target=_work, args=(draw, far, os.getpid(), system), daemon=True
    )
    with warnings.catch_warnings():
        # JAX, and Python from 3.12 on, warn of any fork: these compute with neither.
        warnings.filterwarnings("ignore", category=RuntimeWarning, message=r".*fork")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=r".*fork")
        process.start()
    far.close()
    return _Worker(process, near)


def _work(draw: Draw, pipe: Any, parent: int, system: Any) -> None:
    """Be a worker process."""
    if system is not None:
        system.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it was too late
            os._exit(1)
    # Ctrl-C reaches all processes of a terminal; it is for the training to end its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # what was garbage in the parent may belong to threads that are not here
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    for other in _near_ends:  # else these pipes were open still when the parent is gone
        other.close()
    with contextlib.suppress(EOFError, OSError):  # this process is not needed any more
        while (task := pipe.recv()) is not None:
            pipe.send_bytes(_answer(draw, task))


def _answer(draw: Draw, task: Task) -> bytes:
    try:
        return pickle.dumps((True, draw(*task)), protocol=5)
    except BaseException as error:
        told = "".join(traceback.format_exception(error))
        try:
            whole = pickle.dumps(error)
            pickle.loads(whole)
        except Exception:
            whole = pickle.dumps(RuntimeError(f"{type(error).__qualname__}: {error}"))
        return pickle.dumps((False, (whole, told)))


def _raised(whole: bytes, told: str) -> BaseException:
    error: BaseException = pickle.loads(whole)
    error.__cause__ = WorkerTraceback(told)
    return error


def _named(number: int) -> str:
    try:
        return f"was killed by {signal.Signals(number).name}"
    except ValueError:
        return f"was killed by signal {number}"
