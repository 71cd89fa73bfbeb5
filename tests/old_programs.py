"""Yesterday's programs under `holdfast run`: started, killed, started again, compared.

The oracle is the same program that nobody killed, in another directory and with the same seeds.
"""

import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

import holdfast
from holdfast.store.layout import is_run

PROGRAMS = Path(__file__).parent / "programs"
HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
KILLS = 10
_ADDRESS = re.compile(rb'"shared_object_id": \d+')
_LABELLED = re.compile(r"(?!Epoch|holdfast)\w[^:━]*: .*")
without_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is not None, reason="TensorFlow is installed: nothing stands in for it"
)


def start(folder, program, *options):
    environment = {
        **os.environ,
        "CHECKPOINTS": "elsewhere",
        "GIVEN_MNIST": str(folder.parent / "mnist.npz"),
        "PYTHONPATH": str(PROGRAMS / "given"),
    }
    folder.mkdir(exist_ok=True)
    (folder / "elsewhere").mkdir(exist_ok=True)
    script = program if isinstance(program, Path) else PROGRAMS / f"{program}.py"
    return subprocess.Popen(
        [HOLDFAST, "run", *options, str(script)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder, program, *options):
    """Let a program come to its end; returns what it printed, and what was said of it."""
    child = start(folder, program, *options)
    output, errors = child.communicate(timeout=240)
    assert child.returncode == 0, errors
    return printed(output), errors


def printed(output):
    """The lines that the program itself printed: a label and a value."""
    return [line for line in output.splitlines() if _LABELLED.fullmatch(line)]


def files(folder):
    """What the program's files hold, without times and orders that formats leave open."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != "runs":
            found[str(name)] = content(path.read_bytes())
    return found


def content(data):
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            names = set(members.namelist()) - {"metadata.json"}  # the time is in it
            return {name: content(members.read(name)) for name in names}
    if data.startswith(b"\x89HDF"):
        found = {}
        with h5py.File(io.BytesIO(data)) as file:

            def visit(name, item):
                found[name] = {key: str(value) for key, value in item.attrs.items()}
                if isinstance(item, h5py.Dataset):
                    array = np.asarray(item)
                    found[name]["array"] = (str(array.dtype), array.shape, array.tobytes())

            visit("/", file)
            file.visititems(visit)
        return found
    return _ADDRESS.sub(b"", data)


def kill_many(folder, program, life, kills=KILLS):
    """Kill a program at random moments of its life, and start it again each time.

    A program that comes to its end before its moment is started again too: then there is nothing
    left to train, and it is killed while it says so.
    """
    seed = time.time_ns() % 2**32
    print("seed", seed)
    moments = random.Random(seed)
    killed = 0
    while killed < kills:
        child = start(folder, program)
        began = time.monotonic()
        try:
            _, errors = child.communicate(timeout=moments.uniform(0, life))
        except subprocess.TimeoutExpired:
            child.kill()
            _, errors = child.communicate()
        if child.returncode == -signal.SIGKILL:
            killed += 1
        else:
            assert child.returncode == 0, errors
            life = time.monotonic() - began


def runs(folder, program):
    """The runs of a program's calls of fit, in the order of the calls."""
    found = [
        path
        for path in (folder / "runs" / program).iterdir()
        if is_run(path) and ".old-" not in path.name
    ]
    return [holdfast.Run(path) for path in sorted(found, key=lambda p: int(p.name.split("-")[0]))]


def seeded(folder, other, program):
    """Make a directory for a program that has the seeds of another directory's."""
    (folder / "runs" / program).mkdir(parents=True)
    seeds = Path("runs") / program / "program.json"
    shutil.copy(other / seeds, folder / seeds)
    return folder


def killed_as_not_killed(program, tmp_path, kills=KILLS):
    """Run a program in peace and then through its kills; returns the directory of the latter."""
    peace = tmp_path / "peace"
    began = time.monotonic()
    expected, _ = finish(peace, program)
    life = time.monotonic() - began
    war = seeded(tmp_path / "war", peace, program)
    kill_many(war, program, life, kills)
    found, _ = finish(war, program)
    assert expected
    assert found == expected
    assert files(war) == files(peace)
    assert [run.digest() for run in runs(war, program)] == [
        run.digest() for run in runs(peace, program)
    ]
    return war
