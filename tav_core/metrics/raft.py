"""Optical flow by RAFT (Teed and Deng, arXiv 2003.12039), for those who have torchvision and its weights as a file.

It sees more of a motion than DIS does, and takes a graphics card. Nothing is downloaded: torchvision names the files
that it has trained, raft_large_C_T_SKHT_V2-ff5fadd5.pth and raft_small_C_T_V2-01064c6d.pth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..cancelling import cancellable
from ..checkpoints.weight_files import open_weights
from ..errors import CheckpointError, InputError
from .flow import FlowPair

# RAFT halves its features to a pyramid of four levels, and needs whole blocks of 8 pixels.
SMALLEST_SIDE, BLOCK = 128, 8
# FLATTEN measures at this size. The memory grows with the fourth power of the side.
LARGEST_SIDE = 512
SIZES = ("raft_large", "raft_small")


@dataclass(frozen=True, kw_only=True, eq=False)
class Raft:
    """RAFT with its weights; called like `measure_flow`."""

    net: nn.Module

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> FlowPair:
        """The flow between consecutive frames in both directions.

        Args:
            frames: `f h w 3` float in [0, 1], two frames or more.

        Returns:
            float32 on the CPU, in pixels of the frames.
        """
        height, width = frames.shape[1:3]
        seen = self.prepare(frames)
        ways = [
            torch.cat([self.between(a, b, height, width) for a, b in cancellable(zip(first, second, strict=True))])
            for first, second in ((seen[:-1], seen[1:]), (seen[1:], seen[:-1]))
        ]
        return FlowPair(*ways)

    def prepare(self, frames: Tensor) -> Tensor:
        """Frames as RAFT takes them, `f 3 h w` in [-1, 1], each side a multiple of 8 and 128 or more."""
        sides = frames.shape[1:3]
        scale = min(1.0, LARGEST_SIDE / max(sides))
        size = [max(SMALLEST_SIDE, round(side * scale / BLOCK) * BLOCK) for side in sides]
        device = next(self.net.parameters()).device
        parts = [
            F.interpolate(rearrange(part, "f h w c -> f c h w").to(device, torch.float32), size, mode="bilinear")
            for part in frames.split(1)
        ]
        return torch.cat(parts) * 2 - 1

    def between(self, here: Tensor, after: Tensor, height: int, width: int) -> Tensor:
        """The flow from one frame `3 h w` to another, `1 h w 2`, in pixels of the given size."""
        *_, flow = self.net(here[None], after[None])
        scale = flow.new_tensor([width / flow.shape[3], height / flow.shape[2]])
        flow = rearrange(F.interpolate(flow, (height, width), mode="bilinear"), "1 xy h w -> 1 h w xy")
        return (flow * scale).cpu()


def load_raft(path: str | Path, *, device: torch.device | str = "cpu") -> Raft:
    """RAFT with weights from a file, the large one or the small one.

    Raises:
        InputError: torchvision is not installed.
        CheckpointError: the file is missing or damaged, or holds other weights.
    """
    makers = import_raft()
    weights = open_weights(path)
    for name in SIZES:
        net = makers[name](weights=None, progress=False)
        if {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()} == dict(weights.shapes):
            net.load_state_dict(weights.read())
            return Raft(net=net.eval().requires_grad_(False).to(device))
    raise CheckpointError(
        got=f"{path}, which does not hold RAFT's weights",
        expected="the weights of torchvision's raft_large or raft_small",
        mend="Give raft_large_C_T_SKHT_V2-ff5fadd5.pth of download.pytorch.org/models, or leave it out for DIS.",
    )


def import_raft() -> dict[str, Callable[..., Any]]:
    """torchvision's makers of RAFT, by their names.

    Raises:
        InputError: torchvision is not installed.
    """
    try:
        from torchvision.models import optical_flow
    except ImportError as error:
        raise InputError(
            got=f"no torchvision ({error})",
            expected="torchvision, which has RAFT",
            mend="Install the torchvision that belongs to your torch, or leave RAFT's weights out: DIS needs neither.",
        ) from error
    return {name: getattr(optical_flow, name) for name in SIZES}
