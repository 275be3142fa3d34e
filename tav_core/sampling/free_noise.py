"""FreeNoise: random starts for clips longer than a window (arXiv 2310.15169, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError
from ..models.schedule import draw_noise
from ..settings import is_whole


def free_noise(shape: tuple[int, ...] | torch.Size, seed: int, *, window: int = 16, stride: int = 4) -> Tensor:
    """float32 noise `b c f h w` from a seed, drawn on the CPU; its later frames repeat the first ones in another order.

    So windows far apart start from the same frames of noise, and show the same things. Each single frame is Gaussian
    noise. A clip that is no longer than a window gets `gaussian_noise`.

    Args:
        window: how many frames are drawn; the paper's default.
        stride: frames in a group; a group is shuffled again each time it is repeated. The paper's default.

    Raises:
        ConfigError: one of the two is no whole number of 1 or more.
    """
    for name, value in (("window", window), ("stride", stride)):
        if not is_whole(value) or value < 1:
            raise ConfigError(
                got=f"a {name} of {value!r} frames for FreeNoise",
                expected="a whole number, 1 or more",
                mend="Use the paper's: a window of 16 frames and a stride of 4.",
            )
    generator = torch.Generator("cpu").manual_seed(int(seed))
    batch, channels, num_frames, *size = shape
    noise = draw_noise((batch, channels, min(window, num_frames), *size), generator)
    order = list(range(noise.shape[2]))
    while len(order) < num_frames:
        group = order[len(order) - window : len(order) - window + stride]
        order += [group[i] for i in torch.randperm(len(group), generator=generator, device="cpu")]
    return noise[:, :, order[:num_frames]]
