"""What our stages are compared with: the plain twin, and the original implementation if its folder is given."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tav_core.models.precision import DTYPES

from .plain import PlainUNet, plain_tuning
from .stages import TIMESTEP, Run
from .workload import Workload

RIVALS = ("plain", "original")
STAGES = ("forward", "tune-step")


def build_rival(name: str, work: Workload, original: Path | None) -> Run:
    """The rival's version of a stage, with our weights and inputs."""
    unet = build_unet(name, work, original)
    dtype = DTYPES[work.case.dtype]
    if work.case.stage == "forward":
        latents, context = work.latents.to(dtype), work.context.to(dtype)
        return torch.no_grad()(lambda: unet(latents, TIMESTEP, context))
    assert work.case.stage == "tune-step", "the other stages have no rival"
    if work.case.recompute != "nothing":
        unet.enable_gradient_checkpointing()
    return plain_tuning(unet, work.latents, work.context, dtype=dtype)


def build_unet(name: str, work: Workload, original: Path | None) -> nn.Module:
    if name == "plain":
        return PlainUNet(work.unet_2d, work.denoiser.unet).eval()
    from .original import OriginalUNet

    assert original is not None, "the original's UNet is loaded from a folder"
    return OriginalUNet(original, work.unet_2d, work.denoiser.unet).eval()
