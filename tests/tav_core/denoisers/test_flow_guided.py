"""Flow guidance: off it is the denoiser inside, and it goes with windows, injection, masks and attention modes."""

from __future__ import annotations

import pytest
import torch

from tav_core.denoisers.config import FlowConfig
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.flow_guided import FlowGuidedDenoiser, first_with_attention
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError, LatentsError
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import InjectionConfig
from tav_core.sampling.injection import InjectedDenoiser
from tav_core.sampling.invert import invert
from tests.tav_core.conftest import POOLED

STEP = 500


def still_paths(latents):
    """Every token stays where it is, at each level."""
    num_frames, height, width = latents.shape[2:]
    sizes = [(-(-height // 2**level), -(-width // 2**level)) for level in range(4)]
    return [torch.arange(h * w).view(1, h, w).repeat(num_frames, 1, 1) for h, w in sizes]


def no_paths(latents):
    """No token has a successor."""
    return [torch.arange(level.numel()).view(level.shape) for level in still_paths(latents)]


def guide(denoiser, paths, **settings):
    return FlowGuidedDenoiser(denoiser=denoiser, paths=paths, config=FlowConfig(**settings))


@pytest.fixture
def along(denoiser, clip_latents):
    return guide(denoiser, still_paths(clip_latents))


@torch.no_grad()
def test_it_changes_the_prediction_and_not_the_denoiser(denoiser, along, clip_latents, context):
    before = denoiser.epsilon(clip_latents, STEP, context)
    assert not torch.allclose(along.epsilon(clip_latents, STEP, context), before, atol=1e-4)
    assert torch.equal(denoiser.epsilon(clip_latents, STEP, context), before)
    assert torch.equal(along.epsilon(clip_latents, STEP, context), along.epsilon(clip_latents, STEP, context))


@pytest.mark.parametrize("attention", ["sparse_causal", "sparse_causal_k", "spatial", "first", "causal", "full"])
@torch.no_grad()
def test_without_paths_it_is_the_denoiser_inside_bit_for_bit(denoiser, clip_latents, context, attention):
    denoiser.unet.set_modes(attention=attention, group_norm="clip")
    expected = denoiser.epsilon(clip_latents, STEP, context)
    assert torch.equal(guide(denoiser, no_paths(clip_latents)).epsilon(clip_latents, STEP, context), expected)
    assert not torch.equal(guide(denoiser, still_paths(clip_latents)).epsilon(clip_latents, STEP, context), expected)


@torch.no_grad()
def test_it_ends_where_the_setting_says(denoiser, clip_latents, context):
    early = guide(denoiser, still_paths(clip_latents), until=0.4)
    for timestep, guided in ((999, True), (600, True), (599, False), (1, False)):
        same = torch.equal(
            early.epsilon(clip_latents, timestep, context), denoiser.epsilon(clip_latents, timestep, context)
        )
        assert same != guided
    off = guide(denoiser, still_paths(clip_latents), until=0)
    assert torch.equal(off.epsilon(clip_latents, 999, context), denoiser.epsilon(clip_latents, 999, context))


@torch.no_grad()
def test_more_levels_guide_more(sd1, schedule, clip_latents):
    unet = InflatedUNet.from_2d(sd1.unet)
    denoiser, text = UNetDenoiser(unet=unet, schedule=schedule), torch.randn(1, 7, 64)
    one, two, three = (
        guide(denoiser, still_paths(clip_latents), levels=levels).epsilon(clip_latents, STEP, text)
        for levels in (1, 2, 3)
    )
    assert not torch.equal(one, two)
    # The third level of this UNet has attention in its middle block alone.
    assert not torch.equal(two, three)


def test_the_finest_level_with_attention_is_the_first(sd1, sdxl):
    assert [first_with_attention(parts.unet.config.down_block_types) for parts in (sd1, sdxl)] == [0, 1]


@torch.no_grad()
def test_xl_is_guided_at_half_the_latents_size(sdxl, schedule, clip_latents):
    from tav_core.models.conditioning import Conditioning

    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(sdxl.unet), schedule=schedule)
    text = Conditioning(text=torch.randn(1, 7, 128), pooled_text=torch.randn(1, POOLED))
    paths = still_paths(clip_latents)
    expected = denoiser.epsilon(clip_latents, STEP, text)
    assert not torch.equal(guide(denoiser, paths).epsilon(clip_latents, STEP, text), expected)
    alone = [paths[0], no_paths(clip_latents)[1], *paths[2:]]
    assert torch.equal(guide(denoiser, alone).epsilon(clip_latents, STEP, text), expected)


@torch.no_grad()
def test_windows_take_the_paths_of_their_frames(denoiser, along, clip_latents, context, close):
    num_frames = clip_latents.shape[2]
    frames = [0, *range(num_frames - 2, num_frames)]
    picked = along.pick_frames(frames).epsilon(clip_latents[:, :, frames], STEP, context)
    again = guide(denoiser, still_paths(clip_latents[:, :, frames])).epsilon(clip_latents[:, :, frames], STEP, context)
    close(picked, again, 1e-6)
    # The whole is as it was.
    assert along.groups[clip_latents[0, 0, 0].numel()].num_frames == num_frames
    windows = ContextWindows(length=3, overlap=1)
    windowed = WindowedDenoiser(denoiser=along, windows=windows).epsilon(clip_latents, STEP, context)
    plain = WindowedDenoiser(denoiser=denoiser, windows=windows).epsilon(clip_latents, STEP, context)
    assert windowed.isfinite().all() and not torch.allclose(windowed, plain, atol=1e-4)


@torch.no_grad()
def test_injection_goes_around_it(denoiser, along, clip_latents, context, close):
    """The source under its own text, injected into itself, is its own guided prediction."""
    trajectory = invert(denoiser, clip_latents, context, num_steps=3)
    config = InjectionConfig(attention=1, features=1)
    injected = InjectedDenoiser(denoiser=along, trajectory=trajectory, source_context=context, config=config)
    for index, timestep in enumerate(trajectory.timesteps, start=1):
        latents = trajectory.latents[index]
        close(injected.epsilon(latents, timestep, context), along.epsilon(latents, timestep, context), 1e-5)
    # Under another text, what is injected and what is guided both count.
    latents, timestep, other = clip_latents.flip(2), trajectory.timesteps[-1], context.flip(1)
    unguided = InjectedDenoiser(denoiser=denoiser, trajectory=trajectory, source_context=context, config=config)
    found = [d.epsilon(latents, timestep, other) for d in (injected, along, unguided)]
    assert not any(torch.allclose(found[0], rest, atol=1e-3) for rest in found[1:])
    windowed = WindowedDenoiser(denoiser=along, windows=ContextWindows(length=3, overlap=1))
    both = InjectedDenoiser(denoiser=windowed, trajectory=trajectory, source_context=context, config=config)
    expected = windowed.epsilon(trajectory.latents[-1], trajectory.timesteps[-1], context)
    close(both.epsilon(trajectory.latents[-1], trajectory.timesteps[-1], context), expected, 1e-5)


def test_what_does_not_fit_is_said(denoiser, along, clip_latents, context):
    with pytest.raises(LatentsError, match=r"flow guidance.*the source's"):
        along.epsilon(clip_latents[:, :, 1:], STEP, context)
    with pytest.raises(LatentsError, match="flow guidance"):
        guide(denoiser, still_paths(torch.zeros(1, 4, clip_latents.shape[2], 6, 10))).epsilon(
            torch.zeros(1, 4, clip_latents.shape[2], 10, 6), STEP, context
        )
    longer = guide(denoiser, still_paths(torch.cat([clip_latents, clip_latents], dim=2)))
    with pytest.raises(LatentsError, match="flow guidance"):
        WindowedDenoiser(denoiser=longer, windows=ContextWindows(length=3, overlap=1)).epsilon(
            clip_latents, STEP, context
        )
    windowed = WindowedDenoiser(denoiser=denoiser, windows=ContextWindows())
    with pytest.raises(ConfigError, match="flow guidance around WindowedDenoiser"):
        guide(windowed, still_paths(clip_latents))
