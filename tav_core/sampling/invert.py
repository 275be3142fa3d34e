"""Inversion: from a clip's latents to the noise that the model would make them from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..errors import ConfigError, LatentsError, explain_out_of_memory
from ..layouts import check_context, check_values
from ..settings import is_number, is_whole
from ..tensor_files import load_tensors, save_tensors
from .invert_config import EXACT, METHODS, InvertConfig
from .solvers import step_from_noise, walk

OnStep = Callable[[int, int], None]
KEEPS = ("all", "ends")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """The latents that an inversion went through, from the clip to the noise.

    Args:
        latents: `s b c f h w`, s = steps + 1: [0] is the clip, [-1] the noise. With `keep="ends"` these two alone.
        timesteps: ascending; `latents[i + 1]` is at `timesteps[i]`, where all are kept.
        fps: at which the clip plays; 0 where unknown.
        method: one of `METHODS`; sampling goes back by the same.
        remainder: of an exact method, `b c f h w`: what the first step of sampling, under the inversion's prompt and
            without guidance, misses of the latents that it should lead to. None of any other.
    """

    latents: Tensor
    timesteps: tuple[int, ...]
    fps: float = 0.0
    method: str = InvertConfig.method
    remainder: Tensor | None = None

    @property
    def noise(self) -> Tensor:
        """Where sampling starts, `b c f h w`."""
        return self.latents[-1]

    @property
    def num_frames(self) -> int:
        return self.latents.shape[3]

    def to(self, device: torch.device | str) -> Trajectory:
        """The same trajectory on another device."""
        remainder = None if self.remainder is None else self.remainder.to(device)
        return replace(self, latents=self.latents.to(device), remainder=remainder)

    def save(self, path: str | Path) -> Path:
        """Writes the trajectory as one safetensors file, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        metadata = {"timesteps": json.dumps(self.timesteps), "fps": json.dumps(self.fps), "method": self.method}
        tensors = {"latents": self.latents, "remainder": self.remainder}
        return save_tensors(path, {name: t for name, t in tensors.items() if t is not None}, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Reads a file that `save` wrote.

        Raises:
            LatentsError: no such file, or not a trajectory.
        """
        tensors, metadata = load_tensors(path, error=LatentsError, what="a trajectory file")
        if "latents" not in tensors or "timesteps" not in metadata:
            raise LatentsError(
                got=f"{path}, which holds no trajectory",
                expected="a file written by the invert stage",
                mend="Invert the clip and give the file it writes.",
            )
        try:
            timesteps, fps = tuple(json.loads(metadata["timesteps"])), json.loads(metadata.get("fps", "0"))
            # Files of before there were methods name none.
            method = metadata.get("method", "ddim")
            remainder = tensors.get("remainder")
            check_trajectory(tensors["latents"], timesteps, fps, method, remainder)
        except (TypeError, ValueError, RecursionError) as error:
            raise LatentsError(
                got=f"{path}, a trajectory that does not hold together ({error})",
                expected="a file written by the invert stage, whole",
                mend="Invert the clip again and give the file it writes.",
            ) from error
        return cls(latents=tensors["latents"], timesteps=timesteps, fps=fps, method=method, remainder=remainder)


def check_trajectory(
    latents: Tensor, timesteps: tuple[int, ...], fps: float, method: str, remainder: Tensor | None
) -> None:
    """Checks what a file says. Raises ValueError."""
    for name, tensor, axes in (("latents", latents, 6), ("remainder", remainder, 5)):
        if tensor is None:
            continue
        numbers = tensor.dtype in FLOATS and bool(torch.isfinite(tensor).all())
        if tensor.ndim != axes or 0 in tensor.shape or not numbers:
            raise ValueError(f"{name} of shape {tuple(tensor.shape)} and {tensor.dtype}, or not finite")
    if method not in METHODS or (method in EXACT) != (remainder is not None):
        raise ValueError(f"method {method[:40]!r} {'without' if remainder is None else 'with'} a remainder")
    if remainder is not None and remainder.shape != latents.shape[1:]:
        raise ValueError("a remainder of another shape than the latents")
    if not all(is_whole(timestep) and 0 <= timestep < 2**31 for timestep in timesteps):
        raise ValueError("timesteps that are no whole numbers")
    if not timesteps or list(timesteps) != sorted(set(timesteps)) or len(latents) not in (2, len(timesteps) + 1):
        raise ValueError(f"{len(timesteps)} timesteps, not all ascending, for {len(latents)} steps of latents")
    if not is_number(fps) or not 0 <= fps < 1e6:
        raise ValueError(f"fps {fps!r}")


def check_inversion(trajectory: Trajectory) -> None:
    """Checks a trajectory at the door of a stage, as if it came from a file. Waits for the device.

    Raises:
        LatentsError: it is none, or does not hold together.
    """
    try:
        if not isinstance(trajectory, Trajectory):
            raise ValueError(f"a {type(trajectory).__name__}, not a trajectory")
        check_trajectory(**{field.name: getattr(trajectory, field.name) for field in fields(trajectory)})
    except ValueError as error:
        raise LatentsError(
            got=f"an inversion that does not hold together: {error}",
            expected="the trajectory that an inversion of the clip gave",
            mend="Invert the clip again.",
        ) from error


@torch.no_grad()
def invert(
    denoiser: Denoiser,
    latents: Tensor,
    context: Tensor,
    *,
    num_steps: int = 50,
    method: str = InvertConfig.method,
    iterations: int = InvertConfig.iterations,
    fps: float = 0.0,
    keep: str = "all",
    store: torch.device | str | None = None,
    on_step: OnStep | None = None,
) -> Trajectory:
    """Inverts a clip, without guidance: by DDIM run backwards (arXiv 2010.02502, section 4.3), or as `solvers` says.

    Each step of `ddim` takes epsilon at the timestep it goes to, on the latents it comes from, as the original does.

    Args:
        denoiser: a tuned model.
        latents: the clip, `b c f h w`.
        context: text embeddings, `b m d` or `1 m d`: of "" as in the original, or of the source prompt. Sampling with
            the source prompt as the negative one too is negative-prompt inversion (arXiv 2305.16807).
        num_steps: 50 in the original. Sampling must use as many.
        method, iterations: see `InvertConfig`. `fixed_point` takes `iterations` times as long as `ddim`; `o_belm`
            `iterations` steps longer.
        fps: recorded in the trajectory.
        keep: "all" latents on the way, or the "ends": all that reconstruct and edit need.
        store: where the trajectory is kept; the latents' device by default. All steps of a long clip are large, and
            the CPU spares a GPU them: 50 steps of 256 frames of 512x512 are 0.86 GB.
        on_step: called with (steps done, num_steps) after each step; what it raises ends the inversion.

    Raises:
        LatentsError: latents that are not `b c f h w`.
        ConfigError: a number of steps that the schedule or method has no room for, or an unknown method or `keep`.
        OutOfMemory: says what to lower.
    """
    check_values(latents)
    check_context(context, values=True)
    check_keep(keep)
    config = InvertConfig(method=method, iterations=iterations)
    timesteps = denoiser.schedule.timesteps(num_steps)
    context = context.expand(latents.shape[0], -1, -1)
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
    return Trajectory(latents=kept, timesteps=timesteps, fps=fps, method=method, remainder=remainder)


def check_keep(keep: str) -> None:
    """Checks what `invert` is to keep, before anything is computed."""
    if keep not in KEEPS:
        raise ConfigError(got=f"keep {keep!r}", expected=f"one of {', '.join(KEEPS)}", mend="Use 'all'.")
