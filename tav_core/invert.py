"""DDIM inversion: from a clip's latents to the noise that the model would make them from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from .denoiser import Denoiser
from .errors import ConfigError, LatentsError, explain_out_of_memory
from .files import load_tensors, save_tensors
from .layouts import check_latents
from .schedule import ddim_step

OnStep = Callable[[int, int], None]
KEEPS = ("all", "ends")


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """The latents that an inversion went through, from the clip to the noise.

    Args:
        latents: `s b c f h w`, s = steps + 1: [0] is the clip, [-1] the noise. With `keep="ends"` these two alone.
        timesteps: ascending; `latents[i + 1]` is at `timesteps[i]`, where all are kept.
        fps: at which the clip plays; 0 where unknown.
    """

    latents: Tensor
    timesteps: tuple[int, ...]
    fps: float = 0.0

    @property
    def noise(self) -> Tensor:
        """Where sampling starts, `b c f h w`."""
        return self.latents[-1]

    @property
    def num_frames(self) -> int:
        return self.latents.shape[3]

    def to(self, device: torch.device | str) -> Trajectory:
        """The same trajectory on another device."""
        return replace(self, latents=self.latents.to(device))

    def save(self, path: str | Path) -> Path:
        """Writes the trajectory as one safetensors file, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        metadata = {"timesteps": json.dumps(self.timesteps), "fps": json.dumps(self.fps)}
        return save_tensors(path, {"latents": self.latents}, metadata)

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
        timesteps, fps = tuple(json.loads(metadata["timesteps"])), json.loads(metadata.get("fps", "0"))
        return cls(latents=tensors["latents"], timesteps=timesteps, fps=fps)


@torch.no_grad()
def invert(
    denoiser: Denoiser,
    latents: Tensor,
    context: Tensor,
    *,
    num_steps: int = 50,
    fps: float = 0.0,
    keep: str = "all",
    store: torch.device | str | None = None,
    on_step: OnStep | None = None,
) -> Trajectory:
    """Inverts a clip by DDIM run backwards, without guidance (arXiv 2010.02502, section 4.3).

    Each step takes epsilon at the timestep it goes to, on the latents it comes from, as the original does.

    Args:
        denoiser: a tuned model.
        latents: the clip, `b c f h w`.
        context: text embeddings, `b m d` or `1 m d`: of "" as in the original, or of the source prompt.
        num_steps: 50 in the original. Sampling must use as many.
        fps: recorded in the trajectory.
        keep: "all" latents on the way, or the "ends", the clip and the noise: all that reconstruct and edit need.
        store: where the trajectory is kept; the latents' device by default. All steps of a long clip are large, and
            the CPU spares a GPU them: 50 steps of 256 frames of 512x512 are 0.86 GB.
        on_step: called with (steps done, num_steps) after each step; what it raises ends the inversion.

    Raises:
        LatentsError: latents that are not `b c f h w`.
        ConfigError: a number of steps that the schedule has no room for, or an unknown `keep`.
        OutOfMemory: says what to lower.
    """
    check_latents(latents)
    check_keep(keep)
    schedule = denoiser.schedule
    timesteps = schedule.timesteps(num_steps)
    context = context.expand(latents.shape[0], -1, -1)
    kept = latents.new_empty((num_steps + 1 if keep == "all" else 2, *latents.shape), device=store)
    kept[0] = latents
    mend = "Use context windows, fewer frames or a smaller size."
    with explain_out_of_memory(f"inverting {latents.shape[2]} frames", mend):
        for done, timestep in enumerate(timesteps, start=1):
            latents = ddim_step(
                latents,
                denoiser.epsilon(latents, timestep, context),
                alpha=schedule.alpha(schedule.previous(timestep, num_steps)),
                alpha_to=schedule.alpha(timestep),
            )
            kept[done if keep == "all" else 1] = latents
            if on_step is not None:
                on_step(done, num_steps)
    return Trajectory(latents=kept, timesteps=timesteps, fps=fps)


def check_keep(keep: str) -> None:
    """Checks what `invert` is to keep, before anything is computed."""
    if keep not in KEEPS:
        raise ConfigError(got=f"keep {keep!r}", expected=f"one of {', '.join(KEEPS)}", mend="Use 'all'.")
