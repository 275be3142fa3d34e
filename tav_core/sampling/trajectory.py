"""What an inversion gives: the latents from the clip to the noise, as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, LatentsError
from ..settings import is_number, is_whole
from ..tensor_files import load_tensors, save_tensors
from .config import EXACT, METHODS, InvertConfig

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


def check_all_kept(trajectory: Trajectory, error: type[InputError]) -> None:
    """Raises `error` unless a trajectory holds the latents of every step, and not those of its two ends alone."""
    kept, needed = len(trajectory.latents), len(trajectory.timesteps) + 1
    if kept != needed:
        raise error(
            got=f"a trajectory whose inversion kept {kept} of {needed} steps: {kept} latents for {needed - 1} steps",
            expected="the latents of every step, from which the edit takes what stays",
            mend='Invert the clip again with keep="all".',
        )


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
