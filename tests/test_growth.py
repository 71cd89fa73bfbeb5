"""Long lives: what grows with a run's epochs and checkpoints, and what must not."""

import math
import tracemalloc
from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest
from tiny_run import TinyRun, make_run

import holdfast
from holdfast.callbacks.history import History
from holdfast.events import AttemptStarted, EpochEnded, RolledBack, Stopped
from holdfast.state import rows as rows_module
from holdfast.state.rows import BLOCK, Rows
from holdfast.store import journal, prune
from holdfast.store.checkpoints import load_arrays, load_newest
from holdfast.store.journal import Journal
from holdfast.store.prune import Pruner
from holdfast.types import Position


def epoch_ended(epoch):
    return EpochEnded(1.0, epoch, 10 * (epoch + 1), {"loss": 1 / (epoch + 1), "val_loss": 0.5})


def long_journal(path, count):
    """A journal of some attempts and so many epochs."""
    log = Journal(path, journal.read(path))
    for attempt in (1, 2):
        position = Position((attempt - 1) * count, 0, 0)
        log.append(AttemptStarted(1.0, attempt, position, log.size, 9, "fused", "jax", "here", 5))
        for epoch in range(count // 2):
            log.append(epoch_ended((attempt - 1) * (count // 2) + epoch))
    log.append(Stopped(1.0, Position(count, 0, 10 * count), 15))
    log.close()
    return path


def peak(function):
    function()  # what is made once is made
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reading", [journal.read, journal.skim])
def test_reading_a_journal_takes_no_more_memory_for_a_longer_one(tmp_path, reading):
    def look(path):
        record = reading(path)
        assert len(list(record.lived(AttemptStarted))) == 2
        assert isinstance(next(record.newest(Stopped)), Stopped)
        assert sum(1 for _ in record.of(EpochEnded)) >= 2000
        assert record.damaged == ()

    short = long_journal(tmp_path / "short.jsonl", 2_000)
    long = long_journal(tmp_path / "long.jsonl", 20_000)
    assert long.stat().st_size > 1_500_000
    assert peak(lambda: look(long)) < peak(lambda: look(short)) + 20_000


@pytest.mark.parametrize("block", [1, 7, 64, 1000, 1 << 16])
def test_a_journal_is_read_backwards_as_forwards(tmp_path, monkeypatch, block):
    monkeypatch.setattr(journal, "_BLOCK", block)
    path = long_journal(tmp_path / "journal.jsonl", 20)
    with path.open("ab") as file:
        file.write(b"{not a line}\n" + b" " * 150 + b"\n\n")
        file.write(journal.encode(replace(epoch_ended(20), logs={"x" * 500: 1.0}).to_json()))
        file.write(b'{"event":"epoch_ended"')
    record = journal.read(path)
    assert len(record.damaged) == 1
    assert len(record.events) == 24
    assert list(record.newest()) == list(record.lived())[::-1]
    last = next(record.newest(EpochEnded))
    assert last.epoch == 20


ODD = {
    "loss": math.nan,
    "worst": -math.inf,
    "rate": np.float32(0.1),
    "count": 3,
    "name": 'a "$name",\n of two lines',
    "table": np.arange(6, dtype="int16").reshape(2, 3),
    "$pair": (1, [2.5, None]),
}


def odd_rows(count):
    return [(n, {**ODD, "n": n / 7} if n % 500 == 3 else {"loss": n / 7}) for n in range(count)]


def held(rows, count):
    """What a snapshot of the first `count` rows holds."""
    return [(item.name, item.dtype, item.shape, bytes(item.data)) for item in rows.to_arrays(count)]


def assert_same(found, expected):
    assert repr(list(found)) == repr(list(expected))


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 200])
def test_rows_are_exact_after_any_number_of_epochs(count):
    expected = odd_rows(count)
    rows = Rows(expected)
    assert len(rows) == count
    assert_same(rows, expected)
    if count:
        assert_same([rows[0], rows[-1], *rows[-3:]], [expected[0], expected[-1], *expected[-3:]])
    again = Rows.from_arrays(count, {item.name: item for item in rows.to_arrays(count)})
    assert_same(again, expected)
    for epoch, logs in odd_rows(count + 600)[count:]:
        rows.append(epoch, logs)
        again.append(epoch, logs)
    assert_same(again, odd_rows(count + 600))
    # A snapshot that is written later holds the rows of its moment, to the byte.
    for then in (count, count + 1, count + 600):
        assert held(rows, then) == held(again, then) == held(Rows(odd_rows(then)), then)


def test_rows_are_a_sequence():
    rows = Rows([(0, {"loss": 1.0}), (1, {"loss": 0.5})])
    assert rows == [(0, {"loss": 1.0}), (1, {"loss": 0.5})]
    assert rows != [(0, {"loss": 1.0})]
    assert dict(rows)[1] == {"loss": 0.5}
    with pytest.raises(IndexError):
        rows[2]


def test_a_checkpoint_after_many_epochs_writes_few_bytes(tmp_path):
    rows = Rows((n, {"loss": n / 7, "val_loss": n / 3}) for n in range(5_000))
    layout = make_run(tmp_path / "run")
    written = []
    with TinyRun(layout.root) as run:
        for count in (5_000, 5_001):
            before = sum(path.stat().st_size for path in layout.all_packs())
            manifest = run.commit(count, rows.to_arrays(count), state={"history": count})
            packs = sum(path.stat().st_size for path in layout.all_packs()) - before
            written.append(packs + layout.manifest(count, final=False).stat().st_size)
            rows.append(count, {"loss": 0.5, "val_loss": 0.5})
    whole = sum(len(item.data) for item in rows.to_arrays(5_001))
    assert written[0] > whole
    # The rows since the last full block, and what names the others.
    assert written[1] < whole * (5_001 % BLOCK) / 5_001 + 5_000
    arrays = {item.name: item for item in load_arrays(layout, manifest)}
    assert Rows.from_arrays(5_001, arrays) == rows[:5_001]


def test_a_checkpoint_knows_each_row_by_its_sum(tmp_path):
    digests = set()
    for loss in (0.5, 0.25, math.nan):
        with TinyRun(tmp_path / f"run {loss}") as run:
            rows = Rows([(0, {"loss": loss}), (1, {"loss": 1.0})])
            digests.add(run.commit(20, rows.to_arrays(2), state={"history": 2}).digest())
    assert len(digests) == 3


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of 3 epochs: a training of a few has what a long one has."""
    monkeypatch.setattr(rows_module, "BLOCK", 3)


def fit(path, epochs, callbacks=(), **more):
    keras.utils.set_random_seed(2)
    x = np.random.default_rng(1).normal(size=(64, 5)).astype("float32")
    x[24:32] = more.pop("planted", x[24:32])
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    run = holdfast.Run(path)
    history = run.fit(
        model, x, x.sum(axis=1, keepdims=True), batch_size=8, epochs=epochs, verbose=0,
        callbacks=list(callbacks), every=holdfast.Every(epochs=1), **more,
    )  # fmt: skip
    return run, history


@pytest.mark.usefixtures("short_blocks")
def test_a_run_that_goes_on_again_and_again_has_the_history_of_one_that_did_not(tmp_path):
    whole, expected = fit(tmp_path / "whole", 8)
    for epochs in (1, 3, 7, 8):
        run, history = fit(tmp_path / "run", epochs)
        assert history.epoch == list(range(epochs))
        assert history.history["loss"] == expected.history["loss"][:epochs]
        assert history.rows == expected.rows[:epochs]
    assert run.digest() == whole.digest()
    manifest, _, _ = load_newest(run._layout, final=True)
    blocks = [item.name for item in manifest.arrays if item.name.startswith("history/")]
    assert blocks == ["history/0000", "history/0001", "history/0002"]


@pytest.mark.usefixtures("short_blocks")
def test_a_rollback_leaves_each_epoch_in_the_history_once(tmp_path):
    given = {"shuffle": False, "planted": 1e20}
    run, history = fit(tmp_path / "run", 5, [holdfast.Rollback(every=3, most=9)], **given)
    back = list(run.journal().lived(RolledBack))
    assert [event.position.epoch for event in back] == [0, 1, 2, 3, 4]
    assert history.epoch == [0, 1, 2, 3, 4]
    recorded = [(event.epoch, event.logs) for event in run.journal().lived(EpochEnded)]
    assert history.rows == recorded
    _, again = fit(tmp_path / "run", 5, [holdfast.Rollback(every=3, most=9)], **given)
    assert again.rows == recorded


def test_a_history_that_goes_back_has_no_more_than_was_there():
    rows = Rows(odd_rows(BLOCK + 30))
    for count in (BLOCK + 7, BLOCK, 5):
        history = History()
        history.set_model(keras.Sequential())
        history.restore(rows)
        arrays = {item.name: item for item in rows.to_arrays(count)}
        history.restore(Rows.from_arrays(count, arrays))
        history.on_epoch_end(count, {"loss": 0.25})
        assert history.epoch == list(range(count + 1))
        assert_same(history.rows, [*odd_rows(count), (count, {"loss": 0.25})])


def test_what_a_long_journal_tells_is_read_when_somebody_asks(tmp_path):
    asked = []

    def lived(*kinds):
        asked.append(kinds)
        return journal.skim(path).lived(*kinds)

    path = long_journal(tmp_path / "journal.jsonl", 10)
    history = History()
    history.restore(Rows((n, {"loss": 1 / (n + 1)}) for n in range(10)))
    history.tell(lived, later=True)
    assert not asked
    assert history.best_epoch == 9
    assert EpochEnded not in asked[0]
    assert history.restarts == [10.0]
    history.tell(lived, later=False)
    path.unlink()
    assert history.restarts == [10.0]
    assert history.points == {}


def test_pruning_reads_each_manifest_once(tmp_path, monkeypatch):
    layout = make_run(tmp_path / "run")
    read = Counter()

    def load(path, run):
        read[path.name] += 1
        return real(path, run)

    real = prune.load_manifest
    monkeypatch.setattr(prune, "load_manifest", load)
    pruner = Pruner(layout, holdfast.Keep(last=3))
    with TinyRun(layout.root) as run:
        for step in range(10, 400, 10):
            run.commit(step)
            pruner.prune(newest=step)
    assert set(read.values()) == {1}
    assert len(read) == 39
    assert len(layout.manifests()) == 3


def test_a_run_that_keeps_all_does_not_go_through_all_after_each(tmp_path, monkeypatch):
    pruned = []
    plain = Pruner.prune
    monkeypatch.setattr(
        Pruner, "prune", lambda self, **how: pruned.append(how) or plain(self, **how)
    )
    with TinyRun(tmp_path / "run") as run:
        pruner = Pruner(run.layout, holdfast.Keep(last=10**6))
        for step in range(1, 301):
            run.commit(step)
            pruner.follow(newest=step, final=False)
        assert 16 < len(pruned) < 80
        pruner._keep = holdfast.Keep(last=2, best=0)
        pruner.follow(newest=300, final=True)
    assert len(run.layout.manifests()) == 2


def test_what_was_not_pruned_yet_makes_room_for_a_commit_that_found_none(tmp_path):
    with TinyRun(tmp_path / "run") as run:
        pruner = Pruner(run.layout, holdfast.Keep(last=130, best=0))
        for step in range(1, 140):
            run.commit(step)
            pruner.follow(newest=step, final=False)
            if len(run.layout.manifests()) > 130:
                break
        assert len(run.layout.manifests()) > 130
        pruner.make_room()
    assert len(run.layout.manifests()) == 130
