"""What is timed: whole stages, called as users call them. Each gives a function without arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from tav_core.edit import edit
from tav_core.edit_config import EditConfig
from tav_core.invert import invert
from tav_core.tune import TuningRun
from tav_core.tune_config import TuneConfig

if TYPE_CHECKING:
    from tav_core.denoiser import UNetDenoiser

Run = Callable[[], object]
Prepare = Callable[["UNetDenoiser", torch.Tensor, torch.Tensor, int], Run]
GUIDANCE = 7.5


def forward(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> Run:
    """One prediction of the noise, without guidance."""
    return torch.no_grad()(lambda: denoiser.epsilon(latents, 500, context))


def guided_step(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> Run:
    """One DDIM step with guidance: a batch of two predictions."""
    return sampling(denoiser, latents, context, 1)


def tune_step(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> Run:
    """One optimizer step that keeps all activations."""
    return tuning(denoiser, latents, context, checkpointing=False)


def tune_step_checkpointed(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> Run:
    """One optimizer step with gradient checkpointing, the default."""
    return tuning(denoiser, latents, context, checkpointing=True)


def inversion(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> Run:
    """A DDIM inversion of `num_steps` steps."""
    return lambda: invert(denoiser, latents, context, num_steps=num_steps)


def editing(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> Run:
    """An edit of `num_steps` steps with guidance."""
    return sampling(denoiser, latents, context, num_steps)


def sampling(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, num_steps: int) -> Run:
    config = EditConfig(num_steps=num_steps, guidance_scale=GUIDANCE)
    return lambda: edit(denoiser, latents, context, context, config=config)


def tuning(denoiser: UNetDenoiser, latents: torch.Tensor, context: torch.Tensor, *, checkpointing: bool) -> Run:
    return TuningRun(
        denoiser, latents, context, config=TuneConfig(num_steps=1, recompute="blocks" if checkpointing else "nothing")
    ).advance


STAGES: dict[str, Prepare] = {
    "forward": forward,
    "guided-step": guided_step,
    "tune-step": tune_step,
    "tune-step-checkpointed": tune_step_checkpointed,
    "invert": inversion,
    "edit": editing,
}
