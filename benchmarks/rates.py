"""The best rates of this machine's arithmetic and memory, which a stage's own rate is compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .clocks import time_in_turn, working_seconds

# Large enough to fill the device, small enough to take about a second per product.
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
# Images at once, for a convolution of Stable Diffusion's first level: 320 channels of 64x64.
CONVOLUTION_BATCH = {"cpu": 2, "cuda": 32}
CHANNELS, SIDE, KERNEL = 320, 64, 3
# Attention of Stable Diffusion's first level: heads, tokens of a frame, width of a head.
HEADS, TOKENS, HEAD_WIDTH = 8, SIDE**2, CHANNELS // 8
# Far more than any cache holds.
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**32}
TIMES = 5


@torch.no_grad()
def measure_rates(device: str, dtype: torch.dtype, *, channels_last: bool = False) -> dict[str, float]:
    """Operations per second of a large matrix product and of a convolution: medians of five runs, after a warm-up.

    On a CPU, a second is a second of CPU time, summed over all threads.
    """
    products = {
        "matmul": matrix_product(device, dtype),
        "convolution": convolution(device, dtype, channels_last),
    }
    runs = {name: run for name, (run, _) in products.items()}
    time_in_turn(runs, times=1, device=device)
    timed = time_in_turn(runs, times=TIMES, device=device)
    return {name: flops / working_seconds(timed[name], device) for name, (_, flops) in products.items()}


@torch.no_grad()
def measure_more_rates(device: str, dtype: torch.dtype) -> dict[str, float]:
    """What a floor needs besides: operations per second of attention, and bytes per second of a copy."""
    query, key, value = torch.randn((3, 1, HEADS, TOKENS, HEAD_WIDTH)).to(device, dtype)
    source = torch.ones(COPIED_BYTES[device] // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    runs = {
        "attention": lambda: F.scaled_dot_product_attention(query, key, value),
        "bandwidth": lambda: target.copy_(source),
    }
    amounts = {"attention": 4 * query.numel() * TOKENS, "bandwidth": 2 * source.nbytes}
    time_in_turn(runs, times=1, device=device)
    timed = time_in_turn(runs, times=TIMES, device=device)
    return {name: amount / working_seconds(timed[name], device) for name, amount in amounts.items()}


def matrix_product(device: str, dtype: torch.dtype) -> tuple[Callable[[], Tensor], int]:
    """A product of square matrices, and the number of its operations."""
    side = MATRIX_SIDE[device]
    left, right = torch.randn((2, side, side)).to(device, dtype)
    return lambda: left @ right, 2 * side**3


def convolution(device: str, dtype: torch.dtype, channels_last: bool) -> tuple[Callable[[], Tensor], int]:
    """A 3x3 convolution, and the number of its operations."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.randn((CONVOLUTION_BATCH[device], CHANNELS, SIDE, SIDE)).to(device, dtype, memory_format=layout)
    weight = torch.randn((CHANNELS, CHANNELS, KERNEL, KERNEL)).to(device, dtype, memory_format=layout)
    flops = 2 * images.numel() * CHANNELS * KERNEL**2
    return lambda: F.conv2d(images, weight, padding=KERNEL // 2), flops
