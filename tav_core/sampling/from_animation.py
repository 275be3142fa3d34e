"""Sampling from a crude animation: inverted, or noised from below the top, so that its shapes and their path are still
in it.

Noised, this is SDEdit (arXiv 2108.01073) for a video, with the second clock of Time-to-Move (arXiv 2511.08633): in the
first steps, the animation is held inside the object's mask, so that the noise there is lower than around it.

A noised animation has the same noise in all frames. With a noise of its own, each frame would show another object.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from einops import rearrange
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..denoisers.merged_tokens import merge_tokens
from ..errors import ClipError
from ..layouts import VAE_FACTOR, check_mask, check_values
from ..models.conditioning import Conditioning, as_conditioning
from ..models.schedule import NoiseSchedule, gaussian_noise
from .config import AnimationConfig, EditConfig, LocalEditConfig
from .edit import check_resample, edit
from .invert import invert
from .local_edit import latent_mask
from .samplers import OnLatents


def edit_animation(
    denoiser: Denoiser,
    animation: Tensor,
    context: Conditioning | Tensor,
    negative_context: Conditioning | Tensor,
    *,
    mask: Tensor | None = None,
    start: AnimationConfig | None = None,
    config: EditConfig | None = None,
    on_step: OnLatents | None = None,
) -> Tensor:
    """Samples one video per prompt that moves as an animation does, by DDIM with guidance.

    Args:
        denoiser: tuned, on the animation for instance, or not.
        animation: clean latents `1 c f h w` of the animation.
        context, negative_context: as for `edit`. An animation is inverted under the first negative prompt, "" in the
            original.
        mask: where the object is, `f h w` or `1 h w` in [0, 1], in the animation's size; it is held
            there if it is noised. None holds nothing.
        start, config: see `AnimationConfig` and `EditConfig`; the config's seed is that of the noise.
        on_step: called after each sampling step with (steps done over all prompts, total steps, latents).

    Returns:
        Latents `p c f h w`.

    Raises:
        ClipError: the mask does not fit.
        LatentsError, ConfigError, OutOfMemory: see `edit`.
    """
    start, config = start or AnimationConfig(), config or EditConfig()
    check_values(animation)
    check_resample(config, masked=False)
    how: dict[str, Any] = {"config": config, "on_step": on_step}
    if start.begin == "inverted":
        under = as_conditioning(negative_context)[:1]
        inverted = invert(denoiser, animation, under, num_steps=config.num_steps, keep="ends")
        return edit(denoiser, inverted, context, negative_context, **how)
    begun = noise_animation(denoiser.schedule, animation, start, config)
    if mask is not None:
        # What holds the animation stands around the model, and tokens merge in the model.
        merged = merge_tokens(denoiser, config.merge_tokens)
        denoiser = hold_inside(merged, animation, mask, start, num_steps=config.num_steps)
        how["config"] = replace(config, merge_tokens=0.0)
    return edit(denoiser, begun, context, negative_context, **how, steps=start.steps_of(config.num_steps))


def noise_animation(schedule: NoiseSchedule, animation: Tensor, start: AnimationConfig, config: EditConfig) -> Tensor:
    """The animation's latents `1 c f h w` with noise for the steps that are taken, the same in all frames."""
    noise = gaussian_noise(animation[:, :, :1].shape, config.seed).to(animation)
    return schedule.add_noise(animation, noise, level_of(schedule, start.steps_of(config.num_steps), config.num_steps))


def level_of(schedule: NoiseSchedule, steps_left: int, num_steps: int) -> int:
    """The timestep of latents from which so many of the steps are left, one or more."""
    return schedule.timesteps(num_steps)[steps_left - 1]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldDenoiser:
    """A denoiser that finds an animation inside a mask, as long as there is much noise.

    Replacing what a step predicts, and not the latents after it, keeps an animation in every sampler; by DDIM and Euler
    it is the same: latents that begin as the noised animation stay the noised animation.

    Args:
        denoiser: the inner denoiser.
        animation: clean latents `1 c f h w`.
        inside: `1 1 f h w` in [0, 1], how much of them is held.
        until: the timestep of the last step that holds them.
    """

    denoiser: Denoiser
    animation: Tensor
    inside: Tensor
    until: int

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning) -> Tensor:
        predicted = self.denoiser.epsilon(latents, timestep, context)
        if timestep < self.until:
            return predicted
        alpha = self.schedule.alpha(timestep)
        held = (latents - alpha**0.5 * self.animation.to(latents)) / (1 - alpha) ** 0.5
        return predicted.lerp(held, self.inside.to(latents).expand_as(predicted))


def hold_inside(
    denoiser: Denoiser, animation: Tensor, mask: Tensor, start: AnimationConfig, *, num_steps: int
) -> Denoiser:
    """A denoiser that holds an animation `1 c f h w` inside a mask in the first steps; the same one if none is held."""
    inside = held_cells(mask, animation)
    held = start.held_of(num_steps)
    if not held:
        return denoiser
    until = level_of(denoiser.schedule, start.steps_of(num_steps) - held + 1, num_steps)
    return HeldDenoiser(denoiser=denoiser, animation=animation, inside=inside, until=until)


def held_cells(mask: Tensor, animation: Tensor) -> Tensor:
    """A mask `f h w` or `1 h w` in pixels as `1 1 f h w` in latents, with the soft edge of local edits.

    Raises:
        ClipError: it does not fit the animation, or is empty.
    """
    _, _, num_frames, height, width = animation.shape
    check_mask(mask, num_frames=num_frames, height=height * VAE_FACTOR, width=width * VAE_FACTOR)
    if not mask.any():
        raise ClipError(
            got="an empty mask, which is black everywhere",
            expected="white where the object is in each frame",
            mend="Give the mask of the object that moves, or none: where the camera alone moves, nothing is held.",
        )
    return rearrange(latent_mask(mask.float(), LocalEditConfig().feather), "f h w -> 1 1 f h w").to(animation)
