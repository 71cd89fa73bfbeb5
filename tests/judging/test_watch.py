"""`holdfast serve --watch`: better checkpoints of a training take over, and no request fails."""

import asyncio
import itertools
import logging
import shutil
import threading

import keras
import numpy as np
import pytest
from server_process import infer_request, serving

import holdfast
from holdfast.errors import DamagedError
from holdfast.judge.of_run import best_checkpoint
from holdfast.serving.server import load
from holdfast.serving.watch import Watch

EPOCHS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory, raw_digits):
    """A run of one epoch, and a function that trains it to its end."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Flatten(),
            keras.layers.Dense(10, "softmax", name="digit"),
        ],
        name="digits",
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    run = holdfast.Run(tmp_path_factory.mktemp("runs") / "digits")

    def train(epochs):
        run.fit(model, *raw_digits, epochs=epochs, validation_split=0.2, verbose=0)

    train(1)
    return run, train


def test_better_checkpoints_take_over_and_every_request_is_answered(trained, raw_digits, tmp_path):
    run, train = trained
    first = best_checkpoint(run).position.total
    body, headers = infer_request(raw_digits[0][:3])
    answers, enough = [], threading.Event()

    with serving(run.path, tmp_path / "log", "--watch") as server:

        def keep_asking():
            while not enough.is_set():
                status, told, _ = server.ask("POST", "/v2/models/digits/infer", body, headers)
                answers.append((status, int(told["Holdfast-Version"])))

        asking = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in asking:
            thread.start()
        try:
            train(EPOCHS)
            last = best_checkpoint(run).position.total
            for _ in itertools.repeat(None, 600):
                if answers and answers[-1][1] == last:
                    break
                enough.wait(0.1)
        finally:
            enough.set()
            for thread in asking:
                thread.join()
        assert {status for status, _ in answers} == {200}
        versions = [version for _, version in answers]
        assert versions[0] == first < last == versions[-1]
        # Answers of four threads are noted in nearly the order in which they were given.
        seen = list(dict.fromkeys(versions))
        assert seen == sorted(seen)
        assert server.json("/page.json")["version"] == str(last)
        assert server.json("/v2/models/digits")["versions"] == [str(last)]
        found = server.json("/predict", {"inputs": raw_digits[0][:3].tolist()})
        expected = run.load_model("best").predict(raw_digits[0][:3], verbose=0)
        np.testing.assert_allclose(
            [row["outputs"]["digit"] for row in found["predictions"]], expected, atol=1e-5
        )
        assert server.stop() == 0
        assert server.log.read_text() == ""


def test_what_cannot_be_loaded_leaves_the_old_one(trained, tmp_path, caplog):
    run, _ = trained
    served = load(run.path, None, (), 1)
    path = tmp_path / "run"
    shutil.copytree(run.path, path)
    for pack in (path / "packs").rglob("*"):
        if pack.is_file():
            pack.write_bytes(bytes(pack.stat().st_size))
    with pytest.raises(DamagedError):
        load(path, None, (), 1)
    watch = Watch(path, lambda: load(path, None, (), 1))
    swapped = []

    async def follow():
        old = type(served)(served.judge, "0")
        following = asyncio.create_task(watch.follow(lambda: old, swapped.append))
        while not caplog.records:
            await asyncio.sleep(0.05)
        following.cancel()

    with caplog.at_level(logging.WARNING, "holdfast.serving"):
        asyncio.run(asyncio.wait_for(follow(), 20))
    assert swapped == []
    assert "0 stays" in caplog.text
