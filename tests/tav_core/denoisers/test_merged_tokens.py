"""tav_core/denoisers/merged_tokens.py: an edit with merged tokens, what it changes, and what it is refused with."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.flow_guided import FlowGuidedDenoiser
from tav_core.denoisers.merged_tokens import merge_tokens
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError
from tav_core.models.conditioning import Conditioning
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit

TWO = EditConfig(num_steps=2, guidance_scale=3.0)


def test_nothing_merged_is_the_same_denoiser(denoiser):
    assert merge_tokens(denoiser, 0.0) is denoiser


def test_an_edit_merges_repeats_and_leaves_the_model_alone(denoiser, clip_latents, context):
    merging = dataclasses.replace(TWO, merge_tokens=0.5)
    plain = edit(denoiser, clip_latents, context, 0 * context, config=TWO)
    merged = edit(denoiser, clip_latents, context, 0 * context, config=merging)
    assert merged.isfinite().all() and not torch.allclose(merged, plain)
    assert torch.equal(merged, edit(denoiser, clip_latents, context, 0 * context, config=merging))
    assert torch.equal(plain, edit(denoiser, clip_latents, context, 0 * context, config=TWO))
    slight = edit(denoiser, clip_latents, context, 0 * context, config=dataclasses.replace(TWO, merge_tokens=0.1))
    assert (slight - plain).norm() < (merged - plain).norm()


@pytest.mark.parametrize(("family", "halved"), [("sd1", 1), ("sd2", 1), ("sdxl", 2)])
@torch.no_grad()
def test_the_finest_level_with_attention_merges_alone(request, family, halved):
    parts = request.getfixturevalue(family)
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(parts.unet), schedule=NoiseSchedule.from_config(parts.scheduler))
    merged, asked = merge_tokens(denoiser, 0.5), []
    for block in merged.unet.blocks().values():
        block.attn1.to_q.register_forward_pre_hook(lambda _, args: asked.append(args[0].shape[1]))
    generator = torch.Generator().manual_seed(0)
    text = torch.randn((1, 7, merged.unet.config.cross_attention_dim), generator=generator)
    pooled = torch.randn((1, 96), generator=generator) if family == "sdxl" else None
    merged.epsilon(
        torch.randn((1, 4, 3, 16, 16), generator=generator), 481, Conditioning(text=text, pooled_text=pooled)
    )
    finest = (16 // halved) ** 2
    assert finest // 2 in asked
    assert set(asked) <= {finest // 2, *(finest // 4**level for level in (1, 2, 3))}
    shared = {parameter.data_ptr() for parameter in denoiser.unet.parameters()}
    assert {parameter.data_ptr() for parameter in merged.unet.parameters()} == shared


def test_context_windows_merge_inside(denoiser, clip_latents, context):
    windowed = WindowedDenoiser(denoiser=denoiser, windows=ContextWindows())
    merging = dataclasses.replace(TWO, merge_tokens=0.5)
    # The clip is no longer than a window.
    ways = [edit(each, clip_latents, context, 0 * context, config=merging) for each in (windowed, denoiser)]
    assert torch.equal(*ways)


def test_deep_layers_may_be_reused_too(denoiser, clip_latents, context):
    both = dataclasses.replace(TWO, merge_tokens=0.5, deep_every=2)
    edited = edit(denoiser, clip_latents, context, 0 * context, config=both)
    alone = edit(denoiser, clip_latents, context, 0 * context, config=dataclasses.replace(both, merge_tokens=0.0))
    assert edited.isfinite().all() and not torch.allclose(edited, alone)


def test_what_needs_every_token_in_its_place_is_refused(denoiser, clip_latents, context):
    frames, height, width = clip_latents.shape[2:]
    paths = [torch.zeros((frames, height >> level, width >> level), dtype=torch.int64) for level in range(3)]
    guided = FlowGuidedDenoiser(denoiser=denoiser, paths=paths)
    config = dataclasses.replace(TWO, merge_tokens=0.5)
    with pytest.raises(ConfigError, match=r"merge_tokens 0\.5 with FlowGuidedDenoiser.*Set merge_tokens to 0"):
        edit(guided, clip_latents, context, context, config=config)
