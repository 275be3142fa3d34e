"""What is timed: whole stages, called as users call them. Each function here returns one without arguments to time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from tav_core.models.latents import decode_latents, encode_frames
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_run import TuningRun

from .cases import Case
from .workload import Workload

if TYPE_CHECKING:
    from tav_core.denoisers.denoiser import UNetDenoiser
    from tav_core.models.unet import InflatedUNet

Run = Callable[[], object]
Prepare = Callable[[Workload], Run]
TIMESTEP = 500
GUIDANCE = 7.5


def forward(work: Workload) -> Run:
    """One prediction of the noise, without guidance."""
    denoiser = compiled(work)
    return torch.no_grad()(lambda: denoiser.epsilon(work.latents, TIMESTEP, work.context))


def guided_step(work: Workload) -> Run:
    """One DDIM step with guidance: a batch of two predictions."""
    return sampling(work, num_steps=1)


def tune_step(work: Workload) -> Run:
    """One optimizer step."""
    run = TuningRun(work.denoiser, work.latents, work.context, config=tune_config(work, num_steps=1))
    compile_unet(work.case, run.unet)
    return run.advance


def inversion(work: Workload) -> Run:
    """A DDIM inversion of `num_steps` steps."""
    denoiser = compiled(work)
    return lambda: invert(denoiser, work.latents, work.context, num_steps=work.case.num_steps)


def editing(work: Workload) -> Run:
    """An edit of `num_steps` steps with guidance."""
    return sampling(work, num_steps=work.case.num_steps)


def encoding(work: Workload) -> Run:
    """The clip's frames to latents."""
    return lambda: encode_frames(work.vae, work.frames)


def decoding(work: Workload) -> Run:
    """The clip's latents to frames."""
    return lambda: decode_latents(work.vae, work.latents)


def job(work: Workload) -> Run:
    """The whole job: encode the clip, tune on it, invert it, edit it, decode the result."""

    def run() -> object:
        clip = encode_frames(work.vae, work.frames)
        tuning = TuningRun(work.denoiser, clip, work.context, config=tune_config(work, num_steps=work.case.tune_steps))
        compile_unet(work.case, tuning.unet)
        for _ in range(work.case.tune_steps):
            tuning.advance()
        unet = tuning.motion().apply_to(work.unet_2d, backend=work.case.backend)
        compile_unet(work.case, unet)
        tuned = replace(work.denoiser, unet=unet)
        trajectory = invert(tuned, clip.mean, work.context, num_steps=work.case.num_steps)
        config = EditConfig(num_steps=work.case.num_steps, guidance_scale=GUIDANCE)
        return decode_latents(work.vae, edit(tuned, trajectory, work.context, work.context, config=config))

    return run


def compile_unet(case: Case, unet: InflatedUNet) -> None:
    """Compiles a UNet in place if the case asks for it; the first call then takes minutes."""
    if case.compile:
        unet.compile()


def compiled(work: Workload) -> UNetDenoiser:
    compile_unet(work.case, work.denoiser.unet)
    return work.denoiser


def sampling(work: Workload, *, num_steps: int) -> Run:
    denoiser, config = compiled(work), EditConfig(num_steps=num_steps, guidance_scale=GUIDANCE)
    return lambda: edit(denoiser, work.latents, work.context, work.context, config=config)


def tune_config(work: Workload, *, num_steps: int) -> TuneConfig:
    return TuneConfig(num_steps=num_steps, precision=work.case.dtype, recompute=work.case.recompute)


STAGES: dict[str, Prepare] = {
    "forward": forward,
    "guided-step": guided_step,
    "tune-step": tune_step,
    "invert": inversion,
    "edit": editing,
    "encode": encoding,
    "decode": decoding,
    "job": job,
}
