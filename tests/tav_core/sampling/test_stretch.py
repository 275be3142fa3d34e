"""tav_core/sampling/stretch.py: an inversion at another speed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.models.schedule import gaussian_noise
from tav_core.sampling.blend import slerp
from tav_core.sampling.stretch import find_times, nearest_frames, stretch
from tav_core.sampling.trajectory import Trajectory


@pytest.fixture
def trajectory():
    return Trajectory(
        latents=torch.stack([gaussian_noise((1, 4, 5, 6, 6), seed) for seed in range(3)]), timesteps=(1, 501)
    )


def test_twice_the_speed_takes_every_other_frame(trajectory):
    fast = stretch(trajectory, 2)
    assert torch.equal(fast.latents, trajectory.latents[:, :, :, ::2])
    assert fast.timesteps == trajectory.timesteps


def test_half_the_speed_puts_a_blend_between_each_two(trajectory):
    slow = stretch(trajectory, 0.5)
    assert slow.num_frames == 9
    assert torch.equal(slow.latents[:, :, :, ::2], trajectory.latents)
    first, second = (trajectory.latents[1][:, :, frame : frame + 1] for frame in (0, 1))
    assert torch.equal(slow.latents[1][:, :, 1:2], slerp(first, second, 0.5))
    stds = slow.noise.std(dim=(1, 3, 4))
    assert float((stds - 1).abs().max()) < 0.2


def test_its_own_speed_is_itself(trajectory):
    assert torch.equal(stretch(trajectory, 1).latents, trajectory.latents)


def test_sampling_stays_that_of_the_inversion_unless_it_was_exact(trajectory):
    exact = replace(trajectory, method="o_belm", remainder=torch.zeros_like(trajectory.latents[0]))
    others = [replace(trajectory, method=method) for method in ("ddim", "fixed_point", "dpmpp_2m")]
    assert [stretch(each, 2).method for each in (exact, *others)] == ["ddim", "ddim", "fixed_point", "dpmpp_2m"]
    assert stretch(exact, 2).remainder is None


@pytest.mark.parametrize(
    ("num_frames", "speed", "times"),
    [(5, 1.5, [0, 1.5, 3.0]), (4, 0.3, [0.3 * i for i in range(11)]), (9, 8, [0, 8])],
)
def test_times_end_within_the_clip(num_frames, speed, times):
    assert find_times(num_frames, speed) == pytest.approx(times)


@pytest.mark.parametrize(
    ("speed", "told"), [(0, "a speed of 0"), (float("nan"), "nan"), (8, "two frames"), ("2", "'2'")]
)
def test_other_speeds_are_refused(trajectory, speed, told):
    with pytest.raises(ConfigError, match=told):
        stretch(trajectory, speed)


@pytest.mark.parametrize(
    ("speed", "taken"), [(1, [0, 1, 2, 3, 4]), (0.5, [0, 1, 1, 2, 2]), (0.25, [0, 0, 1, 1, 1]), (2, [0, 2, 4, 6, 8])]
)
def test_what_goes_with_the_clip_goes_evenly_at_another_speed(speed, taken):
    assert nearest_frames(5, speed) == taken
