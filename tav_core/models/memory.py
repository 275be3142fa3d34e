"""How much memory a prediction needs, and how much a device has left.

The estimate is the number of values alive at the peak, per latent pixel and in units of the UNet's first width. It was
counted, not fitted, on Stable Diffusion 1.5 by `python -m benchmarks.count_memory`, and is multiplied by frames x
height x width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import OutOfMemory

if TYPE_CHECKING:
    from .unet import InflatedUNet

GIB = 2**30
# A factor for kernels' workspaces and the gaps that an allocator leaves.
HEADROOM = 1.1
# Stable Diffusion XL has 14.0 to 15.8, and ControlNets add 6.1 to 7.3 there, so the same two numbers serve.
SAMPLING_ACTIVATIONS = 16.8
# ControlNets add this, because their residuals are kept until the last is used. A T2I-Adapter adds a hundredth of it.
CONTROLNET_ACTIVATIONS = 7.2


def estimate_sampling(
    unet: InflatedUNet, shape: Sequence[int], *, guided: bool = True, controlnets: bool = False
) -> int:
    """Bytes that one prediction needs, not counting the models.

    Args:
        shape: shape of the latents of one video, `1 c f h w`.
        guided: whether predictions with and without the prompt run in one batch.
        controlnets: whether there are ControlNets.
    """
    count = SAMPLING_ACTIVATIONS + controlnets * CONTROLNET_ACTIVATIONS
    return int(activation_bytes(unet, shape, unet.dtype, count) * (1 + guided) * HEADROOM)


def check_sampling(unet: InflatedUNet, shape: Sequence[int], *, guided: bool, controlnets: bool = False) -> None:
    """Checks before a sampling or an inversion that its predictions fit into the free memory.

    Args: see `estimate_sampling`.

    Raises:
        OutOfMemory: they do not fit; the message says what would.
    """
    needed = estimate_sampling(unet, shape, guided=guided, controlnets=controlnets)
    free = free_memory(unet.device)
    if free is not None and needed > free:
        fitting = shape[2] * free // needed
        mends = [f"windows of {fitting} frames or fewer"] * (fitting >= 3) + ["fewer frames", "a smaller size"]
        raise OutOfMemory(
            got=f"{shape[2]} frames at once, which needs about {needed / GIB:.1f} GiB",
            expected=f"no more than the {free / GIB:.1f} GiB that are free",
            mend=f"Use {', or '.join(mends)}; or close what else holds memory.",
        )


def activation_bytes(unet: InflatedUNet, shape: Sequence[int], dtype: torch.dtype, count: float) -> float:
    """Bytes of `count` values per latent pixel and channel of the UNet's first width."""
    batch, _, num_frames, height, width = shape
    return count * unet.config.block_out_channels[0] * batch * num_frames * height * width * dtype.itemsize


def parameter_bytes(unet: InflatedUNet, dtype: torch.dtype) -> int:
    """Bytes of a UNet's weights in another dtype."""
    return sum(parameter.numel() for parameter in unet.parameters()) * dtype.itemsize


def free_memory(device: torch.device) -> int | None:
    """Free bytes on a device; None if the system does not report them."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        # PyTorch 2.4 also limits the process's memory, but does not report the limit.
        fraction = getattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 1.0)(device)
        return min(free, int(fraction * total) - reserved) + reserved - torch.cuda.memory_allocated(device)
    return free_ram() if device.type == "cpu" else None


def free_ram() -> int | None:
    """Free bytes of the machine's memory; None if the system does not report them."""
    try:
        import psutil
    except ImportError:
        info = Path("/proc/meminfo")
        if not info.exists():
            return None
        rows = dict(line.split(":") for line in info.read_text().splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024
    return psutil.virtual_memory().available
