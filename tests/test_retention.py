"""Which checkpoints stay and why, and that nothing else goes than what need not stay."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import (
    RUN,
    TinyRun,
    array,
    contents,
    files_of,
    flip,
    loaded,
    make_newer,
    make_run,
    record,
    state_at,
)

from holdfast.errors import DamagedError, NewerFormatError, PlanError
from holdfast.run import Run
from holdfast.store.checkpoints import load_arrays, load_manifest, load_newest
from holdfast.store.prune import Pruner, prune
from holdfast.store.retention import Candidate, Keep, Leaders, best, decide, larger_is_better
from holdfast.store.verify import verify
from holdfast.types import Position

losses = st.floats(0, 10) | st.just(math.nan) | st.just(math.inf)


@st.composite
def runs(draw):
    """The checkpoints of a run in order, the final one last where there is one."""
    steps = draw(st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True).map(sorted))
    found = []
    for step in steps:
        metrics = draw(
            st.dictionaries(st.sampled_from(["loss", "val_loss", "val_accuracy"]), losses)
        )
        position = Position(step // 4, step % 4, step)
        found.append(Candidate(f"{step:010d}.json", position, step % 4 == 0, False, metrics))
    if draw(st.booleans()):
        last = found[-1]
        found.append(
            Candidate(f"{steps[-1]:010d}-final.json", last.position, True, True, last.metrics)
        )
    return found


policies = st.builds(
    Keep,
    last=st.integers(1, 4),
    best=st.integers(0, 3),
    every_epochs=st.none() | st.integers(1, 5),
    monitor=st.none() | st.sampled_from(["loss", "val_loss", "val_accuracy", "nothing"]),
    mode=st.sampled_from(["auto", "min", "max"]),
)


def staying(candidates, keep, newest=None):
    return {item.name: item.reason for item in decide(candidates, keep, newest) if item.keep}


@settings(deadline=None)
@given(runs(), policies)
def test_the_newest_and_the_final_always_stay(run, keep):
    kept = staying(run, keep)
    training = [item.name for item in run if not item.final]
    assert kept[training[-1]] == "the newest"
    assert set(training[-keep.last :]) <= set(kept)
    for item in run:
        if item.final:
            assert kept[item.name] == "what the training returned"


@settings(deadline=None)
@given(runs(), policies)
def test_of_each_epochs_end_asked_for_one_stays(run, keep):
    kept = staying(run, keep)
    for item in run:
        ended = item.epoch_end and item.position.epoch > 0
        if keep.every_epochs and ended and item.position.epoch % keep.every_epochs == 0:
            assert item.name in kept


@settings(deadline=None)
@given(runs(), policies)
def test_the_best_stay_and_none_that_goes_is_better(run, keep):
    kept = staying(run, keep)
    name = keep.monitor
    if name is None:
        name = "val_loss" if any("val_loss" in item.metrics for item in run) else "loss"
    larger = keep.mode == "max" or (keep.mode == "auto" and name == "val_accuracy")
    judged = [
        item
        for item in run
        if item.epoch_end and not item.final and not math.isnan(item.metrics.get(name, math.nan))
    ]
    values = sorted((item.metrics[name] for item in judged), reverse=larger)[: keep.best]
    staying_values = sorted(
        (item.metrics[name] for item in judged if item.name in kept), reverse=larger
    )
    assert staying_values[: len(values)] == values


@settings(deadline=None)
@given(runs(), policies, st.none() | st.integers(-1, 60), st.randoms())
def test_the_order_of_what_is_given_does_not_matter(run, keep, newest, random):
    other = list(run)
    random.shuffle(other)
    decisions = decide(other, keep, newest)
    assert [item.name for item in decisions] == [item.name for item in other]
    assert {item.name: item for item in decisions} == {
        item.name: item for item in decide(run, keep, newest)
    }
    assert all(item.reason for item in decisions)


@settings(deadline=None)
@given(runs(), policies, st.integers(0, 60))
def test_beyond_the_newest_that_is_sound_all_stay_and_none_counts(run, keep, newest):
    beyond = {item.name for item in run if item.position.total > newest and not item.final}
    sound = [item for item in run if item.name not in beyond]
    kept = staying(run, keep, newest)
    assert {name for name, why in kept.items() if "newer than" in why} == beyond
    assert set(kept) - beyond == set(staying(sound, keep))


def test_each_that_stays_says_why():
    run = [
        Candidate(f"{n}", Position(n, 0, n), True, False, {"loss": loss})
        for n, loss in enumerate([9.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    ]
    run.append(Candidate("final", Position(5, 0, 5), True, True, {}))
    decisions = decide(run, Keep(last=2, best=2, every_epochs=3))
    assert [(item.name, item.keep, item.reason) for item in decisions] == [
        ("0", False, "no rule keeps it"),
        ("1", True, "number 1 by loss"),
        ("2", True, "number 2 by loss"),
        ("3", True, "every 3 epochs"),
        ("4", True, "newest but 1"),
        ("5", True, "the newest"),
        ("final", True, "what the training returned"),
    ]


def test_of_equals_the_earlier_is_better():
    run = [Candidate(f"{n}", Position(n, 0, n), True, False, {"loss": 1.0}) for n in (3, 1, 2)]
    assert [item.name for item in best(run)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("metric", "larger"),
    [
        ("val_accuracy", True),
        ("top_k_categorical_accuracy", True),
        ("mean_io_u", True),
        ("one_hot_io_u", True),
        ("sensitivity_at_specificity", True),
        ("pearson_correlation", True),
        ("cosine_similarity", True),
        ("val_r2_score", True),
        ("AUC", True),
        ("val_loss", False),
        ("mean_absolute_error", False),
        ("categorical_hinge", False),
        ("kl_divergence", False),
    ],
)
def test_which_values_of_keras_metrics_are_better(metric, larger):
    assert larger_is_better(metric) == larger
    assert larger_is_better(metric, "max")
    assert not larger_is_better(metric, "min")


@pytest.mark.parametrize(
    "wrong",
    [{"last": 0}, {"last": True}, {"best": -1}, {"best": 1.0}, {"every_epochs": 0}, {"mode": "up"}],
)
def test_a_policy_that_cannot_be_is_refused_by_name(wrong):
    with pytest.raises(PlanError, match=f"Keep\\({next(iter(wrong))}="):
        Keep(**wrong)


# prune


def steps_of(layout):
    return [load_manifest(path, RUN).position.total for path in layout.manifests()]


def pack_names(layout):
    return [path.name for path in layout.all_packs()]


def test_packs_shared_between_checkpoints_stay(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2, 3)
    first, second, third = pack_names(layout)
    pruned = prune(layout, Keep(last=1))
    assert steps_of(layout) == [3]
    # The first has what never changed, the second nothing that the third has not.
    assert pack_names(layout) == [first, third]
    assert {path.name for path in pruned.removed} == {"0000000001.json", "0000000002.json", second}
    assert loaded(layout) == (3, contents(state_at(3)), [])
    assert verify(layout).findings == ()


def test_what_goes_is_what_a_dry_run_said(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2, 3)
    before = files_of(layout.root)
    dry = prune(layout, Keep(last=1), dry_run=True)
    assert files_of(layout.root) == before
    assert prune(layout, Keep(last=1)) == dry
    gone = {path: data for path, data in before.items() if not path.exists()}
    assert set(gone) == set(dry.removed)
    assert dry.freed == sum(map(len, gone.values()))


def test_what_a_dead_writer_left_goes_and_what_people_put_there_stays(tmp_path):
    layout = make_run(tmp_path / "run", 1)
    left = [
        layout.packs / "0000000009-0123abcd.safetensors",
        layout.packs / ".0000000009-0123abcd.safetensors.00ff00ff.tmp",
        layout.checkpoints / ".0000000009.json.89abcdef.tmp",
        layout.root / ".run.json.01234567.tmp",
    ]
    theirs = [
        layout.root / "notes.tmp",
        layout.root / ".hidden.tmp",
        layout.packs / "my.safetensors",
        layout.checkpoints / "0000000009.json.bak",
        layout.checkpoints / "best.json",
    ]
    for path in (*left, *theirs):
        path.write_bytes(b"x")
    assert set(prune(layout, Keep()).removed) == set(left)
    assert all(path.exists() for path in theirs)
    assert steps_of(layout) == [1]


def test_while_a_manifest_is_unreadable_no_pack_goes(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2, 3, 4)
    packs = pack_names(layout)
    unreadable = layout.manifests()[1]
    flip(unreadable)
    prune(layout, Keep(last=1))
    assert pack_names(layout) == packs
    assert [path.name for path in layout.manifests()] == [unreadable.name, "0000000004.json"]
    flip(unreadable)
    assert contents(load_arrays(layout, load_manifest(unreadable, RUN))) == contents(state_at(2))
    prune(layout, Keep(last=1))
    assert pack_names(layout) == [packs[0], packs[3]]


def test_a_damaged_newest_does_not_make_the_last_sound_one_go(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2, 3)
    flip(layout.all_packs()[-1], -1)
    pruned = prune(layout, Keep(last=1))
    assert [(item.keep, item.reason) for item in pruned.decisions] == [
        (False, "no rule keeps it"),
        (True, "the newest"),
        (True, "newer than the newest that is sound"),
    ]
    assert loaded(layout)[:2] == (2, contents(state_at(2)))


def test_where_none_is_sound_none_goes(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2, 3)
    flip(layout.all_packs()[0], -1)
    before = files_of(layout.root)
    assert prune(layout, Keep(last=1)).removed == ()
    assert files_of(layout.root) == before


def test_a_training_that_went_back_keeps_what_it_saves(tmp_path):
    """The newest is damaged, the one before is gone on from: the next has a lower number."""
    layout = make_run(tmp_path / "run", 1, 2, 9)
    flip(layout.all_packs()[-1], -1)
    with TinyRun(layout.root) as run:
        run.store.remember(load_newest(layout, final=True)[0])
        pruner = Pruner(layout, Keep(last=1, best=0))
        for step in (3, 4):
            run.commit(step)
            pruner.prune(newest=step)
    assert steps_of(layout) == [4, 9]
    step, found, damaged = loaded(layout)
    assert (step, found, len(damaged)) == (4, contents(state_at(4)), 1)


def test_a_pruner_sees_what_has_changed_since_it_last_looked(tmp_path):
    with TinyRun(tmp_path / "run") as run:
        pruner = Pruner(run.layout, Keep(last=2, best=1))
        for step in range(1, 6):
            run.commit(step, metrics={"loss": abs(step - 2)}, epoch_end=True)
            pruner.prune(newest=step)
        assert steps_of(run.layout) == [2, 4, 5]
        # The same checkpoint, written again: the loss of the best is no longer the best.
        run.commit(2, metrics={"loss": 50.0}, epoch_end=True)
        pruner.prune(newest=5)
        assert steps_of(run.layout) == [4, 5]
        assert verify(run.layout).findings == ()


def test_manifests_go_durably_before_packs(tmp_path, monkeypatch):
    layout = make_run(tmp_path / "run", 1, 2, 3)
    pack = layout.all_packs()[1].name
    done = record(monkeypatch, layout.root)
    prune(layout, Keep(last=1))
    assert done == [
        "remove checkpoints/0000000002.json",
        "remove checkpoints/0000000001.json",
        "sync checkpoints",
        f"remove packs/{pack}",
    ]


def test_a_checkpoint_goes_durably_before_those_it_needs(tmp_path, monkeypatch):
    with TinyRun(tmp_path / "run") as run:
        run.commit(1)
        run.commit(2, pins=(1,))
        run.commit(3)
    done = record(monkeypatch, run.layout.root)
    prune(run.layout, Keep(last=1, best=0))
    assert done[:4] == [
        "remove checkpoints/0000000002.json",
        "sync checkpoints",
        "remove checkpoints/0000000001.json",
        "sync checkpoints",
    ]


def test_a_run_that_cannot_be_read_is_not_pruned(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2, 3)
    for harm, error in (
        (lambda: flip(layout.identity), DamagedError),
        (lambda: make_newer(layout.identity), NewerFormatError),
        (lambda: make_newer(layout.manifests()[-1]), NewerFormatError),
    ):
        sound = files_of(layout.root)
        harm()
        before = files_of(layout.root)
        for dry_run in (True, False):
            with pytest.raises(error):
                Run(layout.root).prune(Keep(last=1), dry_run=dry_run)
        after = files_of(layout.root)
        after.pop(layout.lock, None)
        assert after == before
        for path, data in sound.items():
            path.write_bytes(data)
    assert Run(layout.root).prune(Keep(last=1)).removed


def test_an_array_of_the_pruned_is_written_again_if_it_comes_back(tmp_path):
    """What a pack that went had held is not thought to be there still."""
    with TinyRun(tmp_path / "run") as run:
        pruner = Pruner(run.layout, Keep(last=1, best=0))
        for step, value in enumerate((1.0, 2.0, 1.0), start=1):
            run.commit(step, [array("w", np.full(4, value))])
            pruner.prune(newest=step)
        assert loaded(run.layout) == (3, contents([array("w", np.full(4, 1.0))]), [])


# What checkpoints need beside them


def at(step, *pins, **metrics):
    position = Position(step // 10, step % 10, step)
    return Candidate(f"{step:010d}.json", position, step % 10 == 0, False, metrics, pins)


def test_what_a_checkpoint_that_stays_needs_stays_too():
    run = [at(10, 10), at(20, 10), at(25, 20), at(30, 25), at(40, 20)]
    found = staying(run, Keep(last=1, best=0))
    # 40 needs 20, and 20 needs 10 in turn; nobody who stays needs 25.
    assert found == {
        "0000000040.json": "the newest",
        "0000000020.json": "the checkpoint at step 40 needs it",
        "0000000010.json": "the checkpoint at step 20 needs it",
    }


def test_a_need_for_what_is_gone_is_no_error():
    assert set(staying([at(40, 20)], Keep(last=1, best=0))) == {"0000000040.json"}


@pytest.mark.parametrize(("mode", "expected"), [("auto", {1, 4}), ("max", {2, 3})])
def test_leaders_are_the_best_epochs_so_far(mode, expected):
    leaders = Leaders(Keep(best=2, monitor="val_loss", mode=mode))
    for epoch, value in enumerate([0.5, 0.2, 0.9, 0.7, 0.2, 0.2, math.nan]):
        leaders.add(epoch, {"val_loss": value})
    leaders.add(7, {"loss": 0.0})
    assert {epoch for epoch in range(8) if epoch in leaders} == expected


def test_going_back_deletes_what_is_beyond_and_nothing_else(tmp_path):
    layout = make_run(tmp_path / "run", 1, 2, 3, 4)
    pruner = Pruner(layout, Keep())
    pruner.undo(pruner.beyond(2))
    assert [path.name for path in layout.manifests()] == ["0000000001.json", "0000000002.json"]
    assert load_newest(layout, final=True)[0].position.total == 2
