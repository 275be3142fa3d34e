"""Inversion and editing on a core MODEL: the library's loops run inside ComfyUI's sampling.

So ComfyUI loads and frees the model, and ControlNets, hooks, areas and guidance in the conditioning work as with its
own samplers. The maths is the library's, on `CoreDenoiser`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import comfy.model_management
import comfy.samplers
import latent_preview
import torch
from einops import rearrange
from torch import Tensor

from ...tav_core.errors import ConfigError
from ...tav_core.layouts import fold, unfold
from ...tav_core.models.conditioning import Conditioning
from ...tav_core.models.schedule import NoiseSchedule
from ...tav_core.sampling.config import EditConfig
from ..sockets.bridge import TO_LATENTS, TO_SAMPLES, check_conditioning, first_context
from .terminal_bar import terminal_bar
from .unet import read_schedule

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

# Where ComfyUI keeps what nodes do to guidance.
GUIDANCE = ("sampler_cfg_function", "sampler_pre_cfg_function", "sampler_post_cfg_function")
Result = TypeVar("Result")
Stage = Callable[["CoreDenoiser", Tensor, Callable[[int, int], None]], tuple[Tensor, Result]]


@dataclass(kw_only=True)
class CoreDenoiser:
    """ComfyUI's guider as the library's Denoiser. The guider holds conditioning and guidance.

    ComfyUI's latents are x_sigma = x_t / sqrt(alpha), with sigma = sqrt((1 - alpha) / alpha), and its model gives x_0.

    Args:
        context: the text of the guider's first prompt, on the latents' device. Stages need one to pass on; `epsilon`
            ignores it.
        lowest_timestep: below it, the guider predicts without guidance (arXiv 2404.07724).
    """

    guider: comfy.samplers.CFGGuider
    extra_args: dict[str, Any]
    schedule: NoiseSchedule
    context: Conditioning
    lowest_timestep: float = 0.0
    clean: Tensor | None = None

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning) -> Tensor:
        if timestep < self.lowest_timestep:
            self.guider.set_cfg(1.0)
        alpha, num_frames = self.schedule.alpha(timestep), latents.shape[2]
        sigma = self.schedule.sigma(timestep)
        noisy = fold(latents) / alpha**0.5
        self.clean = self.guider(noisy, noisy.new_full((len(noisy),), sigma), **self.extra_args)
        return unfold((noisy - self.clean) / sigma, num_frames)


class StageSampler(comfy.samplers.Sampler, Generic[Result]):
    """One of the library's stages in the form of a ComfyUI sampler; afterwards it has the stage's `result`."""

    result: Result

    def __init__(
        self,
        stage: Stage[Result],
        schedule: NoiseSchedule,
        context: Conditioning,
        *,
        name: str,
        num_steps: int,
        guidance_until: float,
    ) -> None:
        self.stage, self.schedule, self.context = stage, schedule, context
        self.name, self.num_steps = name, num_steps
        self.lowest_timestep = EditConfig(guidance_until=guidance_until).lowest_guided(schedule.num_train_timesteps)

    def sample(
        self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, disable_pbar=False
    ) -> Tensor:
        context = self.context.to(device=latent_image.device)
        denoiser = CoreDenoiser(
            guider=model_wrap,
            extra_args=extra_args,
            schedule=self.schedule,
            context=context,
            lowest_timestep=self.lowest_timestep,
        )

        def report(done: int, total: int) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            callback(done - 1, denoiser.clean, None, total)
            bar.update(done - bar.n)

        with terminal_bar(self.name, self.num_steps) as bar:
            latents, self.result = self.stage(denoiser, rearrange(latent_image, TO_LATENTS), report)
        return rearrange(latents, TO_SAMPLES)


def has_cache(model: ModelPatcher) -> bool:
    """Whether a MODEL has core's EasyCache or LazyCache; both leave the same mark."""
    return "easycache" in model.model_options.get("transformer_options", {})


def without_caches(model: ModelPatcher) -> ModelPatcher:
    """A MODEL without core's EasyCache and LazyCache, which expect noise to fall: an inversion, in which it rises, ends
    with a TypeError in them. A MODEL that has none is given back.
    """
    if not has_cache(model):
        return model
    plain = model.clone()
    for kind in list(plain.wrappers):
        for key in ("easycache", "lazycache"):
            plain.remove_wrappers_with_key(kind, key)
    del plain.model_options["transformer_options"]["easycache"]
    return plain


def without_guidance(model: ModelPatcher) -> ModelPatcher:
    """A MODEL without what other nodes add to guidance, such as SelfAttentionGuidance, PerpNeg and RescaleCFG. An
    inversion has no guidance, and no negative prompt that they could read. A MODEL that has none is given back.
    """
    found = [name for name in GUIDANCE if name in model.model_options]
    if not found:
        return model
    plain = model.clone()
    for name in found:
        del plain.model_options[name]
    return plain


def check_no_cache(model: ModelPatcher, config: EditConfig) -> None:
    """Raises `ConfigError` if a MODEL with core's EasyCache or LazyCache is to take steps again: the cache would answer
    with what was predicted before the new noise."""
    if config.resample > 1 and has_cache(model):
        raise ConfigError(
            got=f"resample {config.resample} with EasyCache or LazyCache",
            expected="every step computed",
            mend="Set resample to 1, or take the cache out.",
        )


def run_stage(
    model: ModelPatcher,
    samples: Tensor,
    stage: Stage[Result],
    *,
    positive: list,
    negative: list | None = None,
    guidance_scale: float = 1.0,
    guidance_until: float = 1.0,
    num_steps: int,
    name: str,
) -> tuple[Tensor, Result]:
    """Runs a stage on a MODEL.

    Args:
        samples: the samples of a LATENT, unscaled `f c h w`.
        stage: takes a denoiser, scaled latents `1 c f h w` and a callback for (steps done, steps in all); returns
            latents of the same shape, and a result of any kind.
        positive, negative: CONDITIONING; without a negative there is no guidance.
        guidance_until: see `EditConfig`. Timesteps must descend.
        num_steps, name: of the bar in the terminal.

    Returns:
        The stage's latents as unscaled samples `f c h w`, where core keeps what nodes hand on, and its result.
    """
    check_conditioning(positive, model, "positive" if negative is not None else "conditioning")
    if negative is not None:
        check_conditioning(negative, model, "negative")
    schedule = read_schedule(model)
    guider = comfy.samplers.CFGGuider(model if negative is not None else without_guidance(without_caches(model)))
    if negative is None:
        guider.inner_set_conds({"positive": positive})
    else:
        guider.set_conds(positive, negative)
    guider.set_cfg(guidance_scale)
    # ComfyUI wants the sigmas that a sampler goes through, for whatever depends on them: the two ends are enough here.
    sigmas = model.get_model_object("model_sampling").sigmas
    ends = torch.stack([sigmas[-1], sigmas.new_zeros(())])
    callback = latent_preview.prepare_callback(model, num_steps)
    how = {"name": name, "num_steps": num_steps, "guidance_until": guidance_until}
    sampler = StageSampler(stage, schedule, first_context(positive), **how)
    device = comfy.model_management.get_torch_device()
    # Core's ToMe draws from PyTorch's own generator, which stock samplers seed too: so a run can be repeated. What
    # other nodes draw from it afterwards stays as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        sampled = guider.sample(torch.zeros_like(samples), samples, sampler, ends, callback=callback, disable_pbar=True)
    return sampled.to(comfy.model_management.intermediate_device()), sampler.result
