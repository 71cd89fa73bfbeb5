"""Copies stay as they are while somebody has one, and their memory is used again after."""

import gc

import numpy as np
import pytest

from holdfast.engines.copies import Copies


def values(seed):
    random = np.random.default_rng(seed)
    large = random.random((300, 500)).astype("float32")
    return [
        large,
        np.float32(seed).reshape(()),
        np.asfortranarray(random.random((400, 257))),
        random.integers(0, 2, 300_001).astype(bool),
        np.zeros((0, 3)),
    ]


def address(array):
    return array.__array_interface__["data"][0]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)


def test_memory_is_used_again_when_nobody_has_the_copies():
    copies = Copies()
    given = values(1)
    first = copies.of(given)
    assert_equal(first, given)
    assert not any(np.shares_memory(one, other) for one, other in zip(first, given, strict=True))
    where = address(first[0])
    del first
    again = copies.of(values(2))
    assert address(again[0]) == where
    assert_equal(again, values(2))


@pytest.mark.parametrize("kept", ["array", "view", "bytes"])
def test_a_copy_that_is_kept_is_not_written_to(kept):
    copies = Copies()
    first = copies.of(values(1))
    whole = first[2]
    mine = {"array": whole, "view": whole[3:7, ::2], "bytes": memoryview(whole)}[kept]
    before = bytes(np.asarray(mine).tobytes())
    del first, whole
    gc.collect()
    second, third = copies.of(values(2)), copies.of(values(3))
    assert np.asarray(mine).tobytes() == before
    assert_equal(second, values(2))
    assert_equal(third, values(3))


def test_values_of_other_sizes():
    copies = Copies()
    for rows in (100, 400, 200, 1):
        given = [np.full((rows, 1000), rows, "float64")]
        assert_equal(copies.of(given), given)
