"""The corpus of old files, and what each library makes of it: which files, in which processes.

Owns the list of files, the processes with a limit of time for each file, and the counts. Leaves
opening a file to `opens.py`.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import environments
import racing
from racing import Contender

HERE = Path(__file__).parent
CORPUS = HERE.parent.parent / "tests" / "corpus"
WHOLE = ("h5", "keras", "keras_windows", "saved_model", "saved_model_1")
WEIGHTS = (
    "checkpoint",
    "h5_weights",
    "weights_h5",
    "weights_json",
    "name_checkpoint",
    "name_checkpoint_v1",
)
# Theano padded the borders of images as no other backend does.
_THEANO = ("keras-1.2.2-theano/conv_lstm_tf", "keras-1.2.2-theano/conv_lstm_th")
SEED = 9
A_PROCESS = 120
"""How many files one process opens: what it costs to start one is then small."""
SECONDS = 60
"""How long a process may be silent: a file takes less than a second."""

Job = dict[str, Any]


def jobs(folder: Path, every: int) -> list[Job]:
    """Unpack the corpus into `folder` and return its files, one of `every` of each age and format.

    They are drawn by a fixed seed, and of each age and format there is one at least. The other
    formats of their models are there too: a model's weights need its whole.
    """
    found = []
    for manifest in ("", "old"):
        into = folder / (manifest or "new")
        _unpack(CORPUS / manifest / "files", into)
        records = json.loads((CORPUS / manifest / "corpus.json").read_text(encoding="utf-8"))
        found += [job for record in records for job in _jobs(record, into)]
    order = random.Random(SEED).sample(range(len(found)), len(found))
    seen: Counter[tuple[str, str]] = Counter()
    chosen = []
    for place in order:
        job = found[place]
        kind = (job["age"], job["form"])
        if seen[kind] % every == 0:
            chosen.append(job)
        seen[kind] += 1
    return sorted(chosen, key=lambda job: (job["age"], job["name"], job["form"]))


def _unpack(packed: Path, into: Path) -> None:
    for path in sorted(packed.glob("*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(into)
        elif path.suffix == ".xz":
            with tarfile.open(path) as archive:
                archive.extractall(into, filter="data")


def _jobs(record: dict[str, Any], folder: Path) -> list[Job]:
    name, age = record["name"], record.get("age", "keras-2.15.0")
    paths = {
        form: str(folder / path)
        for form, path in record["formats"].items()
        if isinstance(path, str)
    }
    buildable = bool(set(paths) & {*WHOLE, "json"})
    forms = [form for form in paths if form in WHOLE or (form in WEIGHTS and buildable)]
    if record.get("saved_model_traces") is False:
        # The corpus has no room for all graphs; the files that people have do hold theirs.
        forms = [form for form in forms if form != "saved_model"]
    common = {
        "name": name,
        "age": age,
        "paths": paths,
        "io": str(folder / name / "io.npz"),
        "inputs": record.get("inputs", "single"),
        "outputs": record.get("outputs", "single"),
        "tolerance": record["tolerance"],
        "refused": bool(record.get("refused")) or name in _THEANO,
        # Keras 1 does not say in its files how its kernels lie.
        "kernels": record.get("backend") if age.startswith(("keras-0", "keras-1")) else None,
    }
    return [{**common, "form": form} for form in forms]


def tried(part: str, contenders: dict[str, Contender], chosen: list[Job]) -> dict[str, list[str]]:
    """Return what each contender makes of each file, in their order.

    As many processes at a time as there are cores: what is asked is what opens, not how fast.
    """
    parts = [chosen[i : i + A_PROCESS] for i in range(0, len(chosen), A_PROCESS)]
    work = [(name, some) for some in parts for name in contenders]
    done: Counter[str] = Counter()

    def one(task: tuple[str, list[Job]]) -> list[str]:
        name, some = task
        said = _in_processes(contenders[name], some)
        for place, word in enumerate(said):
            if word == "differs":
                # Not for what a file before it has left in the process.
                said[place] = _in_processes(contenders[name], [some[place]])[0]
        done[name] += len(some)
        words = ", ".join(f"{who} {count}" for who, count in done.items())
        racing.tell(part, f"files opened, of {len(chosen)}: {words}")
        return said

    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        answers = list(workers.map(one, work))
    found: dict[str, list[str]] = {name: [] for name in contenders}
    for (name, _), said in zip(work, answers, strict=True):
        found[name] += said
    return found


def _in_processes(contender: Contender, some: list[Job]) -> list[str]:
    """Return what a contender says of files, in a new process after each that ends one."""
    said: list[str] = []
    while len(said) < len(some):
        with tempfile.TemporaryDirectory(prefix="bench-files-") as folder:
            more, end = _in_one(contender, some[len(said) :], Path(folder))
        said += more
        if len(said) < len(some):
            said.append(end)
    return said


def _in_one(contender: Contender, some: list[Job], folder: Path) -> tuple[list[str], str]:
    """Return what one process says of files until it ends, and what it ended of."""
    asked, results = folder / "jobs.json", folder / "results"
    asked.write_text(json.dumps(some))
    results.touch()
    command = [environments.python(contender.environment), str(contender.program)]
    process = subprocess.Popen(
        [*command, *contender.arguments, str(asked), str(results)],
        env=racing.environment_of(contender),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    size, since, end = 0, time.monotonic(), ""
    while process.poll() is None:
        time.sleep(0.1)
        if results.stat().st_size != size:
            size, since = results.stat().st_size, time.monotonic()
        elif time.monotonic() - since > SECONDS:
            end = f"hangs: for {SECONDS} s"
            process.kill()
            process.wait()
    lines = results.read_text().splitlines()
    return [json.loads(line) for line in lines], end or f"crashes: exit {process.returncode}"


def committed() -> dict[str, dict[str, int]]:
    """Return the counts of the verdicts on the whole corpus that lie beside it."""
    found = {}
    for who, file in (("holdfast", "holdfast.json"), ("keras", "plain_keras.json")):
        said = json.loads((CORPUS / file).read_text(encoding="utf-8"))
        words = [word.partition(":")[0] for kinds in said.values() for word in kinds.values()]
        found[who] = dict(Counter(words))
    return found
