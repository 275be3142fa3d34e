"""sampling/keep_colors.py: an upscaled video has the clip's colors, and the details that were drawn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tav_core import keep_colors
from tav_core.errors import ClipError

FRAMES, HEIGHT, WIDTH = 3, 20, 28


@pytest.fixture
def clip():
    """Smooth frames, `f h w 3`, that fill the middle of the range."""
    torch.manual_seed(0)
    coarse = 0.3 + 0.4 * torch.rand(FRAMES, 3, 4, 5)
    return F.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bilinear").movedim(1, -1)


def enlarged(frames):
    """Frames four times as large, without any details."""
    return frames.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)


def details():
    """A fine pattern that changes no mean of 4 x 4 pixels, `4h 4w 1`."""
    board = (torch.arange(4 * HEIGHT)[:, None] + torch.arange(4 * WIDTH)) % 2
    return 0.2 * board[..., None] - 0.1


def test_a_shift_of_color_goes_and_details_stay(clip):
    shift = torch.tensor([0.08, -0.05, 0.02])
    kept = keep_colors(enlarged(clip) + details() + shift, clip)
    assert torch.allclose(kept, enlarged(clip) + details(), atol=1e-5)


def test_a_shift_that_grows_over_the_picture_nearly_goes(clip):
    slope = torch.linspace(-0.1, 0.1, 4 * WIDTH)[None, None, :, None]
    kept = keep_colors(enlarged(clip) + slope, clip)
    assert (kept - enlarged(clip)).abs().max() < 0.02


def test_right_colors_are_not_changed(clip):
    large = enlarged(clip) + details()
    assert torch.allclose(keep_colors(large, clip), large, atol=1e-6)


def test_what_is_as_fine_as_a_pixel_of_the_clip_is_not_taken_over(clip):
    noise = 0.05 * torch.randn(clip.shape)
    kept = keep_colors(enlarged(clip), (clip + noise).clamp(0, 1))
    assert (kept - enlarged(clip)).std() < 0.2 * noise.std()


def test_each_frame_has_its_own_correction(clip):
    shifts = torch.tensor([0.1, 0.0, -0.1]).view(3, 1, 1, 1)
    assert torch.allclose(keep_colors(enlarged(clip) + shifts, clip), enlarged(clip), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1, 1, 3), (2, 1, 9, 3)])
def test_the_smallest_clips_are_corrected(size):
    clip = torch.full(size, 0.5)
    assert torch.allclose(keep_colors(enlarged(clip) + 0.25, clip), enlarged(clip), atol=1e-6)


def test_colors_stay_in_range_and_types_are_kept(clip):
    large = enlarged(clip).to(torch.float64)
    kept = keep_colors(large - 0.5, torch.ones_like(clip))
    assert kept.dtype == torch.float64 and kept.min() >= 0 and kept.max() <= 1


@pytest.mark.parametrize(
    ("large", "clip"),
    [((3, 80, 112, 3), (2, 20, 28, 3)), ((3, 40, 56, 3), (3, 20, 28, 3)), ((3, 80, 112, 4), (3, 20, 28, 3))],
)
def test_other_sizes_are_refused(large, clip):
    with pytest.raises(ClipError, match="4 times the clip's size"):
        keep_colors(torch.zeros(large), torch.zeros(clip))


def test_a_clip_with_an_alpha_channel_is_refused():
    with pytest.raises(ClipError, match="alpha"):
        keep_colors(torch.zeros(1, 8, 8, 4), torch.zeros(1, 2, 2, 4))
