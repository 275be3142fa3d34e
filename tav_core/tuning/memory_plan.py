"""Chooses what a tuning step recomputes so that it fits into memory: the fastest way that fits.

A step needs memory for float32 masters, their gradients, AdamW's moments, and activations, see `models/memory.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..errors import OutOfMemory
from ..models.families import TEXT_TIME
from ..models.memory import GIB, HEADROOM, activation_bytes, free_memory, parameter_bytes

if TYPE_CHECKING:
    from ..models.unet import InflatedUNet
    from .config import TuneConfig

# A float32 master, its gradient, and AdamW's two moments.
BYTES_PER_TRAINED = 16


@dataclass(frozen=True)
class Recompute:
    """What a tuning recomputes, see recompute.py.

    Args:
        what: one of `RECOMPUTE` in config.py.
        num_levels: how many of the finest resolutions recompute; 0 means all.
    """

    what: str
    num_levels: int = 0


# Values alive at the peak of a step, counted by `python -m benchmarks.count_memory`.
ACTIVATIONS = {
    Recompute("nothing"): 404.0,
    Recompute("blocks", 1): 230.0,
    Recompute("blocks", 2): 124.0,
    Recompute("blocks", 3): 70.0,
    Recompute("blocks"): 65.0,
    Recompute("layers"): 46.0,
}
# The same of Stable Diffusion XL, which has three levels, with temporal attention in the last blocks alone.
ACTIVATIONS_XL = {
    Recompute("nothing"): 607.0,
    Recompute("blocks", 1): 586.0,
    Recompute("blocks", 2): 440.0,
    Recompute("blocks"): 78.0,
    Recompute("layers"): 34.0,
}
# As many times that, with temporal attention in all 70 blocks: 749 and 88 were counted for the first and the fourth.
XL_ALL_BLOCKS = 1.25
MODES = {"speed": Recompute("nothing"), "balanced": Recompute("blocks"), "low": Recompute("layers")}


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What a tuning will recompute, and what it needs.

    Args:
        recompute: what it will recompute.
        needed: bytes needed, not counting the model that is loaded already.
        free: free bytes; None if the system does not report them.
    """

    recompute: Recompute
    needed: int
    free: int | None

    def __str__(self) -> str:
        levels = f" of {self.recompute.num_levels} levels" if self.recompute.num_levels else ""
        free = "" if self.free is None else f" of {self.free / GIB:.1f} GiB free"
        return f"recomputes {self.recompute.what}{levels}, needs about {self.needed / GIB:.1f} GiB{free}"


def plan_tuning(
    unet: InflatedUNet, shape: Sequence[int], *, config: TuneConfig, dtype: torch.dtype, num_trained: int
) -> MemoryPlan:
    """Chooses what to recompute.

    Args:
        unet: the model that will be tuned, on its device.
        shape: shape of the latents of one step, `b c f h w`.
        config: its `recompute`, or else its `memory`, decides; "auto" takes the fastest way that fits.
        dtype: the dtype to compute in.
        num_trained: how many values are trained.

    Raises:
        OutOfMemory: nothing fits; the message says what would.
    """
    known = activations_of(unet)
    free, options = free_memory(unet.device), list(known)
    if config.recompute != "auto":
        options = [Recompute(config.recompute)]
    elif config.memory != "auto":
        options = [MODES[config.memory]]
    elif free is None:
        options = [MODES["balanced"]]
    recast = 0 if unet.dtype == dtype else parameter_bytes(unet, dtype)
    for option in options:
        activations = activation_bytes(unet, shape, dtype, known[option])
        needed = int((activations + num_trained * BYTES_PER_TRAINED + recast) * HEADROOM)
        plan = MemoryPlan(recompute=option, needed=needed, free=free)
        if free is None or needed <= free:
            return plan
    raise does_not_fit(plan, activations * HEADROOM, shape, could_lower=option != MODES["low"])


def activations_of(unet: InflatedUNet) -> dict[Recompute, float]:
    """Values alive at the peak of a step by what is recomputed, the fastest first, for a UNet's family."""
    if getattr(unet.config, "addition_embed_type", None) != TEXT_TIME:
        return ACTIVATIONS
    times = 1.0 if unet.recorded_modes.get("temporal") == "last" else XL_ALL_BLOCKS
    return {option: count * times for option, count in ACTIVATIONS_XL.items()}


def does_not_fit(plan: MemoryPlan, activations: float, shape: Sequence[int], *, could_lower: bool) -> OutOfMemory:
    """The error for a plan that needs more memory than is free."""
    assert plan.free is not None, "where the free memory is unknown, every plan fits"
    num_frames = shape[2]
    fitting = int(num_frames * (activations - (plan.needed - plan.free)) / activations)
    mends = ["memory 'low'"] * could_lower + [f"{fitting} frames"] * (fitting >= 2) + ["a smaller size"]
    return OutOfMemory(
        got=f"tuning on {num_frames} frames, which needs about {plan.needed / GIB:.1f} GiB",
        expected=f"no more than the {plan.free / GIB:.1f} GiB that are free",
        mend=f"Use {', or '.join(mends)}; or close what else holds memory.",
    )
