"""demo/study/variant_edits.py: the start of an edit that adds something."""

from __future__ import annotations

import torch

from demo.study.variant_edits import renew_inside
from tav_core import Trajectory


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
