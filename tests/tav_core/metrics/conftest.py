"""Clips with a known motion."""

from __future__ import annotations

import pytest
import torch


def texture(height, width, seed=0):
    """A smooth random picture `h w 3` in [0, 1], with detail that a flow can follow."""
    noise = torch.randn((1, 3, height // 4, width // 4), generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")
    return smooth.mul(0.2).add(0.5).clamp(0, 1)[0].movedim(0, -1)


@pytest.fixture
def shifted():
    """A texture seen through a window that wanders: the picture moves 3 pixels left and 1 up from frame to frame."""
    whole = texture(128, 160)
    return torch.stack([whole[8 + t : 104 + t, 8 + 3 * t : 104 + 3 * t] for t in range(6)])


@pytest.fixture
def turned():
    """A texture that turns by 4 degrees a frame about the middle."""
    whole = texture(96, 96).movedim(-1, 0)[None]
    angles = torch.deg2rad(torch.arange(6) * 4.0)
    zeros = torch.zeros_like(angles)
    rows = [torch.stack([angles.cos(), -angles.sin(), zeros], -1), torch.stack([angles.sin(), angles.cos(), zeros], -1)]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), (6, 3, 96, 96), align_corners=False)
    spun = torch.nn.functional.grid_sample(
        whole.expand(6, -1, -1, -1), grid, padding_mode="reflection", align_corners=False
    )
    return spun.movedim(1, -1).clamp(0, 1)
