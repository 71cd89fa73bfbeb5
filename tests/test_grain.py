"""Grain's datasets and loaders: the same batches wherever a training was stopped."""

import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import grain
import keras
import numpy as np
import pytest
from gone_on import goes_on, whole
from turns import at_most

import holdfast
from holdfast import errors
from holdfast.data.grain import GrainSource
from holdfast.testing import restart_at_every_step

PROGRAMS = Path(__file__).parent / "programs"
sys.path.insert(0, str(PROGRAMS))
import grain_workers

KILLS = at_most(2, 10)


class Rows:
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return np.full(3, index / 24, "float32"), np.int32(index % 3)


def rows():
    return grain.MapDataset.source(Rows()).seed(3).shuffle()


def noisy(row, random):
    return row[0] + random.normal(size=3).astype("float32"), row[1]


def globally_noisy(row):
    return row[0] + np.random.normal(size=3).astype("float32"), row[1]


def loader(operations=(), batch_size=4):
    return grain.DataLoader(
        data_source=Rows(),
        sampler=grain.samplers.IndexSampler(24, shuffle=True, seed=1, num_epochs=1),
        operations=[*operations, grain.transforms.Batch(batch_size)],
    )


class ReadsAhead:
    """An operation of Grain's old kind, which keeps rows back: no state knows of them."""

    def __call__(self, records):
        yield from list(records)


DATA = {
    "map": lambda: rows().random_map(noisy).batch(4),
    "map, repeated": lambda: rows().repeat(2).batch(8),
    "map, filtered": lambda: rows().batch(4).filter(lambda batch: batch[1][0] > 0),
    "map, numpy's generator": lambda: rows().map(globally_noisy).batch(8),
    "iterable": lambda: (
        rows().to_iter_dataset().random_map(noisy).filter(lambda row: row[1] > 0).batch(4)
    ),
    "window": lambda: grain.experimental.WindowShuffleIterDataset(
        rows().to_iter_dataset(), window_size=7, seed=1
    ).batch(4),
    "mixed": lambda: grain.IterDataset.mix(
        [rows().to_iter_dataset(), rows().to_iter_dataset().random_map(noisy)], weights=[0.3, 0.7]
    ).batch(6),
    "loader": loader,
    "loader with its own operation": lambda: loader([ReadsAhead()]),
}


@pytest.mark.parametrize("kind", DATA)
def test_goes_on_from_any_place(kind):
    goes_on(lambda: GrainSource(DATA[kind](), name="x"), batches=[0, 2])


def test_what_is_said_before_the_first_step():
    assert GrainSource(DATA["map"](), name="x").sentences() == []
    assert GrainSource(DATA["map, numpy's generator"](), name="x").sentences() == []
    [said] = GrainSource(loader([ReadsAhead()]), name="x").sentences()
    assert "x (a grain.DataLoader) cannot be restored to a place" in said
    threads = rows().map(globally_noisy).to_iter_dataset().batch(4)
    [said] = GrainSource(threads, name="validation_data").sentences()
    assert "validation_data (a grain.IterDataset) gives other values each time" in said


def test_lengths_and_fingerprints():
    sources = {kind: GrainSource(make(), name="x") for kind, make in DATA.items()}
    assert [sources[kind].length for kind in list(DATA)[:4]] == [6, 6, None, 3]
    assert GrainSource(rows().repeat().batch(4), name="x").length is None
    again = {kind: GrainSource(make(), name="x").fingerprint() for kind, make in DATA.items()}
    assert {kind: source.fingerprint() for kind, source in sources.items()} == again
    assert again["map"]["contents"] != again["loader"]["contents"]
    assert "contents" not in again["map, numpy's generator"]


def test_rows_that_take_long_are_read_ahead_and_are_the_same():
    def slow(row):
        time.sleep(0.003)
        return row

    quick = rows().repeat(4)
    source = GrainSource(quick.map(slow).batch(1), name="x")
    assert whole(source) == whole(GrainSource(quick.batch(1), name="x"))
    assert source._pace.ahead
    goes_on(lambda: source, passes=1, batches=[0, 40])


def test_what_is_no_batch_is_refused():
    with pytest.raises(errors.PlanError, match=r"x \(a grain\.MapDataset\) gave a .*first dim"):
        GrainSource(grain.MapDataset.range(5), name="x")
    nothing = rows().to_iter_dataset().filter(lambda row: False).batch(4)
    with pytest.raises(errors.PlanError, match=r"x \(a grain\.IterDataset\) has no batches"):
        GrainSource(nothing, name="x")


def model_of(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("kind", ["map", "loader"])
def test_restarts_at_every_step(kind, memory):
    def make(seed):
        data = loader(batch_size=12) if kind == "loader" else rows().map(globally_noisy).batch(8)
        return {"model": model_of(seed), "x": data, "epochs": 2, "verbose": 0}

    restart_at_every_step(make, memory)


def test_weights_are_those_of_keras(tmp_path):
    data = grain.MapDataset.source(Rows()).batch(4)
    theirs, ours = model_of(1), model_of(1)
    theirs.fit(data, epochs=2, verbose=0)
    holdfast.Run(tmp_path).fit(ours, data, epochs=2, validation_data=data, verbose=0)
    for their, our in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-5)


def test_worker_processes():
    for make in (grain_workers.data, grain_workers.loader):
        source = GrainSource(make(repeats=1), name="x")
        assert not multiprocessing.active_children()
        goes_on(lambda source=source: source, passes=1, batches=[7])
        assert not multiprocessing.active_children()


def test_killed_with_workers(tmp_path):
    def started(path):
        mark = {**os.environ, "HOLDFAST_TEST_MARK": str(tmp_path)}
        command = [sys.executable, str(PROGRAMS / "grain_workers.py"), str(path), "6"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=mark)

    expected = started(tmp_path / "whole").communicate(timeout=60)[0].split()[-1]
    chance = random.Random(4)
    for _ in range(KILLS):
        process = started(tmp_path / "killed")
        process.stdout.readline()
        time.sleep(chance.random() * 0.2)
        process.kill()
        process.communicate()
    found = started(tmp_path / "killed").communicate(timeout=60)[0].split()[-1]
    assert found == expected
    patience = time.monotonic() + 20
    while alive := marked(str(tmp_path)):
        assert time.monotonic() < patience, alive
        time.sleep(0.1)


def marked(mark):
    """Processes that were started with a mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found
