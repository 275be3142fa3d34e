"""How much memory tuning and sampling need, and what to recompute so that they fit.

An estimate is a sum: float32 masters, their gradients and AdamW's moments (16 bytes a trained value), and activations,
which grow with frames x height x width. `ACTIVATIONS` holds how many values of a UNet's first width are alive at the
peak for each latent pixel: counted, not fitted, on Stable Diffusion 1.5 by `python -m benchmarks.count_memory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import OutOfMemory

if TYPE_CHECKING:
    from ..tuning.config import TuneConfig
    from .unet import InflatedUNet

GB = 1e9
BYTES_PER_TRAINED = 16
# Kernels' workspaces and the gaps that an allocator leaves.
HEADROOM = 1.1


@dataclass(frozen=True)
class Recompute:
    """What a tuning recomputes, see recompute.py.

    Args:
        what: one of `tune_config.RECOMPUTE`.
        num_levels: of how many of the finest resolutions; 0 is all.
    """

    what: str
    num_levels: int = 0


ACTIVATIONS = {
    Recompute("nothing"): 404.0,
    Recompute("blocks", 1): 230.0,
    Recompute("blocks", 2): 124.0,
    Recompute("blocks", 3): 70.0,
    Recompute("blocks"): 65.0,
    Recompute("layers"): 46.0,
}
SAMPLING_ACTIVATIONS = 16.8
# More with ControlNets: their residuals are kept until the last is used. A T2I-Adapter adds a hundredth.
CONTROLNET_ACTIVATIONS = 7.2
MODES = {"speed": Recompute("nothing"), "balanced": Recompute("blocks"), "low": Recompute("layers")}


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What a tuning will recompute, and what it needs.

    Args:
        recompute: what.
        needed: bytes beyond the model that is loaded already.
        free: bytes that are free, None where the system does not tell.
    """

    recompute: Recompute
    needed: int
    free: int | None

    def __str__(self) -> str:
        levels = f" of {self.recompute.num_levels} levels" if self.recompute.num_levels else ""
        free = "" if self.free is None else f" of {self.free / GB:.1f} GB free"
        return f"recomputes {self.recompute.what}{levels}, about {self.needed / GB:.1f} GB{free}"


def plan_tuning(
    unet: InflatedUNet, shape: Sequence[int], *, config: TuneConfig, dtype: torch.dtype, num_trained: int
) -> MemoryPlan:
    """Chooses what to recompute.

    Args:
        unet: the model that will be tuned, on its device.
        shape: of the latents of one step, `b c f h w`.
        config: its `recompute`, or else its `memory`, says what; "auto" takes the fastest that fits.
        dtype: computed in.
        num_trained: values that train.

    Raises:
        OutOfMemory: it will not fit; says what would.
    """
    free, options = free_memory(unet.device), list(ACTIVATIONS)
    if config.recompute != "auto":
        options = [Recompute(config.recompute)]
    elif config.memory != "auto":
        options = [MODES[config.memory]]
    elif free is None:
        options = [MODES["balanced"]]
    recast = 0 if unet.dtype == dtype else parameter_bytes(unet, dtype)
    for option in options:
        activations = activation_bytes(unet, shape, dtype, ACTIVATIONS[option])
        needed = int((activations + num_trained * BYTES_PER_TRAINED + recast) * HEADROOM)
        plan = MemoryPlan(recompute=option, needed=needed, free=free)
        if free is None or needed <= free:
            return plan
    raise does_not_fit(plan, activations * HEADROOM, shape, could_lower=option != MODES["low"])


def does_not_fit(plan: MemoryPlan, activations: float, shape: Sequence[int], *, could_lower: bool) -> OutOfMemory:
    """The error of a plan that needs more than there is."""
    num_frames = shape[2]
    fitting = int(num_frames * (activations - (plan.needed - plan.free)) / activations)
    mends = ["memory 'low'"] * could_lower + [f"{fitting} frames"] * (fitting >= 2) + ["a smaller size"]
    return OutOfMemory(
        got=f"tuning on {num_frames} frames, which needs about {plan.needed / GB:.1f} GB",
        expected=f"no more than the {plan.free / GB:.1f} GB that are free",
        mend=f"Use {', or '.join(mends)}; or close what else holds memory.",
    )


def estimate_sampling(
    unet: InflatedUNet, shape: Sequence[int], *, guided: bool = True, controlnets: bool = False
) -> int:
    """Bytes that one prediction needs beyond the models.

    Args:
        shape: of the latents of one video, `1 c f h w`.
        guided: with and without the prompt in one batch.
        controlnets: whether there are any.
    """
    count = SAMPLING_ACTIVATIONS + controlnets * CONTROLNET_ACTIVATIONS
    return int(activation_bytes(unet, shape, unet.dtype, count) * (1 + guided) * HEADROOM)


def check_sampling(unet: InflatedUNet, shape: Sequence[int], *, guided: bool, controlnets: bool = False) -> None:
    """Checks before a sampling or an inversion that its predictions fit into the free memory.

    Args: see `estimate_sampling`.

    Raises:
        OutOfMemory: they will not; says what would.
    """
    needed = estimate_sampling(unet, shape, guided=guided, controlnets=controlnets)
    free = free_memory(unet.device)
    if free is not None and needed > free:
        fitting = shape[2] * free // needed
        mends = [f"windows of {fitting} frames or fewer"] * (fitting >= 3) + ["fewer frames", "a smaller size"]
        raise OutOfMemory(
            got=f"{shape[2]} frames at once, which needs about {needed / GB:.1f} GB",
            expected=f"no more than the {free / GB:.1f} GB that are free",
            mend=f"Use {', or '.join(mends)}; or close what else holds memory.",
        )


def activation_bytes(unet: InflatedUNet, shape: Sequence[int], dtype: torch.dtype, count: float) -> float:
    """Bytes of `count` values of the UNet's first width for each latent pixel."""
    batch, _, num_frames, height, width = shape
    return count * unet.config.block_out_channels[0] * batch * num_frames * height * width * dtype.itemsize


def parameter_bytes(unet: InflatedUNet, dtype: torch.dtype) -> int:
    """Bytes of a UNet's weights in another dtype."""
    return sum(parameter.numel() for parameter in unet.parameters()) * dtype.itemsize


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where the system does not tell."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        # PyTorch 2.4 has a limit for the process too, and does not tell it.
        fraction = getattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 1.0)(device)
        return min(free, int(fraction * total) - reserved) + reserved - torch.cuda.memory_allocated(device)
    return free_ram() if device.type == "cpu" else None


def free_ram() -> int | None:
    """Bytes of the machine's memory that can still be had."""
    try:
        import psutil
    except ImportError:
        info = Path("/proc/meminfo")
        if not info.exists():
            return None
        rows = dict(line.split(":") for line in info.read_text().splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024
    return psutil.virtual_memory().available
