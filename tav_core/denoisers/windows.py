"""Context windows: long clips are denoised a few frames at a time, so that memory does not grow with their length.

At each step, the predictions of overlapping windows are fused by a weighted mean (as in AnimateDiff-Evolved). Frame 0
of the clip is put in front of each window, because sparse-causal attention attends to it; its prediction is dropped.

The windows of a step depend on its timestep alone, so that an inversion and the sampling after it use the same ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

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
        ConfigError: a setting is out of its range, or windows overlap by their whole length.
    """

    length: int = setting(16, "Frames denoised together; about as many as the motion was tuned on is best.", low=2)
    overlap: int = setting(4, "Frames that two neighbouring windows share, at least.", low=0)
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
        """How far the windows may be shifted to the left. Over all shifts, frames are in an overlap equally often."""
        return range(0, self.length - self.overlap, max(self.overlap, 1))

    def shift_at(self, timestep: float) -> int:
        """The shift of a step, drawn at random with the timestep as seed."""
        return random.Random(timestep).choice(self.shifts) if self.shifting else 0

    def at(self, num_frames: int, timestep: float) -> list[range]:
        """The windows of a step, in order, of `length` frames each; a clip that is no longer is one window.

        The first and the last window are moved if they would reach beyond the clip.
        """
        last = num_frames - self.length
        if last <= 0:
            return [range(num_frames)]
        stride = self.length - self.overlap
        # The last start is the first one whose window reaches the last frame.
        starts = range(-self.shift_at(timestep), last + stride, stride)
        return [range(start, start + self.length) for start in (min(max(s, 0), last) for s in starts)]


class WindowPlan(Protocol):
    """Anything that cuts a clip into windows."""

    def at(self, num_frames: int, timestep: float) -> list[range]:
        """The windows of a step, which cover all frames; frames of a window follow each other."""
        ...


def pyramid(length: int) -> list[float]:
    """Weights of a window's frames: 1 at its ends, rising by 1 per frame towards the middle."""
    return [float(min(frame + 1, length - frame)) for frame in range(length)]


def fused_weights(windows: list[range], num_frames: int) -> list[list[float]]:
    """The weights of each window's frames, scaled so that the weights of a frame in all windows sum to 1."""
    total = [0.0] * num_frames
    for window in windows:
        for frame, weight in zip(window, pyramid(len(window)), strict=True):
            total[frame] += weight
    return [[w / total[frame] for frame, w in zip(window, pyramid(len(window)), strict=True)] for window in windows]


def with_anchor(window: range) -> list[int]:
    """The frames to denoise for a window: its own, after frame 0 if the window does not contain that."""
    return [0, *window] if window.start else [*window]


def window_around(frame: int, num_frames: int, length: int) -> range:
    """The `length` frames around a frame, moved into the clip; all frames if the clip is no longer."""
    length = min(length, num_frames)
    start = min(max(frame - length // 2, 0), num_frames - length)
    return range(start, start + length)


def check_fits(whole: Any, shape: Sequence[int]) -> None:
    """Checks that a denoiser or a conditioning that holds data per frame holds it for latents of a shape `b c f h w`.

    Frames that are picked from data for a longer clip would fit any window, and be those of another time.

    Raises:
        LatentsError: it is for another number of frames.
    """
    if hasattr(whole, "check_fits"):
        whole.check_fits(shape)


def pick_frames(whole: Any, frames: Sequence[int]) -> Any:
    """A denoiser or a conditioning for some of a clip's frames: the same one, unless it holds data per frame."""
    return whole.pick_frames(frames) if hasattr(whole, "pick_frames") else whole


@dataclass(frozen=True, kw_only=True)
class WindowedDenoiser:
    """A denoiser for clips of any length, which runs another denoiser on one window after the other.

    A clip that is no longer than a window is passed on as it is. An inner denoiser that holds data per frame, such as
    controls, needs a method `pick_frames(frames)`, which returns a denoiser for those frames, and may have one
    `check_fits(shape)`, which refuses latents that it has no data for. A conditioning has both.

    Args:
        denoiser: the inner denoiser.
        windows: see `ContextWindows`; or another plan with such a method `at`.
        anchored: whether frame 0 of the clip is put in front of each window.
    """

    denoiser: Denoiser
    windows: WindowPlan
    anchored: bool = True

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        from ..models.conditioning import as_conditioning

        context, num_frames = as_conditioning(context), latents.shape[2]
        windows = self.windows.at(num_frames, timestep)
        if len(windows) == 1:
            return self.denoiser.epsilon(latents, timestep, context)
        check_fits(self.denoiser, latents.shape)
        check_fits(context, latents.shape)
        fused = latents.new_zeros(latents.shape)
        for window, weights in zip(windows, fused_weights(windows, num_frames), strict=True):
            frames = with_anchor(window) if self.anchored else [*window]
            inner, told = pick_frames(self.denoiser, frames), pick_frames(context, frames)
            own = inner.epsilon(latents[:, :, frames], timestep, told)[:, :, -len(window) :]
            fused[:, :, window.start : window.stop] += own * latents.new_tensor(weights)[:, None, None]
        return fused
