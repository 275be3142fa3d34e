"""Frames through ComfyUI's VAE, one at a time: so that the user sees how far it is, and a cancel is heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...tav_core.cancelling import cancellable
from ...tav_core.errors import CheckpointError
from .interrupt import heard_inside


def missing(what: str) -> CheckpointError:
    """What is said of a checkpoint loader that found no CLIP or VAE in its file."""
    return CheckpointError(
        got=f"no {what}: the checkpoint that was loaded has none in it",
        expected=f"a {what}",
        mend=f"Choose a whole checkpoint in Load Checkpoint, or load its {what} apart.",
    )


def check_has_vae(vae: Any) -> None:
    """Raises `CheckpointError` for what ComfyUI gives for a checkpoint without a VAE: nothing, or a VAE of nothing."""
    if vae is None or vae.first_stage_model is None:
        raise missing("VAE")


def encode_frames(vae: Any, frames: Tensor, *, on_frame: Callable[[int, int], None]) -> Tensor:
    """The samples of a LATENT, unscaled `f c h w`, of frames `f h w 3` in [0, 1].

    Args:
        on_frame: called before each frame with (frames done, frames in total).
    """
    samples = []
    check_has_vae(vae)
    with heard_inside(vae.first_stage_model):
        for frame in cancellable(frames.split(1)):
            on_frame(len(samples), len(frames))
            samples.append(vae.encode(frame))
    return torch.cat(samples)


def decode_frames(vae: Any, samples: Tensor) -> Tensor:
    """Frames `f h w 3` in [0, 1] on the CPU, of the samples of a LATENT, unscaled `f c h w`."""
    check_has_vae(vae)
    with heard_inside(vae.first_stage_model):
        return torch.cat([vae.decode(part).cpu() for part in cancellable(samples.split(1))])
