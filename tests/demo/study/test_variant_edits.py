"""demo/study/variant_edits.py: the start of an edit that adds something, and prompts for parts of the picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from demo.study.variant_edits import render_with, renew_inside
from demo.study.variants import Variant
from demo.study.worlds import crossing
from tav_core import InflatedUNet, Trajectory, UNetDenoiser, load_checkpoint


def test_new_noise_is_inside_the_mask_and_has_the_variance_of_noise():
    latents = torch.randn(3, 1, 4, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    start, mask = Trajectory(latents=latents, timesteps=(100, 500)), torch.zeros(8, 128, 128)
    mask[:, :64] = 1
    new = renew_inside(start, mask, 1.0, seed=1)
    assert torch.equal(new.latents[:-1], latents[:-1])
    assert torch.equal(new.noise[..., 9:, :], start.noise[..., 9:, :])
    assert not torch.isclose(new.noise[..., :8, :], start.noise[..., :8, :]).all(dim=-1).any()
    half = renew_inside(start, mask, 0.5, seed=1).noise[..., :8, :]
    assert 0.95 < half.std() < 1.05
    assert torch.equal(renew_inside(start, mask, 0.0, seed=1).noise, start.noise)


def test_local_prompts_reach_the_edit_of_a_crossing_clip():
    """One step, untuned: what each shape's mask holds changes by its prompt, and nothing else is told of it."""
    world = crossing()
    clip, checkpoint = world.clips["meet"], load_checkpoint(world.model)
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet), schedule=checkpoint.schedule)
    plain = Variant(tuned=False, sampling={"num_steps": 1})
    videos = [
        render_with(world, denoiser, checkpoint, clip, variant=variant, edits=clip.edits[:1])[0]
        for variant in (plain, dataclasses.replace(plain, local=True))
    ]
    inside = np.any([mask.numpy() > 0 for _, mask in world.local_prompts(clip, clip.edits[0])], axis=0)
    changed = np.abs(videos[1] - videos[0]).mean(-1)
    assert changed[inside].mean() > 3 * changed[~inside].mean() > 0
