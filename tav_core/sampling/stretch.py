"""A clip's motion slower or faster: an inversion whose frames are taken at other times."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..cancelling import cancellable
from ..errors import ConfigError
from ..settings import is_number
from .blend import slerp
from .config import EXACT
from .trajectory import Trajectory, check_inversion

SLOWEST, FASTEST = 0.125, 8.0


def stretch(trajectory: Trajectory, speed: float) -> Trajectory:
    """An inversion of the clip at another speed: its latents at times 0, k, 2k, ..., between frames blended by `slerp`.

    At 2, these are every other frame, and nothing is blended. At 0.5, there are nearly twice as many frames, and every
    other one is halfway between two. The result has no remainder, so that an exact inversion becomes one by DDIM.

    Args:
        speed: k, frames of the clip for each frame of the result; 0.125 to 8.

    Raises:
        LatentsError: the trajectory is not consistent.
        ConfigError: the speed is out of its range, or fewer than two frames are left.
    """
    check_inversion(trajectory)
    times = find_times(trajectory.num_frames, speed)
    latents = torch.stack([stretch_frames(step, times) for step in cancellable(trajectory.latents)])
    method = "ddim" if trajectory.method in EXACT else trajectory.method
    return replace(trajectory, latents=latents, method=method, remainder=None)


def find_times(num_frames: int, speed: float) -> list[float]:
    """The times of the frames of a clip at another speed, in frames of the clip; the last is at most its last frame."""
    if not is_number(speed) or not SLOWEST <= speed <= FASTEST:
        raise ConfigError(
            got=f"a speed of {speed!r}",
            expected=f"{SLOWEST:g} to {FASTEST:g} frames of the clip for each new one",
            mend="Use 0.5 for half the speed, 2 for twice.",
        )
    # Without the small addition, 3 / 0.3 could be a little less than 10.
    count = int((num_frames - 1) / speed + 1e-6) + 1
    if count < 2:
        raise ConfigError(
            got=f"a speed of {speed:g} for a clip of {num_frames} frames",
            expected="at least two frames that are left",
            mend="Use a lower speed, or a longer clip.",
        )
    return [min(index * speed, num_frames - 1) for index in range(count)]


def stretch_frames(latents: Tensor, times: list[float]) -> Tensor:
    """Latents `b c f h w` at times between their frames."""
    frames = []
    for time in times:
        before = int(time)
        here = latents[:, :, before : before + 1]
        share = time - before
        frames.append(slerp(here, latents[:, :, before + 1 : before + 2], share) if share > 1e-6 else here)
    return torch.cat(frames, dim=2)


def nearest_frames(num_frames: int, speed: float) -> list[int]:
    """The frames of a clip that are nearest to those of an edit at another speed.

    Halves go up. Python's `round` takes them to even numbers, so that at half speed, even frames would be
    shown three times and odd ones once.
    """
    return [math.floor(number * speed + 0.5) for number in range(num_frames)]
