"""Context windows: long clips, denoised a few frames at a time, so that memory does not grow with their length.

At each step the windows' predictions are fused by a weighted mean where they overlap (as AnimateDiff-Evolved does). In
front of each window stands frame 0 of the whole clip, which sparse-causal attention looks at; what comes out for it is
dropped.

Which windows a step has follows from its timestep alone. So an inversion and the sampling after it have the same ones,
whatever ran before.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..settings import check_settings, setting

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.conditioning import Conditioning
    from ..models.schedule import NoiseSchedule
    from .denoiser import Denoiser


@dataclass(frozen=True, kw_only=True)
class ContextWindows:
    """How a clip is cut into windows. The defaults are AnimateDiff-Evolved's.

    Raises:
        ConfigError: a setting out of its range, or windows that overlap by their whole length.
    """

    length: int = setting(16, "Frames that are denoised together; best about as many as were tuned on.", low=2)
    overlap: int = setting(4, "Frames that two neighbouring windows share at least.", low=0)
    shifting: bool = setting(True, "Move the windows from step to step, so that no frame is always at an edge.")

    def __post_init__(self) -> None:
        check_settings(self)
        if self.overlap >= self.length:
            raise ConfigError(
                got=f"windows of {self.length} frames that overlap by {self.overlap}",
                expected="an overlap below the length",
                mend=f"Use {self.length // 4}, a quarter of the length.",
            )

    @property
    def shifts(self) -> range:
        """How far to the left the windows may stand. Over all of them, each frame is as often in an overlap."""
        return range(0, self.length - self.overlap, max(self.overlap, 1))

    def shift_at(self, timestep: int) -> int:
        """The shift of a step: drawn by its timestep, from 0 to 999 in Stable Diffusion."""
        return random.Random(timestep).choice(self.shifts) if self.shifting else 0

    def at(self, num_frames: int, timestep: int) -> list[range]:
        """The windows of a step, in order: frames, `length` in each; one window of all frames if there are no more.

        The first and the last window are moved back into the clip where they would leave it.
        """
        last = num_frames - self.length
        if last <= 0:
            return [range(num_frames)]
        stride = self.length - self.overlap
        # Up to the first that reaches the last frame.
        starts = range(-self.shift_at(timestep), last + stride, stride)
        return [range(start, start + self.length) for start in (min(max(s, 0), last) for s in starts)]


def pyramid(length: int) -> list[float]:
    """Weights of a window's frames: 1 at its ends, rising by 1 a frame to the middle."""
    return [float(min(frame + 1, length - frame)) for frame in range(length)]


def fused_weights(windows: list[range], num_frames: int) -> list[list[float]]:
    """For each window the weights of its frames; over all windows those of a frame sum to 1."""
    total = [0.0] * num_frames
    for window in windows:
        for frame, weight in zip(window, pyramid(len(window)), strict=True):
            total[frame] += weight
    return [[w / total[frame] for frame, w in zip(window, pyramid(len(window)), strict=True)] for window in windows]


def with_anchor(window: range) -> list[int]:
    """The frames to denoise for a window: its own, and frame 0 in front of them if it is not among them."""
    return [0, *window] if window.start else [*window]


def window_around(frame: int, num_frames: int, length: int) -> range:
    """The `length` frames with a frame in their middle, moved into the clip; all frames if there are no more."""
    length = min(length, num_frames)
    start = min(max(frame - length // 2, 0), num_frames - length)
    return range(start, start + length)


def pick_frames(whole: Any, frames: Sequence[int]) -> Any:
    """A denoiser or a conditioning for some of a clip's frames: itself, unless it holds something for each frame."""
    return whole.pick_frames(frames) if hasattr(whole, "pick_frames") else whole


@dataclass(frozen=True, kw_only=True)
class WindowedDenoiser:
    """A denoiser for clips of any length: another one, run on one window after the other.

    A clip that is no longer than a window goes to the inner one as it is. What the inner one holds for each frame,
    as controls are, it gives for the frames of a window by a method `pick_frames(frames)`; so does a conditioning.

    Args:
        denoiser: the inner one.
        windows: see `ContextWindows`.
    """

    denoiser: Denoiser
    windows: ContextWindows

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: int, context: Conditioning | Tensor) -> Tensor:
        num_frames = latents.shape[2]
        windows = self.windows.at(num_frames, timestep)
        if len(windows) == 1:
            return self.denoiser.epsilon(latents, timestep, context)
        fused = latents.new_zeros(latents.shape)
        for window, weights in zip(windows, fused_weights(windows, num_frames), strict=True):
            frames = with_anchor(window)
            inner, told = pick_frames(self.denoiser, frames), pick_frames(context, frames)
            own = inner.epsilon(latents[:, :, frames], timestep, told)[:, :, -len(window) :]
            fused[:, :, window.start : window.stop] += own * latents.new_tensor(weights)[:, None, None]
        return fused
