"""Background smoothing, piece by piece against the original."""

from __future__ import annotations

import pytest
import torch

from tav_core.sampling.zero_shot.motion_field import MotionField
from tav_core.sampling.zero_shot.smoothing import latent_foreground, smooth_background

RUNS = ("smooth.binary", "smooth.soft", "smooth.nomotion")


@pytest.mark.parametrize("name", RUNS)
def test_masks_are_resized_and_then_dilated(original, name):
    tensors = original("smoothing")
    expected = tensors[f"{name}.mask_resized_dilated"]
    height, width = expected.shape[1:]
    found = latent_foreground(tensors[f"{name}.mask"].float() / 255, height=height, width=width)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", RUNS)
def test_backgrounds_equal_the_originals_in_all_frames_but_the_first(original, settings, close, name):
    """The original changes frame 0 too where masks are soft; here it is left alone."""
    run, tensors = settings["smoothing"][name], original("smoothing")
    latents, mask = tensors[f"{name}.x_t1"], tensors[f"{name}.mask_resized_dilated"]
    height, width = run["latent_size"]
    move = tuple(run["motion"]) if run["use_motion_field"] else (0, 0)
    places = MotionField(move=move, size=(512, 512)).places([1, 2, 3], num_frames=4, height=height, width=width)
    found = smooth_background(latents[:, :, 1:], latents[:, :, :1], mask, places, strength=run["smooth_bg_strength"])
    close(found, tensors[f"{name}.x_t1_smoothed"][:, :, 1:], 1e-6)


def test_strength_1_changes_nothing_and_a_full_foreground_neither():
    latents, first = torch.randn(1, 4, 2, 8, 8), torch.randn(1, 4, 1, 8, 8)
    places = MotionField(move=(8, 0)).places([1, 2], num_frames=3, height=8, width=8)
    empty, full = torch.zeros(3, 8, 8), torch.ones(3, 8, 8)
    torch.testing.assert_close(smooth_background(latents, first, empty, places, strength=1.0), latents)
    assert torch.equal(smooth_background(latents, first, full, places, strength=0.4), latents)
