"""Damaged files of every kind: refused with a reason, or read; never more than that."""

import random

import pytest
from fuzzing import READERS, FuzzError, Reader, damaged, fuzz_one
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import FormatError


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(chance=st.randoms(use_true_random=False))
def test_damaged_files_are_refused_or_read(name, chance):
    reader = READERS[name]
    fuzz_one(reader, damaged(chance, reader.seeds()), measured=True)


@pytest.mark.parametrize("name", READERS)
def test_whole_files_are_read(name):
    reader = READERS[name]
    for data in reader.seeds():
        assert fuzz_one(reader, data)


@pytest.mark.parametrize("name", READERS)
def test_damage_follows_from_its_seed(name):
    seeds = READERS[name].seeds()
    made = [damaged(random.Random(7), seeds) for _ in range(2)]
    assert made[0] == made[1]


def read_keys(data):
    raise KeyError(data)


def read_without_a_reason(data):
    raise FormatError("no")


def read_into_much_memory(data):
    return bytes(200_000_000)


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (read_keys, "KeyError: b'1'"),
        (read_without_a_reason, "refused without a reason"),
        (read_into_much_memory, "bytes of memory for 1"),
    ],
)
def test_a_reader_that_does_what_it_may_not_is_found(read, what):
    with pytest.raises(FuzzError, match=what):
        fuzz_one(Reader(read, list), b"1", measured=True)
