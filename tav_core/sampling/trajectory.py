"""The result of an inversion: the latents from the clip to the noise, as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, LatentsError
from ..settings import is_number, is_whole
from ..tensor_files import holds_finite_floats, load_tensors, save_tensors
from .config import EXACT, METHODS, InvertConfig

READ_AS = ("start", "stride", "fit")


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """The latents that an inversion went through, from the clip to the noise.

    Args:
        latents: `s b c f h w`, s = steps + 1: [0] is the clip, [-1] the noise. With `keep="ends"` only these two.
        timesteps: ascending; if all latents are kept, `latents[i + 1]` is at `timesteps[i]`.
        fps: frame rate of the clip; 0 if unknown.
        method: one of `METHODS`; sampling reverses it.
        remainder: for an exact method, `b c f h w`: the latents that the first step of sampling should lead to, minus
            those that it leads to under the inversion's prompt without guidance. None for other methods.
        start, stride, fit: how its clip was read, see `ClipConfig`; if unknown, stride is 0 and fit is empty.
    """

    latents: Tensor
    timesteps: tuple[int, ...]
    fps: float = 0.0
    method: str = InvertConfig.method
    remainder: Tensor | None = None
    start: int = 0
    stride: int = 0
    fit: str = ""

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
        """Writes the trajectory as one safetensors file, completely or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        metadata = {"timesteps": json.dumps(self.timesteps), "fps": json.dumps(self.fps), "method": self.method}
        metadata |= {name: json.dumps(getattr(self, name)) for name in READ_AS}
        tensors = {"latents": self.latents, "remainder": self.remainder}
        return save_tensors(path, {name: t for name, t in tensors.items() if t is not None}, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Reads a file that `save` wrote.

        Raises:
            LatentsError: there is no such file, or it is not a trajectory.
        """
        tensors, metadata = load_tensors(path, error=LatentsError, what="a trajectory file")
        if "latents" not in tensors or "timesteps" not in metadata:
            raise LatentsError(
                got=f"{path}, which holds no trajectory",
                expected="a file that the invert stage wrote",
                mend="Invert the clip and give the file that this writes.",
            )
        try:
            timesteps, fps = tuple(json.loads(metadata["timesteps"])), json.loads(metadata.get("fps", "0"))
            # Older files name no method.
            method = metadata.get("method", "ddim")
            remainder = tensors.get("remainder")
            read_as = {name: json.loads(metadata[name]) for name in READ_AS if name in metadata}
            check_trajectory(tensors["latents"], timesteps, fps, method, remainder, **read_as)
        except (TypeError, ValueError, RecursionError) as error:
            raise LatentsError(
                got=f"{path}, a trajectory that is not consistent ({error})",
                expected="a complete file that the invert stage wrote",
                mend="Invert the clip again and give the file that this writes.",
            ) from error
        return cls(
            latents=tensors["latents"],
            timesteps=timesteps,
            fps=fps,
            method=method,
            remainder=remainder,
            **read_as,
        )


def check_trajectory(
    latents: Tensor,
    timesteps: tuple[int, ...],
    fps: float,
    method: str,
    remainder: Tensor | None,
    start: int = 0,
    stride: int = 0,
    fit: str = "",
) -> None:
    """Checks the contents of a trajectory file. Raises ValueError."""
    for name, tensor, axes in (("latents", latents, 6), ("remainder", remainder, 5)):
        if tensor is None:
            continue
        numbers = holds_finite_floats(tensor)
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
    for name, value in (("start", start), ("stride", stride)):
        if not is_whole(value) or not 0 <= value < 2**31:
            raise ValueError(f"{name} {value!r}")
    if not isinstance(fit, str):
        raise ValueError(f"fit {fit!r}")


def check_all_kept(trajectory: Trajectory, error: type[InputError]) -> None:
    """Raises `error` unless a trajectory holds the latents of every step, not only those of its two ends."""
    kept, needed = len(trajectory.latents), len(trajectory.timesteps) + 1
    if kept != needed:
        raise error(
            got=f"a trajectory whose inversion kept {kept} of {needed} steps: {kept} latents for {needed - 1} steps",
            expected="the latents of every step, from which the edit restores the source",
            mend='Invert the clip again with keep="all".',
        )


def check_inversion(trajectory: Trajectory) -> None:
    """Checks a trajectory that enters a stage, as if it came from a file. Waits for the device.

    Raises:
        LatentsError: it is not a trajectory, or not consistent.
    """
    try:
        if not isinstance(trajectory, Trajectory):
            raise ValueError(f"a {type(trajectory).__name__}, not a trajectory")
        check_trajectory(**{field.name: getattr(trajectory, field.name) for field in fields(trajectory)})
    except ValueError as error:
        raise LatentsError(
            got=f"an inversion that is not consistent: {error}",
            expected="the trajectory from an inversion of the clip",
            mend="Invert the clip again.",
        ) from error
