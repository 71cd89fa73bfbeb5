"""A torch DataLoader: the same batches from any place on, in any process, whoever fetches them."""

import multiprocessing
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import keras
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from holdfast import Run
from holdfast.data.drawing import Drawing, isolated
from holdfast.data.torch.loader import LoaderSource
from holdfast.errors import PlanError, UnsupportedError
from holdfast.testing import restart_at_every_step

SAMPLES = 22
BATCH = 4
PASSES = 2
SEED = 7


def tensors():
    numbers = torch.arange(SAMPLES * 3, dtype=torch.float32).reshape(SAMPLES, 3)
    return TensorDataset(numbers, torch.arange(SAMPLES) % 5)


class Noisy(Dataset):
    """Items that the global generators and two of its own have a part in."""

    def __init__(self):
        self.own = np.random.default_rng(3)
        self.transforms = [random.Random(4)]

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        noise = [random.random(), np.random.rand(), float(torch.rand(())), self.own.random()]
        return np.array([index, *noise, self.transforms[0].random()]), index % 2


class Grouped(Sampler):
    """Batches of its own making, whose order depends on the passes before."""

    def __init__(self, count):
        self.order = list(range(count))
        self.turns = 0

    def __iter__(self):
        self.turns += 1
        random.shuffle(self.order)
        for start in range(self.turns % 2, len(self.order), BATCH):
            yield self.order[start : start + BATCH]

    def __len__(self):
        return (len(self.order) + BATCH - 1) // BATCH


class Endless(Sampler):
    def __iter__(self):
        while True:
            yield int(torch.randint(SAMPLES, ()))


class Stream(IterableDataset):
    """Numbers in a row, shared out among workers, with noise."""

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in range(first, SAMPLES, step):
            yield torch.tensor([index, random.random(), np.random.rand()]), index % 2


class Placed(Stream):
    """The same, with a state."""

    end = SAMPLES

    def __init__(self):
        self.next = 0

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        while first + self.next * step < self.end:
            index = first + self.next * step
            self.next += 1
            yield torch.tensor([index, random.random(), np.random.rand()]), index % 2
        self.next = 0

    def state_dict(self):
        return {"next": self.next, "raw": b"\x01\x02", "tensor": torch.tensor([self.next])}

    def load_state_dict(self, state):
        assert state["raw"] == b"\x01\x02"
        assert int(state["tensor"]) == state["next"]
        self.next = state["next"]


class TwicePlaced(Dataset):
    """By index, with a state that the items depend on."""

    def __init__(self):
        self.given = 0

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        self.given += 1
        return np.array([index, self.given % 3, random.random()]), index % 2

    def state_dict(self):
        return {"given": self.given}

    def load_state_dict(self, state):
        self.given = state["given"]


class Own(DataLoader):
    """A loader that is gone through in its own way."""

    def __iter__(self):
        for x, y in super().__iter__():
            yield x * 2 + random.random(), y


def collate(items):
    return {"a": np.stack([x for x, _ in items]) + random.random()}, np.array([y for _, y in items])


def stateful(dataset, **options):
    return pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader(
        dataset, batch_size=BATCH, **options
    )


def loaders():
    """Return what makes each kind of loader, by name."""
    weights = [1.0 + index % 3 for index in range(SAMPLES)]

    def sampled(kind, *given, **options):
        return lambda: DataLoader(
            Noisy(), BATCH, sampler=kind(*given, **options), drop_last=kind is SequentialSampler
        )

    def of_two(**options):
        return lambda: DataLoader(Noisy(), BATCH, shuffle=True, num_workers=2, **options)

    return {
        "shuffled": lambda: DataLoader(tensors(), BATCH, shuffle=True),
        "noisy": lambda: DataLoader(Noisy(), BATCH, shuffle=True),
        "in a row": sampled(SequentialSampler, range(SAMPLES)),
        "with replacement": sampled(RandomSampler, range(SAMPLES), replacement=True),
        "a subset": sampled(SubsetRandomSampler, range(3, 17)),
        "weighted": sampled(WeightedRandomSampler, weights, 19),
        "distributed": lambda: DataLoader(
            tensors(), BATCH, sampler=DistributedSampler(tensors(), num_replicas=2, rank=1)
        ),
        "batches of its own": lambda: DataLoader(Noisy(), batch_sampler=Grouped(SAMPLES)),
        "a list of batches": lambda: DataLoader(Noisy(), batch_sampler=[[1, 2], [4, 5], [1, 3]]),
        "no batch size": lambda: DataLoader(
            tensors(),
            batch_size=None,
            sampler=BatchSampler(RandomSampler(range(SAMPLES)), BATCH, drop_last=False),
        ),
        "a generator": lambda: DataLoader(
            tensors(), BATCH, shuffle=True, generator=torch.Generator().manual_seed(5)
        ),
        "collated": lambda: DataLoader(Noisy(), BATCH, shuffle=True, collate_fn=collate),
        "stateful": lambda: stateful(Noisy(), shuffle=True),
        "stateful, stream": lambda: stateful(Placed()),
        "stateful, items": lambda: stateful(TwicePlaced(), shuffle=True),
        "placed": lambda: DataLoader(Placed(), BATCH),
        "stream": lambda: DataLoader(Stream(), BATCH),
        "own": lambda: Own(tensors(), BATCH, shuffle=True),
        "two workers": of_two(),
        "two workers that last": of_two(persistent_workers=True, collate_fn=collate),
        "two workers, stateful": lambda: stateful(Noisy(), shuffle=True, num_workers=2),
        "two workers, stateful, stream": lambda: stateful(Placed(), num_workers=2),
        "two workers, stream": lambda: DataLoader(Stream(), BATCH, num_workers=2),
    }


PLACES = {
    "stateful, stream": "saved",
    "stateful, items": "saved",
    "placed": "saved",
    "two workers, stateful, stream": "saved",
    "stream": "replayed",
    "own": "replayed",
    "two workers, stream": "replayed",
}


def drawn(drawing, number):
    """Draw the rest of a pass, other code drawing too in between."""
    found = []
    while True:
        with isolated():
            batch = drawing.draw()
        random.random(), np.random.rand(), torch.rand(2)
        if batch is None:
            return found
        found.append(flat(batch))


def flat(batch):
    return [leaf.tolist() for leaf in keras.tree.flatten(batch)]


def passes(source):
    drawing = Drawing(source, SEED)
    found = []
    for number in range(PASSES):
        with isolated():
            drawing.seek(number, 0)
        found.append(drawn(drawing, number))
    drawing.close()
    return found


@pytest.mark.parametrize("kind", loaders())
def test_a_pass_is_the_same_from_any_batch_on(kind):
    make = loaders()[kind]
    source = LoaderSource(make(), seed=SEED)
    assert source.place == PLACES.get(kind, "sought")
    first = flat(source.specimen())
    whole = passes(source)
    assert whole[0][0] == first
    assert len(whole[0]) >= 3
    if source.length is not None and kind != "batches of its own":
        assert [len(one) for one in whole] == [source.length] * PASSES
    assert source.fingerprint() == LoaderSource(make(), seed=SEED).fingerprint()

    stops = [(number, batch) for number in range(PASSES) for batch in range(len(whole[number]) + 1)]
    if "two" in kind:  # each starts processes
        stops = [(0, 1), (0, 3), (1, 0), (1, len(whole[1]) - 1)]
    first_life = Drawing(LoaderSource(make(), seed=SEED), SEED)
    first_life._affordable = lambda: True
    for number, batch in stops:
        with isolated():
            first_life.seek(number, batch)
            ahead = [first_life.draw() for _ in range(2)]
            place = first_life.place(number, batch)
        second_life = Drawing(LoaderSource(make(), seed=SEED), SEED)
        second_life.restore(place)
        with isolated():
            second_life.seek(number, batch)
        rest = drawn(second_life, number)
        second_life.close()
        assert rest == whole[number][batch:], (kind, number, batch)
        assert [flat(one) for one in ahead if one is not None] == rest[:2], (kind, number, batch)
    first_life.close()


class Failing(Noisy):
    def __getitem__(self, index):
        if index == 13:
            raise KeyError("no item 13")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_data_set_raises_reaches_the_user_and_leaves_no_worker(workers):
    loader = DataLoader(
        Failing(), BATCH, num_workers=workers, persistent_workers=workers > 0, timeout=60 * workers
    )
    drawing = Drawing(LoaderSource(loader, seed=SEED), SEED)
    with isolated():
        drawing.seek(0, 0)
        assert len(drawing.draw()) == 2
        drawing.draw(), drawing.draw()
        with pytest.raises(KeyError, match="no item 13"):
            drawing.draw()
    assert not multiprocessing.active_children()


def test_what_is_the_users_is_as_it_was():
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(tensors(), BATCH, shuffle=True, generator=generator, num_workers=1)
    before = generator.get_state(), torch.get_rng_state(), random.getstate(), dict(vars(loader))
    source = LoaderSource(loader, seed=SEED)
    source.fingerprint()
    passes(source)
    random.setstate(before[2])
    assert torch.equal(generator.get_state(), before[0])
    assert dict(vars(loader)) == before[3]


def test_a_batch_that_depends_on_the_past_is_said_to():
    loader = DataLoader(TwicePlaced(), BATCH)
    (sentence,) = LoaderSource(loader, seed=SEED).sentences()
    assert "will not be bit for bit" in sentence
    assert "contents" not in LoaderSource(loader, seed=SEED).fingerprint()
    (sentence,) = LoaderSource(DataLoader(Stream(), BATCH), seed=SEED).sentences()
    assert "cannot say where it stands" in sentence
    assert LoaderSource(DataLoader(Noisy(), BATCH), seed=SEED).sentences() == []


def test_what_cannot_be_used_is_refused():
    with pytest.raises(UnsupportedError, match="sampler is a list_iterator"):
        LoaderSource(DataLoader(tensors(), batch_sampler=iter([[1]])), seed=SEED)
    with pytest.raises(PlanError, match="x, a DataLoader, has no batches"):
        LoaderSource(DataLoader(tensors(), batch_sampler=[]), seed=SEED).specimen()


def test_a_sampler_may_go_on_for_ever():
    loader = DataLoader(Noisy(), batch_sampler=BatchSampler(Endless(), BATCH, drop_last=False))
    source = LoaderSource(loader, seed=SEED)
    assert source.length is None
    there, here = Drawing(source, SEED), Drawing(LoaderSource(loader, seed=SEED), SEED)
    with isolated():
        there.seek(0, 0)
        for _ in range(600):
            there.draw()
        here.seek(0, 600)
        assert flat(there.draw()) == flat(here.draw())


def model(seed=3):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(5)]
    built = keras.Sequential(layers)
    built.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return built


@pytest.mark.parametrize("workers", [0, 2])
def test_trains_as_keras_does(workers, tmp_path):
    def loader():
        return DataLoader(tensors(), BATCH, num_workers=workers, persistent_workers=workers > 0)

    ours, theirs = model(), model()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        Run(tmp_path / "run").fit(ours, loader(), validation_data=loader(), epochs=2, verbose=0)
    assert not multiprocessing.active_children()
    theirs.fit(DataLoader(tensors(), BATCH), epochs=2, verbose=0)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


class Few(Noisy):
    def __len__(self):
        return 5


class FewPlaced(Placed):
    end = 5


@pytest.mark.parametrize("kind", ["by index", "by state"])
def test_a_run_stopped_at_every_step_is_exact(kind, memory):
    def make(seed):
        loader = (
            DataLoader(Few(), BATCH, shuffle=True)
            if kind == "by index"
            else DataLoader(FewPlaced(), BATCH, drop_last=True)
        )
        return {"model": model(seed), "x": loader, "epochs": 2, "verbose": 0}

    assert restart_at_every_step(make, memory).moments >= 2


PROGRAM = Path(__file__).parents[1] / "programs" / "loader_with_workers.py"
KILLS = 10


def start(run):
    # A group of its own, by which its workers are known.
    command = [sys.executable, str(PROGRAM), str(run)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)


def alive(group):
    """Return the processes of a group that have not ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(process.name)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif(keras.config.backend() != "jax", reason="it is the same on every backend")
def test_killed_with_workers_it_leaves_none_and_goes_on_exactly(tmp_path):
    whole = start(tmp_path / "whole").communicate(timeout=120)[0]
    with_workers = 0
    for _ in range(KILLS):
        child = start(tmp_path / "run")
        deadline = time.monotonic() + 60
        while len(alive(child.pid)) < 3 and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(random.random() * 0.1)
        with_workers += len(alive(child.pid)) > 1
        child.kill()
        child.wait()
        deadline = time.monotonic() + 5
        while left := alive(child.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.01)
    assert with_workers
    assert start(tmp_path / "run").communicate(timeout=120)[0] == whole
    assert len(whole) > 32
