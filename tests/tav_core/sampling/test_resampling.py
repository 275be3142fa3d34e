"""`EditConfig.resample`: steps of a masked edit are taken again, so that it can add what the clip does not show."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tav_core.denoisers.guidance import guided
from tav_core.errors import ConfigError
from tav_core.models.conditioning import as_conditioning
from tav_core.models.schedule import ddim_step
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.local_edit import keep_outside
from tav_core.sampling.samplers import noise_again

STEPS = 10
RESAMPLED = EditConfig(num_steps=STEPS, guidance_scale=4.0, resample=3)


def test_noise_again_reaches_the_higher_noise_level():
    """The variance of clean latents of deviation 0 and 1 after it is that of the level: 1 - alpha, and 1."""
    generator = torch.Generator().manual_seed(0)
    shape, alpha, alpha_to = (1, 4, 2, 200, 200), 0.6, 0.2
    noise = torch.randn(shape, generator=generator)
    for clean in (0.0, 1.0):
        latents = (alpha * clean) ** 0.5 * torch.randn(shape, generator=generator) + (1 - alpha) ** 0.5 * noise
        found = noise_again(latents, alpha, alpha_to, generator).var()
        assert float(found) == pytest.approx(alpha_to * clean + 1 - alpha_to, rel=0.02)
    again = noise_again(torch.zeros(shape), alpha, alpha_to, generator)
    assert torch.equal(again[:, :, 0], again[:, :, 1])


@pytest.fixture
def way(denoiser, clip_latents, context):
    return invert(denoiser, clip_latents, context, num_steps=STEPS)


@pytest.fixture
def correct(way):
    mask = torch.zeros(1, 64, 64)
    mask[:, 24:40, 16:40] = 1
    return keep_outside(way, mask, feather=0)


@pytest.fixture
def correct_moving(way):
    """A mask that goes a cell to the right in each frame."""
    mask = torch.zeros(way.noise.shape[2], 64, 64)
    for i, frame in enumerate(mask):
        frame[24:40, 8 + 8 * i : 32 + 8 * i] = 1
    return keep_outside(way, mask, feather=0)


@pytest.mark.parametrize(("mask", "cells"), [("correct", 0), ("correct_moving", 1)])
def test_steps_are_taken_again_as_by_a_plain_loop(denoiser, way, context, request, mask, cells):
    """RePaint's algorithm 1, with a jump of one step, written out. The noise of each frame moves with the mask."""
    correct = request.getfixturevalue(mask)
    model = guided(denoiser, as_conditioning(-context), as_conditioning(context), 4.0)
    schedule, generator = denoiser.schedule, torch.Generator().manual_seed(RESAMPLED.seed)
    latents = way.noise
    for left in reversed(range(STEPS)):
        timestep = schedule.timesteps(STEPS)[left]
        alpha, alpha_to = schedule.alpha(timestep), schedule.alpha(schedule.previous(timestep, STEPS))
        for time in range(3 if left >= 3 else 1):
            if time:
                one = torch.randn(latents[:, :, :1].shape, generator=generator)
                noise = torch.cat([one.roll(cells * i, -1) for i in range(latents.shape[2])], dim=2)
                latents = (alpha / alpha_to) ** 0.5 * latents + (1 - alpha / alpha_to) ** 0.5 * noise
                latents = correct(latents, left + 1)
            latents = correct(ddim_step(latents, model(latents, timestep), alpha=alpha, alpha_to=alpha_to), left)
    edited = edit(denoiser, way, -context, context, config=RESAMPLED, correct=correct)
    torch.testing.assert_close(edited, latents, rtol=0, atol=1e-6)


def test_outside_the_clip_stays_and_inside_it_changes(denoiser, way, clip_latents, context, correct):
    once = dataclasses.replace(RESAMPLED, resample=1)
    edited, plain = (edit(denoiser, way, -context, context, config=each, correct=correct) for each in (RESAMPLED, once))
    assert torch.equal(edited[..., :2], clip_latents[..., :2])
    assert not torch.allclose(edited[..., 3:5, 2:5], plain[..., 3:5, 2:5], atol=1e-3)


def test_progress_counts_steps_and_not_their_repetitions(denoiser, way, context, correct):
    seen = []
    tell = lambda done, total, latents: seen.append((done, total))  # noqa: E731
    edit(denoiser, way, context, context, config=RESAMPLED, correct=correct, on_step=tell)
    assert seen == [(done, STEPS) for done in range(1, STEPS + 1)]


class TestRefusals:
    """Each says what it got, what it expected and what to do."""

    def test_no_mask(self, denoiser, way, context):
        with pytest.raises(ConfigError, match=r"resample 3 without a mask.*set resample to 1"):
            edit(denoiser, way, context, context, config=RESAMPLED)

    def test_deep_cache(self, denoiser, way, context, correct):
        both = dataclasses.replace(RESAMPLED, deep_every=2)
        with pytest.raises(ConfigError, match=r"resample 3 with deep_every 2"):
            edit(denoiser, way, context, context, config=both, correct=correct)

    @pytest.mark.parametrize("method", ["o_belm", "dpmpp_2m"])
    def test_steps_of_their_own(self, denoiser, clip_latents, context, correct, method):
        own = invert(denoiser, clip_latents, context, num_steps=STEPS, method=method)
        with pytest.raises(ConfigError, match=rf"resample 3 for an inversion by {method}.*Use resample 1"):
            edit(denoiser, own, context, context, config=RESAMPLED, correct=correct)
