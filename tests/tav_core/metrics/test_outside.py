"""What is kept outside a mask, against plain sums over windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tav_core.errors import InputError
from tav_core.metrics.outside import outside_scores, structural_similarity


def plain_ssim(x, y):
    """SSIM of two grey pictures, window by window (Wang et al., 2004)."""
    places = np.arange(-5, 6)
    line = np.exp(-(places**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (z[top : top + 11, left : left + 11] for z in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = ((weights * (z - m) ** 2).sum() for z, m in ((a, mean_a), (b, mean_b)))
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            light = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            found.append(light * (2 * both + 9e-4) / (var_a + var_b + 9e-4))
    return float(np.mean(found))


@pytest.fixture
def pair():
    noise = torch.rand((2, 3, 16, 20, 3), generator=torch.Generator().manual_seed(0))
    return noise[0], 0.7 * noise[0] + 0.3 * noise[1]


def test_ssim_is_the_papers(pair):
    frames, source = pair
    ours = structural_similarity(frames, source)
    for frame, other, got in zip(frames, source, ours, strict=True):
        channels = [plain_ssim(frame[..., c].double().numpy(), other[..., c].double().numpy()) for c in range(3)]
        assert float(got) == pytest.approx(np.mean(channels), abs=1e-6)


def test_inside_does_not_count_and_is_black_in_both(pair):
    frames, source = pair
    mask = torch.zeros(1, 16, 20)
    mask[:, 4:12, 5:15] = 1
    found = outside_scores(frames, source, mask)
    changed = torch.where(mask[..., None] > 0, torch.rand_like(frames), frames)
    assert outside_scores(changed, source, mask) == found
    kept = (mask == 0)[..., None]
    errors = ((frames - source).square() * kept).mean((1, 2, 3))
    assert found["outside_psnr"] == pytest.approx(float((-10 * errors.log10()).mean()), abs=1e-4)
    assert found["outside_ssim"] == pytest.approx(float(structural_similarity(frames * kept, source * kept).mean()))


def test_equal_pictures_and_masks_that_cover_everything(pair):
    frames, source = pair
    same = outside_scores(frames, frames, torch.zeros(1, 16, 20))
    assert same["outside_psnr"] == math.inf and same["outside_ssim"] == pytest.approx(1)
    nothing = outside_scores(frames, source, torch.ones(1, 16, 20))
    assert all(math.isnan(value) for value in nothing.values())
    # A frame whose mask covers it is left out of the mean.
    some = torch.zeros(3, 16, 20)
    some[0] = 1
    assert outside_scores(frames, source, some) == outside_scores(frames[1:], source[1:], some[1:])
    with pytest.raises(InputError):
        outside_scores(frames, source, torch.zeros(1, 8, 8))
    with pytest.raises(InputError, match="11 pixels"):
        structural_similarity(frames[:, :8], source[:, :8])
