"""demo/study/variant_edits.py: the start of an edit that adds something, and prompts for parts of the picture."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import torch

from demo.study import variant_edits
from demo.study.variant_edits import render_with, renew_inside
from demo.study.variants import VARIANTS, Variant
from demo.study.worlds import creatures, crossing
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


def test_each_edit_is_made_by_the_variant_of_what_it_changes(monkeypatch):
    """In the clip's order, and with one inversion for the edits of each variant."""
    world = creatures()
    clip, calls = world.clips["rabbit"], []

    def label(world, denoiser, checkpoint, clip, seed, variant, *, edits):
        calls.append(len(edits))
        return np.array([[clip.edits.index(each), variant.led] for each in edits])

    monkeypatch.setattr(variant_edits, "tuned_denoiser", lambda *args: None)
    monkeypatch.setattr(variant_edits, "render_with", label)
    own = {"place": Variant(led=0.1), "subject+place": Variant(led=0.2)}
    made = variant_edits.render_edits(world, None, clip, 0, None, Variant(led=0.8, by_change=own))
    changed = ["+".join(each.changed) for each in clip.edits]
    assert {"place", "subject+place", "style"} <= set(changed)
    assert [tuple(row) for row in made] == [(i, own[c].led if c in own else 0.8) for i, c in enumerate(changed)]
    assert sorted(calls) == [1, 1, 4]


def test_what_makes_a_variant_can_be_written_down():
    for variant in VARIANTS.values():
        json.dumps(dataclasses.asdict(variant))


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
