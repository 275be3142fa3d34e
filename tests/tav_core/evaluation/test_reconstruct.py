"""tav_core/evaluation/reconstruct.py: the error falls with the number of steps, and is what it says."""

from __future__ import annotations

import math

import pytest
import torch

from tav_core.evaluation.reconstruct import psnr, reconstruct
from tav_core.sampling.invert import invert


def test_more_steps_lose_less(denoiser, clip_latents, context):
    errors = []
    for num_steps in (10, 40):
        trajectory = invert(denoiser, clip_latents, context, num_steps=num_steps)
        back = reconstruct(denoiser, trajectory, context)
        assert back.error == pytest.approx(float((back.latents - clip_latents).norm() / clip_latents.norm()))
        errors.append(back.error)
    assert errors[1] < 0.6 * errors[0]


def test_another_prompt_loses_more(denoiser, clip_latents, context):
    trajectory = invert(denoiser, clip_latents, context, num_steps=20)
    own, other = reconstruct(denoiser, trajectory, context), reconstruct(denoiser, trajectory, -context)
    assert own.error < other.error


def test_psnr():
    frames = torch.full((2, 4, 4, 3), 0.5)
    assert psnr(frames, frames) == math.inf
    assert psnr(frames + 0.1, frames) == pytest.approx(20, abs=1e-4)
