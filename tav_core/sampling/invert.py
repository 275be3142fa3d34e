"""Inversion: from a clip's latents to the noise from which the model would generate them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..errors import ConfigError, explain_out_of_memory
from ..layouts import check_values
from ..models.conditioning import Conditioning, as_conditioning
from .config import EXACT, InvertConfig
from .solvers import step_from_noise, walk
from .trajectory import Trajectory

OnStep = Callable[[int, int], None]
KEEPS = ("all", "ends")


@torch.no_grad()
def invert(
    denoiser: Denoiser,
    latents: Tensor,
    context: Conditioning | Tensor,
    *,
    num_steps: int = 50,
    method: str = InvertConfig.method,
    iterations: int = InvertConfig.iterations,
    fps: float = 0.0,
    keep: str = "all",
    store: torch.device | str | None = None,
    on_step: OnStep | None = None,
) -> Trajectory:
    """Inverts a clip without guidance, by DDIM backwards (arXiv 2010.02502, section 4.3) or as `solvers` says.

    A step of `ddim` evaluates epsilon at the timestep it goes to, on the latents it comes from, as the original does.

    Args:
        denoiser: a tuned model.
        latents: the clip, `b c f h w`.
        context: the prompt as `encode_prompt` gives it, or text embeddings alone, `b m d` or `1 m d`: of "" as in the
            original, or of the source prompt. Sampling with the source prompt as the negative one too is
            negative-prompt inversion (arXiv 2305.16807).
        num_steps: 50 in the original. Sampling must use as many.
        method, iterations: see `InvertConfig`. `fixed_point` takes `iterations` times as long as `ddim`; `o_belm`
            takes `iterations` steps more.
        fps: frame rate of the clip, recorded in the trajectory.
        keep: "all" keeps the latents of every step; "ends" keeps the first and the last, which are enough to
            reconstruct and to edit.
        store: where to keep the trajectory; by default on the latents' device. The CPU saves GPU memory, because the
            steps of a long clip are large: 50 steps of 256 frames of 512x512 are 0.86 GB.
        on_step: called after each step with (steps done, num_steps); if it raises, the inversion ends.

    Raises:
        LatentsError: the latents are not `b c f h w`.
        ConfigError: the schedule or method does not allow this number of steps, or the method or `keep` is unknown.
        OutOfMemory: the message says what to lower.
    """
    check_values(latents)
    context = as_conditioning(context)
    context.check(values=True)
    check_keep(keep)
    config = InvertConfig(method=method, iterations=iterations)
    timesteps = denoiser.schedule.timesteps(num_steps)
    context, latents = context.expand(latents.shape[0]), latents.to(context.text.device)
    mend = "Use context windows, fewer frames or a smaller size."
    with explain_out_of_memory(f"inverting {latents.shape[2]} frames", mend):
        kept = latents.new_empty((num_steps + 1 if keep == "all" else 2, *latents.shape), device=store)
        kept[0] = latents
        model = lambda noisy, timestep: denoiser.epsilon(noisy, timestep, context)  # noqa: E731
        for done, reached in enumerate(walk(model, latents, denoiser.schedule, num_steps, config), start=1):
            previous, latents = latents, reached
            kept[done if keep == "all" else 1] = latents
            if on_step is not None:
                on_step(done, num_steps)
        remainder = None
        if method in EXACT:
            remainder = (previous - step_from_noise(model, latents, denoiser.schedule, num_steps)).to(kept.device)
    return Trajectory(latents=kept, timesteps=timesteps, fps=float(fps), method=method, remainder=remainder)


def check_keep(keep: str) -> None:
    """Checks the argument `keep` of `invert` before anything is computed."""
    if keep not in KEEPS:
        raise ConfigError(got=f"keep {keep!r}", expected=f"one of {', '.join(KEEPS)}", mend="Use 'all'.")
