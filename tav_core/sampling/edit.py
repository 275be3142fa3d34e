"""Editing: from an inversion's noise, or from random noise, to the latents of a video under a new prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..denoisers.deep_cache import reuse_deep
from ..denoisers.denoiser import Denoiser
from ..denoisers.guidance import guided
from ..denoisers.local_prompts import LocalPrompt, Placed, place_prompts
from ..denoisers.merged_tokens import merge_tokens
from ..errors import ConfigError, LatentsError, explain_out_of_memory
from ..layouts import check_latents, check_num_frames, check_values
from ..models.conditioning import Conditioning, as_conditioning
from ..models.schedule import gaussian_noise
from ..settings import is_whole
from .config import EXACT, OWN_STEPS, EditConfig
from .samplers import Correct, OnLatents, as_they_are, find_sampler, sample_ddim
from .schedulers import check_scheduler
from .trajectory import Trajectory

if TYPE_CHECKING:
    from diffusers import SchedulerMixin


@torch.no_grad()
def edit(
    denoiser: Denoiser,
    start: Trajectory | Tensor,
    context: Conditioning | Tensor,
    negative_context: Conditioning | Tensor,
    *,
    config: EditConfig | None = None,
    scheduler: SchedulerMixin | None = None,
    num_frames: int | None = None,
    on_step: OnLatents | None = None,
    correct: Correct | None = None,
    steps: int | None = None,
    local: Sequence[LocalPrompt] = (),
) -> Tensor:
    """Samples one video per prompt from one start, with classifier-free guidance: by DDIM, or by the steps of the
    inversion backwards.

    Args:
        denoiser: a tuned model.
        start: a trajectory, or noise `1 c f h w`, on any device; the same start serves every prompt.
        context: the prompts as `encode_prompt` gives them, or their text embeddings alone, `p m d`.
        negative_context: the negative prompt ("" in the original) likewise: one, or one for each prompt.
        config: see `EditConfig`.
        scheduler: a diffusers scheduler that goes from noise to clean latents on Stable Diffusion's noise levels, for a
            start of random noise; None for DDIM.
        num_frames: number of frames in the clip, if the caller knows it; it is checked against the start.
        on_step: called after each step with (steps done over all prompts, total steps, latents).
        correct: for local edits: called after each step, and before a step is taken again (`EditConfig.resample`), with
            (latents, steps left of this prompt), returns the latents to continue with, of the same shape. A
            trajectory's `latents[steps left]` have the same noise level.
        steps: how many of the config's steps to take, the last ones, from a start that has noise for as many; None for
            all.
        local: prompts for parts of the picture, which hold there instead of each of the prompts.

    Returns:
        Latents `p c f h w`.

    Raises:
        LatentsError: the start has another rank or frame count.
        ConfigError: the number of steps differs from the inversion's, or an inverted start has a scheduler, or the
            scheduler is made for other models, or an exact start has `eta` above 0, or only some steps are taken in
            another way than by DDIM, or steps are resampled without a correction, or in another way than by DDIM.
        OutOfMemory: the message says what to lower.
    """
    config = config or EditConfig()
    context, negative_context = as_conditioning(context), as_conditioning(negative_context)
    context.check(values=True)
    negative_context.check(values=True)
    check_values(start.noise if isinstance(start, Trajectory) else start)
    noise = (start.noise if isinstance(start, Trajectory) else start).to(context.text.device)
    check_start(start, noise, config=config, scheduler=scheduler, num_frames=num_frames)
    check_resample(config, masked=correct is not None, ddim=scheduler is None)
    check_correct(correct, config, scheduler)
    denoiser = merge_tokens(denoiser, config.merge_tokens)
    # Refuses early what the first step would refuse.
    reuse_deep(denoiser, config.deep_every)
    placed = place_local(local, noise, config, width=context.text.shape[-1])
    taken = check_taken(steps, start, config=config, scheduler=scheduler)
    noise = mix_noise(noise, config.noise_prior, config.seed)
    negative_context = negative_context.expand(len(context))
    last_ones = partial(sample_ddim, steps=taken, from_noise=True)
    lowest = config.lowest_guided(denoiser.schedule.num_train_timesteps)
    sample = find_sampler(start, scheduler, config, lowest_guided=lowest) if steps is None else last_ones
    videos: list[Tensor] = []
    mend = "Use context windows, fewer frames or a smaller size."
    with explain_out_of_memory(f"rendering {noise.shape[2]} frames", mend):
        for positive, negative in zip(context, negative_context, strict=True):
            # A new one for each prompt, because it keeps features from step to step.
            reusing = reuse_deep(denoiser, config.deep_every)
            model = guided(reusing, positive, negative, config.guidance_scale, lowest_timestep=lowest, local=placed)
            report = count_on(on_step, prompt=len(videos), num_prompts=len(context))
            videos.append(sample(denoiser, model, noise, config, report, correct or as_they_are))
        return torch.cat(videos)


def check_start(
    start: Trajectory | Tensor,
    noise: Tensor,
    *,
    config: EditConfig,
    scheduler: SchedulerMixin | None,
    num_frames: int | None,
) -> None:
    """Checks that a start fits the settings, before anything is computed."""
    check_latents(noise)
    if noise.shape[0] != 1:
        raise LatentsError(
            got=f"a start of {noise.shape[0]} videos", expected="one video, 1 c f h w", mend="Edit one video at a time."
        )
    if num_frames is not None:
        check_num_frames(noise, num_frames)
    if scheduler is not None:
        check_scheduler(scheduler)
    if scheduler is not None and config.eta:
        raise ConfigError(
            got=f"eta {config.eta} with {type(scheduler).__name__}",
            expected="DDIM, which alone has this setting",
            mend="Use eta 0, or leave the scheduler out.",
        )
    if not isinstance(start, Trajectory):
        return
    check_same_steps(config.num_steps, len(start.timesteps))
    if scheduler is not None:
        raise ConfigError(
            got=f"{type(scheduler).__name__} for an inverted start",
            expected="the steps of the inversion backwards",
            mend="Leave the scheduler out, or start from random noise.",
        )
    check_own_steps(start.method, config.eta, config.noise_prior, config.resample)


def check_resample(config: EditConfig, *, masked: bool, ddim: bool = True) -> None:
    """Raises `ConfigError` if steps are resampled where nothing is kept, or with what expects each step once."""
    if config.resample == 1:
        return
    if not masked:
        raise ConfigError(
            got=f"resample {config.resample} without a mask",
            expected="a mask, outside of which the clip is kept while steps are taken again",
            mend="Give the mask of a local edit, or set resample to 1.",
        )
    if not ddim or config.deep_every > 1:
        other = "a scheduler" if not ddim else f"deep_every {config.deep_every}"
        raise ConfigError(
            got=f"resample {config.resample} with {other}",
            expected="DDIM's steps, each computed whole",
            mend="Set resample to 1, or leave the other out.",
        )


def check_correct(correct: Correct | None, config: EditConfig, scheduler: SchedulerMixin | None) -> None:
    """Raises `ConfigError` if a correction by an inversion is given to a scheduler, or to another number of steps."""
    inverted = getattr(correct, "num_steps", None)
    if inverted is None:
        return
    if scheduler is not None:
        raise ConfigError(
            got=f"a mask with {type(scheduler).__name__}",
            expected="DDIM, whose latents have the noise of the inversion's after each step",
            mend="Leave the scheduler out, or the mask.",
        )
    check_same_steps(config.num_steps, inverted)


def place_local(local: Sequence[LocalPrompt], noise: Tensor, config: EditConfig, *, width: int) -> Placed:
    """Local prompts on the start, `1 c f h w`, once they fit it, the width of the whole prompt, and the settings."""
    for one in local:
        as_conditioning(one.context).check(width=width, values=True)
    placed = place_prompts(local, noise)
    if placed and config.deep_every != 1:
        raise ConfigError(
            got=f"deep_every {config.deep_every} with local prompts",
            expected="1, because the kept features are those of one prompt",
            mend="Set deep_every to 1, or leave the local prompts out.",
        )
    return placed


def check_taken(
    steps: int | None, start: Trajectory | Tensor, *, config: EditConfig, scheduler: SchedulerMixin | None
) -> int:
    """How many steps are taken; raises `ConfigError` if `steps` does not go with the rest."""
    if steps is None:
        return config.num_steps
    if isinstance(start, Trajectory) or scheduler is not None:
        raise ConfigError(
            got=f"{steps} steps of {'an inverted start' if scheduler is None else type(scheduler).__name__}",
            expected="a start that was noised for so many of DDIM's steps",
            mend="Leave the number of steps to take out, or start from noised latents by DDIM.",
        )
    if not is_whole(steps) or not 1 <= steps <= config.num_steps:
        raise ConfigError(
            got=f"{steps!r} of {config.num_steps} steps",
            expected=f"1 to {config.num_steps}",
            mend="Use the number that the start was noised for.",
        )
    if config.noise_prior != 1:
        raise ConfigError(
            got=f"noise_prior {config.noise_prior:g} with a start that was noised for {steps} steps",
            expected="1: it mixes noise into the noise of an inversion, and this start is no noise alone",
            mend="Set noise_prior to 1.",
        )
    return steps


def check_same_steps(num_steps: int, inverted: int) -> None:
    """Raises `ConfigError` unless there are as many sampling steps as the inversion had."""
    if num_steps != inverted:
        raise ConfigError(
            got=f"{num_steps} sampling steps for an inversion of {inverted}",
            expected="as many steps as the inversion had",
            mend=f"Use {inverted} steps, or invert again.",
        )


def mix_noise(inverted: Tensor, prior: float, seed: int) -> Tensor:
    """The start of an edit: sqrt(p) z + sqrt(1 - p) n, as MotionDirector's noise prior (arXiv 2310.08465) mixes it.

    Args:
        inverted: the noise z, `b c f h w`.
        prior: the share p, by variance.
        seed: of the random noise n.
    """
    if prior == 1:
        return inverted
    # Apart from the noise that eta adds, which has the same seed.
    word = int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])
    return math.sqrt(prior) * inverted + math.sqrt(1 - prior) * gaussian_noise(inverted.shape, word).to(inverted)


def check_own_steps(method: str, eta: float, noise_prior: float = 1.0, resample: int = 1) -> None:
    """Raises `ConfigError` if an inversion by `method` cannot be sampled from with these settings."""
    if noise_prior < 1 and method in EXACT:
        raise ConfigError(
            got=f"noise_prior {noise_prior} for an inversion by {method}",
            expected="1, because an exact inversion can only be reversed from its own noise",
            mend="Use noise_prior 1, or invert by ddim.",
        )
    if resample > 1 and method in OWN_STEPS:
        raise ConfigError(
            got=f"resample {resample} for an inversion by {method}",
            expected="1, because sampling takes the steps of that inversion backwards, each of them once",
            mend="Use resample 1, or invert by ddim.",
        )
    if eta and method in OWN_STEPS:
        raise ConfigError(
            got=f"eta {eta} for an inversion by {method}",
            expected="0, because sampling takes the steps of that inversion backwards, which add no fresh noise",
            mend="Use eta 0, or invert by ddim.",
        )


def count_on(on_step: OnLatents | None, *, prompt: int, num_prompts: int) -> Callable[[int, int, Tensor], None]:
    """Reports the steps of one prompt as steps of all prompts."""

    def report(done: int, num_steps: int, latents: Tensor) -> None:
        if on_step is not None:
            on_step(prompt * num_steps + done, num_prompts * num_steps, latents)

    return report
