"""Promises 1 and 2, at every operation on the disk: SIGKILL before, within and after each.

The training is made with the store alone (tiny_training): it is killed at the k-th operation, for
every k until a whole training completes; after each kill all that was promised is there, and the
training goes on to the same end.
"""

import os
import random
import shutil
import signal
import time
import traceback

from tiny_training import EVERY, STOP, Course, check, train
from turns import at_most

from holdfast.store import disk
from holdfast.store.faults import Faults
from holdfast.store.layout import Layout
from holdfast.store.prune import Pruner

MOMENTS = ("before", "within", "after")


class Telling(Course):
    """Promises that outlive the process: a line each in a file that the switch knows nothing of."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def promise(self, state, *, ended=False):
        with self.path.open("a") as file:
            file.write(f"{state.rollbacks} {state.total} {int(ended)}\n")


def promised(told):
    """The newest promise: what came after a rollback counts, not what it undid."""
    if not told.exists():
        return None
    return tuple(map(int, told.read_text().splitlines()[-1].split()))


def lives(number, when, work, *arguments):
    """Fork, and do `work` in the child, killed at an operation; returns whether it lived."""
    child = os.fork()
    if not child:
        disk.switch = Faults(kill=(number, when))
        try:
            work(*arguments)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"it ended with {status}"
    return status == 0


def whole(root, told):
    """A training that is stopped and goes on."""
    train(root, Telling(told), stop=STOP)
    train(root, Telling(told))


def sweep(place, expected):
    """Kill a training at each operation, and look after each; returns how many there are."""
    number = 0
    while True:
        number += 1
        for when in MOMENTS:
            root, told = place / f"run-{number}-{when}", place / f"told-{number}-{when}"
            lived = lives(number, when, whole, root, told)
            try:
                check(root, expected, promised(told))
            except Exception as error:
                error.add_note(f"killed {when} operation {number}")
                raise
            if lived:
                return number - 1
            shutil.rmtree(root)


def relay(place, expected, seed):
    """Kill attempts at a run again and again, and look after each such row."""
    moments = random.Random(seed)
    for trial in range(at_most(20, 60)):
        root, told = place / f"run-{trial}", place / f"told-{trial}"
        kills = []
        while len(kills) < 60:
            kills.append((moments.randint(1, 30 + 2 * len(kills)), moments.choice(MOMENTS)))
            if lives(*kills[-1], train, root, Telling(told)):
                break
        try:
            check(root, expected, promised(told))
        except Exception as error:
            error.add_note(f"killed at {kills}")
            raise
        shutil.rmtree(root)


def unpruned(root):
    """A training that never comes to pruning, and dies between its final commit and its end."""

    def follow(self, *, newest, final):
        if final:
            os.kill(os.getpid(), signal.SIGKILL)

    Pruner.follow = follow
    train(root)


def killed_unpruned(root, expected):
    assert not lives(1 << 30, "before", unpruned, root)
    assert len(Layout(root).manifests()) > len(expected.states) / EVERY
    check(root, expected, None)


def test_killed_before_the_last_pruning(bare, memory, expected):
    bare(killed_unpruned, memory / "run", expected)


def test_killed_at_every_operation(bare, memory, expected):
    assert bare(sweep, memory, expected) > 150


def test_killed_again_and_again(bare, memory, expected):
    """Lives so short that each is spent on what the one before has left."""
    seed = time.time_ns() % 2**32
    print("seed", seed)
    bare(relay, memory, expected, seed)
