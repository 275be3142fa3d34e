"""Second differences in time."""

from __future__ import annotations

import torch

from tav_core.metrics.flicker import second_differences


def test_a_fade_has_none_and_a_flash_has_twice_its_height():
    fade = torch.linspace(0, 1, 6)[:, None, None, None].expand(-1, 2, 3, 3)
    torch.testing.assert_close(second_differences(fade), torch.zeros(4), rtol=0, atol=1e-6)
    flash = torch.zeros(5, 2, 3, 3)
    flash[2] = 0.5
    torch.testing.assert_close(second_differences(flash), torch.tensor([0.5, 1.0, 0.5]))


def test_is_the_mean_over_pixels_and_channels():
    frames = torch.rand((5, 4, 6, 3), generator=torch.Generator().manual_seed(0))
    expected = [(frames[t + 1] - 2 * frames[t] + frames[t - 1]).abs().mean() for t in range(1, 4)]
    torch.testing.assert_close(second_differences(frames), torch.stack(expected))
