"""What this machine's arithmetic gives at best: the rates that a stage's own rate is held against."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .clocks import time_in_turn, working_seconds

# Large enough to fill the device, small enough for about a second a product.
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
# Stable Diffusion's widest level: 320 channels of 64x64; so many images at once.
CONVOLUTION_BATCH = {"cpu": 2, "cuda": 32}
CHANNELS, SIDE, KERNEL = 320, 64, 3
TIMES = 5


@torch.no_grad()
def measure_rates(device: str, dtype: torch.dtype, *, channels_last: bool = False) -> dict[str, float]:
    """Operations a second of a large matrix product and of a convolution: medians of five, after a warm-up.

    On a CPU they are those of a second of the processor's own time, of all its threads together.
    """
    products = {
        "matmul": matrix_product(device, dtype),
        "convolution": convolution(device, dtype, channels_last),
    }
    runs = {name: run for name, (run, _) in products.items()}
    time_in_turn(runs, times=1, device=device)
    timed = time_in_turn(runs, times=TIMES, device=device)
    return {name: flops / working_seconds(timed[name], device) for name, (_, flops) in products.items()}


def matrix_product(device: str, dtype: torch.dtype) -> tuple[Callable[[], Tensor], int]:
    """A product of square matrices, and its operations."""
    side = MATRIX_SIDE[device]
    left, right = torch.randn((2, side, side)).to(device, dtype)
    return lambda: left @ right, 2 * side**3


def convolution(device: str, dtype: torch.dtype, channels_last: bool) -> tuple[Callable[[], Tensor], int]:
    """A 3x3 convolution, and its operations."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.randn((CONVOLUTION_BATCH[device], CHANNELS, SIDE, SIDE)).to(device, dtype, memory_format=layout)
    weight = torch.randn((CHANNELS, CHANNELS, KERNEL, KERNEL)).to(device, dtype, memory_format=layout)
    flops = 2 * images.numel() * CHANNELS * KERNEL**2
    return lambda: F.conv2d(images, weight, padding=KERNEL // 2), flops
