"""DPM-Solver++(2M), forwards and backwards: a second-order step at the price of DDIM's (arXiv 2211.01095).

With y = x / sqrt(alpha) and s = sqrt((1 - alpha) / alpha), a step from noise level s to s' is

    y' = (s' / s) y + (1 - s' / s) D,    D = x0 + (h' / 2h) (x0 - x0_before),

where x0 is the clean prediction at s, x0_before that of the step before, and h', h are the lengths of this step and of
the one before in log(1 / s) (algorithm 2). Without a step before, D is x0, and the step is DDIM's. If s' is above s,
the same formula leads towards the noise.

An inversion by it evaluates epsilon at the noise level that the latents have, not at the one that they go to, as
`ddim` does. So it goes through the levels that sampling comes back through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..models.schedule import NoiseSchedule, predict_clean

Model = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Before:
    """What a step needs of the one before it: the noise level that it began at, and the clean prediction there."""

    sigma: float
    clean: Tensor


def second_order_step(
    latents: Tensor, epsilon: Tensor, *, alpha: float, alpha_to: float, before: Before | None
) -> tuple[Tensor, Before]:
    """Moves latents from the noise level `alpha` to `alpha_to`, see the module.

    Args:
        latents: `b c f h w`.
        epsilon: the noise in `latents`, same shape.
        before: of the step before; None for a first step.

    Returns:
        The latents at `alpha_to`, and what the next step needs.
    """
    sigma, sigma_to = noise_level(alpha), noise_level(alpha_to)
    clean = predict_clean(latents, epsilon, alpha)
    # A weight times a small change; added to `epsilon`, because a step from no noise has no ratio of levels.
    change = 0.0 if before is None else extrapolation(before.sigma, sigma, sigma_to) * (clean - before.clean)
    reached = latents / alpha**0.5 + (sigma_to - sigma) * epsilon
    if before is not None and sigma:
        reached = reached + (1 - sigma_to / sigma) * change
    return alpha_to**0.5 * reached, Before(sigma=sigma, clean=clean)


def noise_level(alpha: float) -> float:
    """The noise level s = sqrt((1 - alpha) / alpha)."""
    return ((1 - alpha) / alpha) ** 0.5


def extrapolation(sigma_before: float, sigma: float, sigma_to: float) -> float:
    """The weight h' / 2h of the change between the last two clean predictions.

    It is 0, so that the step is DDIM's, where one of the levels has no noise, whose logarithm has no end, and where the
    last step had no length.
    """
    if not sigma_before or not sigma or not sigma_to or sigma == sigma_before:
        return 0.0
    return math.log(sigma / sigma_to) / (2 * math.log(sigma_before / sigma))


def walk_second_order(model: Model, latents: Tensor, schedule: NoiseSchedule, num_steps: int) -> Iterator[Tensor]:
    """Yields the latents after each step of an inversion, `num_steps` in all; see `solvers.walk`."""
    before = None
    for timestep in schedule.timesteps(num_steps):
        lower = schedule.previous(timestep, num_steps)
        # The clean end lies before timestep 0, which is the nearest one that the model knows.
        epsilon = model(latents, max(lower, 0))
        latents, before = second_order_step(
            latents, epsilon, alpha=schedule.alpha(lower), alpha_to=schedule.alpha(timestep), before=before
        )
        yield latents


def sample_second_order(
    model: Model,
    latents: Tensor,
    schedule: NoiseSchedule,
    num_steps: int,
    correct: Callable[[Tensor, int], Tensor] = lambda latents, steps_left: latents,
) -> Iterator[Tensor]:
    """Yields the latents after each step from noise to clean, `num_steps` in all; the last ones are clean.

    Args:
        model: epsilon for (latents, timestep), under guidance or not.
        latents: where `walk_second_order` ended, `b c f h w`.
        correct: see `edit`.
    """
    before = None
    for steps_left, timestep in reversed(list(enumerate(schedule.timesteps(num_steps)))):
        alpha_to = schedule.alpha(schedule.previous(timestep, num_steps))
        latents, before = second_order_step(
            latents, model(latents, timestep), alpha=schedule.alpha(timestep), alpha_to=alpha_to, before=before
        )
        latents = correct(latents, steps_left)
        yield latents
