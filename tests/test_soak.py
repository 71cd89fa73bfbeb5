"""A short soak, and that a soak finds what it is for. `make soak` is the long one."""

import json
import time

import pytest
from lives import PHASES, Aim, Life, SoakError
from soaking import Soak, Training, write_digits
from turns import at_most


def test_kills_at_random_moments_of_all_a_training_does(tmp_path):
    seed, kills = time.time_ns() % 2**32, at_most(6, 12)
    print("seed", seed)
    found = Soak(tmp_path, seed, kills=kills, programs=("dense", "rollback")).run()
    print(found)
    assert found.kills == kills
    assert found.phases.total() == kills
    assert found.phases.keys() <= set(PHASES)
    assert len(found.phases) >= 2, "the moments are all of a kind"
    assert found.ended.total() >= at_most(1, 2), "what was killed was not trained to its end"


@pytest.fixture
def killed(tmp_path):
    """A training that was killed within its 40th validation, a checkpoint in every epoch.

    What it does depends on how long it lives, which no training's bits may.
    """
    data = tmp_path / "digits.npz"
    write_digits(data)
    training = Training(tmp_path / "training", "forgetful", data)
    moment = Aim(1, 0, "validation", 40, 0.0)
    assert live(training, Life({"every": {"epochs": 1}}, moment, times=40))
    training.check_killed()
    return training


def live(training, life):
    return training.live(life, training.folder.with_name("cache"))


def test_other_bits_than_those_of_the_oracle_are_found(killed, tmp_path):
    oracle = Training(tmp_path / "oracle", "forgetful", tmp_path / "digits.npz")
    assert not live(oracle, Life({}))
    killed.oracle = oracle.result
    with pytest.raises(SoakError, match=r"^digest should be …"):
        live(killed, Life({}))


def test_a_checkpoint_lost_and_one_damaged_are_found(killed):
    newest = killed.run.checkpoints[-1]
    arrays = json.loads(newest.path.read_text())["arrays"]
    pack = killed.run.path / "packs" / max(entry["pack"] for entry in arrays)
    whole = pack.read_bytes()
    pack.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(SoakError, match=r"^after a kill verify finds: .*BLAKE3"):
        killed.check_killed()
    pack.write_bytes(whole)
    killed.check_killed()
    newest.path.unlink()
    with pytest.raises(SoakError, match=r" was committed, and the run stands at "):
        killed.check_killed()
