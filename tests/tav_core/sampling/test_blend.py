"""tav_core/sampling/blend.py: a blend keeps the standard deviation of noise, and its ends are what went in."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tav_core.errors import ConfigError, LatentsError
from tav_core.models.schedule import gaussian_noise
from tav_core.sampling.blend import blend, slerp
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert

SHAPE = (1, 4, 3, 64, 64)


@pytest.mark.parametrize("weight", [0.1, 0.25, 0.5, 0.9])
def test_slerp_keeps_the_standard_deviation_where_a_line_does_not(weight):
    one, other = gaussian_noise(SHAPE, 1), gaussian_noise(SHAPE, 2)
    line = (1 - weight) * one + weight * other
    stds = slerp(one, other, weight).std(dim=(1, 3, 4))
    assert torch.allclose(stds, torch.ones_like(stds), atol=0.02)
    expected = math.sqrt((1 - weight) ** 2 + weight**2)
    assert torch.allclose(line.std(dim=(1, 3, 4)), torch.full_like(stds, expected), atol=0.02)


def test_in_the_middle_a_line_has_071():
    line = (gaussian_noise(SHAPE, 1) + gaussian_noise(SHAPE, 2)) / 2
    assert float(line.std()) == pytest.approx(0.71, abs=0.01)


def test_each_frame_has_an_angle_of_its_own():
    one, other = gaussian_noise(SHAPE, 1), gaussian_noise(SHAPE, 2)
    other[:, :, 1] = 0.6 * one[:, :, 1] + 0.8 * other[:, :, 1]
    whole = slerp(one, other, 0.3)
    for frame in range(3):
        pick = lambda latents, frame=frame: latents[:, :, frame : frame + 1]  # noqa: E731
        a, b = pick(one).flatten().double(), pick(other).flatten().double()
        angle = torch.acos(a @ b / a.norm() / b.norm())
        expected = (torch.sin(0.7 * angle) * a + torch.sin(0.3 * angle) * b) / torch.sin(angle)
        assert torch.allclose(pick(whole).flatten().double(), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 2.0, -1.0])
def test_frames_that_point_the_same_way_are_blended_on_a_line(scale):
    one = gaussian_noise(SHAPE, 1)
    torch.testing.assert_close(slerp(one, scale * one, 0.25), (0.75 + 0.25 * scale) * one)


def test_empty_frames_stay_finite():
    zero = torch.zeros(SHAPE)
    assert torch.equal(slerp(zero, zero, 0.5), zero)
    assert slerp(gaussian_noise(SHAPE, 1), zero, 0.5).isfinite().all()


@pytest.fixture
def pair(denoiser, clip_latents, context):
    """Inversions of two clips by a method."""
    return lambda method, **kw: [
        invert(denoiser, clip, context, num_steps=3, method=method, **kw)
        for clip in (clip_latents, clip_latents.flip(3))
    ]


@pytest.mark.parametrize("method", ["ddim", "o_belm"])
def test_the_ends_of_a_blend_are_what_went_in(pair, denoiser, context, method):
    one, other = pair(method)
    before = [one.latents.clone(), other.latents.clone()]
    config = EditConfig(num_steps=3)
    render = lambda start: edit(denoiser, start, context, context, config=config)  # noqa: E731
    for weight, expected in ((0, one), (1, other)):
        got = blend(one, other, weight)
        torch.testing.assert_close(got.latents, expected.latents)
        assert (got.timesteps, got.method) == (one.timesteps, method)
        torch.testing.assert_close(render(got), render(expected))
    halfway = blend(one, other, 0.5)
    for step in range(4):
        assert torch.equal(halfway.latents[step], slerp(one.latents[step], other.latents[step], 0.5))
    assert torch.equal(one.latents, before[0]) and torch.equal(other.latents, before[1])


def test_what_cannot_be_blended_is_refused(pair):
    one, other = pair("ddim")
    noise = gaussian_noise(SHAPE, 1)
    with pytest.raises(ConfigError, match="3 steps by ddim and 3 steps by o_belm"):
        blend(one, pair("o_belm")[0], 0.5)
    with pytest.raises(ConfigError, match="3 steps by ddim and 2 steps"):
        blend(one, replace(other, latents=other.latents[1:], timesteps=other.timesteps[1:]), 0.5)
    with pytest.raises(LatentsError, match="keep 4 and 2 latents"):
        blend(one, pair("ddim", keep="ends")[0], 0.5)
    with pytest.raises(LatentsError, match="same size and number of frames"):
        slerp(noise, noise[:, :, :2], 0.5)
    for weight in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match="0 to 1"):
            slerp(noise, noise, weight)
