"""What all tests share: JAX unless another backend is set, a cache of programs, real digits."""

import multiprocessing
import os
import shutil
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# Before anything imports keras or jax, here or in the child processes of tests.
_CACHE = tempfile.TemporaryDirectory(prefix="holdfast-tests-")
os.environ["HOLDFAST_CACHE"] = _CACHE.name
os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

pytest.register_assert_rewrite("tiny_training")


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's handwritten digits: (1797, 8, 8, 1) from 0 to 1, and their classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1), y.astype("int32")


@pytest.fixture
def blobs():
    """A small problem: 44 samples of 6 numbers in 3 classes; batches of 8 leave a partial one."""
    random = np.random.default_rng(5)
    y = random.integers(0, 3, 44).astype("int32")
    return (random.normal(size=(44, 6)) + y[:, None]).astype("float32"), y


@pytest.fixture
def memory():
    """A directory in memory, where there is one: for tests that are not about a real disk."""
    shared = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    yield root
    shutil.rmtree(root)


@pytest.fixture
def bare():
    """Calls a function in a new process that has nothing but what the function needs.

    It may fork: no other thread is there.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *given: pool.submit(function, *given).result()


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """What the tiny training ends with when nobody interrupts it."""
    from tiny_training import oracle

    return oracle(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def heeding():
    """Signals reach what is started, though the tests may run where they are ignored (nohup)."""
    before = {
        number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGINT)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
