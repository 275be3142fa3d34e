"""The ways from noise to clean latents for one prompt: DDIM, the inversion's steps backwards, a diffusers scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..models.precision import usual_defaults
from ..models.schedule import ddim_step, draw_noise
from .config import EditConfig
from .moving_noise import Moves, move_along
from .multistep import sample_second_order
from .schedulers import make_stepper, takes_generator
from .solvers import fade, sample_back
from .trajectory import Trajectory

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

OnLatents = Callable[[int, int, Tensor], None]
Correct = Callable[[Tensor, int], Tensor]
Model = Callable[[Tensor, float], Tensor]


def find_sampler(
    start: Trajectory | Tensor, scheduler: SchedulerMixin | None, config: EditConfig, *, lowest_guided: float
) -> Callable[..., Tensor]:
    """A sampler like `sample_ddim` for a start that has been checked.

    Args:
        lowest_guided: the timestep below which nothing is guided.
    """
    if isinstance(start, Trajectory) and start.remainder is not None:
        guided = start.timesteps[-1] >= lowest_guided
        return sample_with_remainder(fade(start.remainder, config.guidance_scale if guided else 1.0))
    if isinstance(start, Trajectory) and start.method == "dpmpp_2m":
        return sample_dpmpp_2m
    if scheduler is not None:
        return sample_with(scheduler)
    return partial(sample_ddim, from_noise=not isinstance(start, Trajectory))


def sample_ddim(
    denoiser: Denoiser,
    model: Model,
    latents: Tensor,
    config: EditConfig,
    report: OnLatents,
    correct: Correct,
    *,
    steps: int | None = None,
    from_noise: bool = False,
) -> Tensor:
    """DDIM from noise to clean latents, `1 c f h w`; the last `steps` of it, or all.

    Args:
        from_noise: whether the start is random noise, see `fresh_noise`; or else that of an inversion.
    """
    schedule = denoiser.schedule
    generator = fresh_noise(config.seed, drawn=latents.shape if from_noise else ())
    timesteps = schedule.timesteps(config.num_steps)[:steps]
    for done, timestep in enumerate(reversed(timesteps), start=1):
        steps_left = len(timesteps) - done
        alpha = schedule.alpha(timestep)
        alpha_to = schedule.alpha(schedule.previous(timestep, config.num_steps))
        for time in range(config.times(done, len(timesteps))):
            if time:
                again = noise_again(latents, alpha_to, alpha, generator, moves=getattr(correct, "moves", ()))
                latents = correct(again, steps_left + 1)
            noise = draw_noise(latents.shape, generator).to(latents) if config.eta else None
            epsilon = model(latents, timestep)
            latents = ddim_step(latents, epsilon, alpha=alpha, alpha_to=alpha_to, eta=config.eta, noise=noise)
            latents = correct(latents, steps_left)
        report(done, len(timesteps), latents)
    return latents


def fresh_noise(seed: int, *, drawn: Sequence[int]) -> torch.Generator:
    """What draws the noise that steps add, on the CPU, from a seed.

    Args:
        drawn: the shape of a random start, which may be drawn from the same seed; it is left out here, as by
            diffusers' pipelines, or the first step would add the start once more. () for another start.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    if drawn:
        draw_noise(torch.Size(drawn), generator)
    return generator


def noise_again(
    latents: Tensor, alpha: float, alpha_to: float, generator: torch.Generator, *, moves: Moves = ()
) -> Tensor:
    """Latents `b c f h w` back at a higher noise level (DDPM's forward process, arXiv 2201.09865, eq. 1).

    The new noise is the same in all frames, so that they go on to agree; it moves along with a mask that moves.
    """
    noise = move_along(draw_noise(latents[:, :, :1].shape, generator), moves).to(latents)
    kept = alpha_to / alpha
    return kept**0.5 * latents + (1 - kept) ** 0.5 * noise


def sample_with_remainder(remainder: Tensor) -> Callable[..., Tensor]:
    """A sampler like `sample_ddim` that reverses an exact inversion."""

    def sample(
        denoiser: Denoiser, model: Model, latents: Tensor, config: EditConfig, report: OnLatents, correct: Correct
    ) -> Tensor:
        way = sample_back(model, latents, remainder.to(latents), denoiser.schedule, config.num_steps, correct)
        return follow(way, config, report)

    return sample


def sample_dpmpp_2m(
    denoiser: Denoiser, model: Model, latents: Tensor, config: EditConfig, report: OnLatents, correct: Correct
) -> Tensor:
    """A sampler like `sample_ddim` that goes back by the steps of an inversion by `dpmpp_2m`."""
    return follow(sample_second_order(model, latents, denoiser.schedule, config.num_steps, correct), config, report)


def follow(way: Iterator[Tensor], config: EditConfig, report: OnLatents) -> Tensor:
    """The last latents of a way, each of which is reported."""
    for done, reached in enumerate(way, start=1):
        report(done, config.num_steps, reached)
    return reached


def sample_with(scheduler: SchedulerMixin) -> Callable[..., Tensor]:
    """A sampler like `sample_ddim` that uses a diffusers scheduler of the given class and settings."""

    def sample(
        denoiser: Denoiser, model: Model, latents: Tensor, config: EditConfig, report: OnLatents, correct: Correct
    ) -> Tensor:
        stepper = make_stepper(scheduler, denoiser.schedule, config.num_steps, latents.device)
        draws = {"generator": fresh_noise(config.seed, drawn=latents.shape)} if takes_generator(stepper) else {}
        latents = latents * stepper.init_noise_sigma
        for done, timestep in enumerate(stepper.timesteps, start=1):
            scaled = stepper.scale_model_input(latents, timestep)
            # Not rounded: Euler's timesteps lie between the trained ones, and so do its noise levels.
            epsilon = model(scaled, float(timestep))
            with usual_defaults():
                latents = stepper.step(epsilon, timestep, latents, return_dict=False, **draws)[0]
            latents = correct(latents, len(stepper.timesteps) - done)
            report(done, len(stepper.timesteps), latents)
        return latents

    return sample


def as_they_are(latents: Tensor, steps_left: int) -> Tensor:
    """The latents, unchanged: the correction of an edit without one."""
    return latents
