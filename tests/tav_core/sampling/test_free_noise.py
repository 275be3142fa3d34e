"""tav_core/sampling/free_noise.py against its definition: noise[i:i+4] is noise[i-16:i-12] in another order."""

from __future__ import annotations

import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.models.schedule import gaussian_noise
from tav_core.sampling.free_noise import free_noise
from tests.faults.checks import time_limit

SHAPE = (1, 4, 50, 3, 5)


def rows(noise):
    """Each frame as a tuple, so that frames can be compared as sets."""
    return [tuple(frame.flatten().tolist()) for frame in noise[0].movedim(1, 0)]


def test_later_frames_are_earlier_ones_in_another_order():
    frames = rows(free_noise(SHAPE, 7))
    assert len(frames) == 50
    assert len(set(frames[:16])) == 16
    for i in range(16, 48, 4):
        assert sorted(frames[i : i + 4]) == sorted(frames[i - 16 : i - 12])
    assert set(frames[48:]) < set(frames[32:36])
    assert frames[16:32] != frames[:16] and frames[32:48] != frames[16:32]


@pytest.mark.parametrize("num_frames", [3, 16])
def test_a_clip_that_fits_gets_gaussian_noise(num_frames):
    shape = (2, 4, num_frames, 3, 5)
    assert torch.equal(free_noise(shape, 7), gaussian_noise(shape, 7))


def test_a_seed_gives_one_result_whatever_was_drawn_before():
    first = free_noise(SHAPE, 7)
    torch.manual_seed(0)
    assert torch.equal(first, free_noise(SHAPE, 7))
    assert not torch.equal(first, free_noise(SHAPE, 8))
    assert torch.equal(free_noise(torch.Size(SHAPE), 7), first)


def test_other_windows():
    frames = rows(free_noise((1, 4, 11, 3, 5), 7, window=6, stride=2))
    assert all(sorted(frames[i : i + 2]) == sorted(frames[i - 6 : i - 4]) for i in (6, 8))


@pytest.mark.parametrize("wrong", [{"window": 0}, {"stride": 0}, {"stride": -1}, {"window": 2.5}])
def test_groups_of_no_frames_are_refused_and_not_repeated_for_ever(wrong):
    with time_limit(10), pytest.raises(ConfigError, match=r"for FreeNoise.*1 or more"):
        free_noise((1, 4, 40, 2, 2), 33, **wrong)
