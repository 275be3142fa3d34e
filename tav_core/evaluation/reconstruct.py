"""Measures how much of a clip survives inversion: samples it back under the same prompt, without guidance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..models.conditioning import Conditioning
from ..sampling.config import EditConfig
from ..sampling.edit import edit
from ..sampling.samplers import OnLatents
from ..sampling.trajectory import Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """A clip after inversion and sampling.

    Args:
        latents: `1 c f h w`.
        error: norm of the difference from the clip's latents over their norm; 0 is perfect.
    """

    latents: Tensor
    error: float


def reconstruct(
    denoiser: Denoiser,
    trajectory: Trajectory,
    context: Conditioning | Tensor,
    *,
    on_step: OnLatents | None = None,
) -> Reconstruction:
    """Samples an inverted clip back.

    The loss is the error of DDIM inversion, which evaluates epsilon at the wrong end of each step. More steps and the
    method `fixed_point` reduce it. An exact method loses only what float rounding loses.

    Args:
        denoiser: the model that the clip was inverted with.
        trajectory: the inversion.
        context: the prompt that the clip was inverted under, or its text embeddings `1 m d`.

    Raises:
        OutOfMemory: the message says what to lower.
    """
    config = EditConfig(num_steps=len(trajectory.timesteps), guidance_scale=1.0)
    latents = edit(denoiser, trajectory, context, context, config=config, on_step=on_step)
    clip = trajectory.latents[0].to(latents.device)
    return Reconstruction(latents=latents, error=float((latents - clip).norm() / clip.norm()))


def psnr(frames: Tensor, reference: Tensor, *, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB of two videos of the same shape; `peak` is the range of their values."""
    error = float((frames - reference).square().mean())
    return math.inf if error == 0 else 20 * math.log10(peak) - 10 * math.log10(error)
