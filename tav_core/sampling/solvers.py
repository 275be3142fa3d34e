"""The steps of an inversion from a clip to noise, and the steps of sampling back from an exact inversion.

    ddim          one DDIM step that evaluates epsilon on the latents it comes from; its error grows with the step size
    fixed_point   the same step, computed again with epsilon on the latents it led to (AIDI, arXiv 2309.04907;
                  ReNoise, arXiv 2403.14602); if this converges, DDIM sampling reverses it
    o_belm        an exact solver: three neighbouring latents and the middle one's epsilon satisfy one linear relation,
                  so that either end follows from the other two (BELM, arXiv 2410.07273)
    dpmpp_2m      DPM-Solver++(2M) both ways: a second-order step at the price of DDIM's, see multistep.py

With y = x / sqrt(alpha) and s = sqrt((1 - alpha) / alpha), DDIM solves dy = epsilon ds. For steps h_i = s_i - s_(i-1),

    y_(i-1) = r^2 y_(i+1) + (1 - r^2) y_i - h_i (1 + r) epsilon_i,    r = h_i / h_(i+1)

holds to second order for the weight r^2 only. Every other weight but 0 can be reversed too: BDIA (arXiv 2307.10829) has
gamma sqrt(alpha_(i+1) / alpha_(i-1)). On the demo world, in 20 steps, its inversion diverged at gamma 0.5, and its
edits at 0.9 to 1 were worse than these.

In all of these exact solvers, a deviation from the path oscillates from step to step. So the first step of an
inversion, which has only one neighbour, is a fixed point, to start with little deviation. Guidance is a deviation too,
see `fade`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from ..models.schedule import NoiseSchedule, ddim_step
from .config import InvertConfig
from .multistep import walk_second_order

Model = Callable[[Tensor, int], Tensor]


def walk(
    model: Model, latents: Tensor, schedule: NoiseSchedule, num_steps: int, config: InvertConfig
) -> Iterator[Tensor]:
    """Yields the latents after each step of an inversion, `num_steps` in all, of the clip's shape.

    Args:
        model: epsilon for (latents, timestep).
        latents: the clip's latents, `b c f h w`.
    """
    if config.method == "o_belm":
        return walk_o_belm(model, latents, schedule, num_steps, config.iterations)
    if config.method == "dpmpp_2m":
        return walk_second_order(model, latents, schedule, num_steps)
    return walk_ddim(model, latents, schedule, num_steps, config.iterations if config.method == "fixed_point" else 1)


def walk_ddim(
    model: Model, latents: Tensor, schedule: NoiseSchedule, num_steps: int, iterations: int
) -> Iterator[Tensor]:
    """Computes each step `iterations` times, each time with epsilon on the latents that it led to before."""
    for timestep in schedule.timesteps(num_steps):
        alpha, alpha_to = schedule.alpha(schedule.previous(timestep, num_steps)), schedule.alpha(timestep)
        reached = latents
        for _ in range(iterations):
            reached = ddim_step(latents, model(reached, timestep), alpha=alpha, alpha_to=alpha_to)
        latents = reached
        yield latents


def walk_o_belm(
    model: Model, latents: Tensor, schedule: NoiseSchedule, num_steps: int, iterations: int
) -> Iterator[Tensor]:
    """Computes the first step as a fixed point, and each further step from the two latents before it."""
    previous, latents = latents, next(walk_ddim(model, latents, schedule, num_steps, iterations))
    yield latents
    for relation in relations(schedule, num_steps):
        epsilon = model(latents, relation.timestep)
        previous, latents = latents, relation.noisier(previous, latents, epsilon)
        yield latents


def step_from_noise(model: Model, noise: Tensor, schedule: NoiseSchedule, num_steps: int) -> Tensor:
    """The first DDIM step of sampling."""
    timestep = schedule.timesteps(num_steps)[-1]
    alpha, alpha_to = schedule.alpha(timestep), schedule.alpha(schedule.previous(timestep, num_steps))
    return ddim_step(noise, model(noise, timestep), alpha=alpha, alpha_to=alpha_to)


def fade(remainder: Tensor, guidance_scale: float) -> Tensor:
    """Scales a remainder down the more guidance leads away from the path of the inversion.

    The full remainder oscillates from step to step on another path, and guidance amplifies it: on the demo world, edits
    flickered and missed what the prompt named.
    """
    return remainder / max(guidance_scale, 1.0)


def sample_back(
    model: Model,
    noise: Tensor,
    remainder: Tensor,
    schedule: NoiseSchedule,
    num_steps: int,
    correct: Callable[[Tensor, int], Tensor] = lambda latents, steps_left: latents,
) -> Iterator[Tensor]:
    """Yields the latents on the way back from an O-BELM inversion, `num_steps` in all; the last ones are clean.

    Args:
        model: epsilon for (latents, timestep), under guidance or not.
        noise: the inversion's last latents.
        remainder: the difference between the inversion's second last latents and `step_from_noise` under its prompt.
        correct: see `edit`.
    """
    first = step_from_noise(model, noise, schedule, num_steps) + remainder
    latents, previous = noise, correct(first, num_steps - 1)
    yield previous
    found = relations(schedule, num_steps)
    for steps_left, relation in zip(reversed(range(len(found))), reversed(found), strict=True):
        epsilon = model(previous, relation.timestep)
        latents, previous = previous, correct(relation.cleaner(latents, previous, epsilon), steps_left)
        yield previous


@dataclass(frozen=True, kw_only=True)
class Relation:
    """cleaner = a noisier + b middle - c epsilon, for three neighbouring latents; epsilon is that of the middle one."""

    timestep: int
    a: float
    b: float
    c: float

    def cleaner(self, noisier: Tensor, middle: Tensor, epsilon: Tensor) -> Tensor:
        return self.a * noisier + self.b * middle - self.c * epsilon

    def noisier(self, cleaner: Tensor, middle: Tensor, epsilon: Tensor) -> Tensor:
        return (cleaner - self.b * middle + self.c * epsilon) / self.a


def relations(schedule: NoiseSchedule, num_steps: int) -> list[Relation]:
    """The relations from the clean end to the noise, one per timestep except the last."""
    timesteps = schedule.timesteps(num_steps)
    levels = [schedule.previous(timesteps[0], num_steps), *timesteps]
    return [relate(schedule, *levels[i : i + 3]) for i in range(len(timesteps) - 1)]


def relate(schedule: NoiseSchedule, cleaner: int, middle: int, noisier: int) -> Relation:
    """The relation between latents at three neighbouring timesteps."""
    timesteps = cleaner, middle, noisier
    low, mid, high = map(schedule.sigma, timesteps)
    alpha_cleaner, alpha_middle, alpha_noisier = map(schedule.alpha, timesteps)
    # Without a steps_offset, the first step of some schedules has size 0. Any weight but 0 can be reversed; 1 is Euler.
    weight = ((mid - low) / (high - mid)) ** 2 or 1.0
    return Relation(
        timestep=middle,
        a=weight * (alpha_cleaner / alpha_noisier) ** 0.5,
        b=(1 - weight) * (alpha_cleaner / alpha_middle) ** 0.5,
        c=(mid - low + weight * (high - mid)) * alpha_cleaner**0.5,
    )
