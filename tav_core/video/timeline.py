"""When the frames of a source are shown, and which of them a clip takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..errors import ClipError
from .config import ClipConfig


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Presentation times of all frames of a source.

    Args:
        ticks: time of each frame, strictly increasing, in units of `tick`; the first may be any number.
        tick: seconds per unit.
        stated_rates: frame rates that the file claims, in frames per second, the most trusted first; they may be wrong.
    """

    ticks: Sequence[int]
    tick: Fraction
    stated_rates: tuple[Fraction, ...] = ()

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def rate(self) -> Fraction:
        """Average frames per second: the simplest rate that explains the ticks, else the rate measured from them."""
        stated = [rate for rate in self.stated_rates if rate > 0]
        if len(self) < 2:
            return stated[0] if stated else 1 / self.tick
        measured = (len(self) - 1) / ((self.ticks[-1] - self.ticks[0]) * self.tick)
        simple = [measured.limit_denominator(limit) for limit in (1, 2, 3, 1001)]
        return next((rate for rate in [*stated, *simple] if rate > 0 and self.explained_by(rate)), measured)

    def explained_by(self, rate: Fraction) -> bool:
        """Whether every frame lies within one tick of an even grid of `rate` frames per second."""
        grid = np.arange(len(self)) * float(1 / (rate * self.tick))
        return bool(np.abs(self._since_first() - grid).max() <= 1 + 1e-6)

    def even_grid(self) -> np.ndarray:
        """The frame shown at each of `len(self)` evenly spaced moments from the first frame to the last.

        A constant rate gives 0, 1, 2, ...: jitter and rounding of up to half a step to either side are ignored.
        For a variable rate, frames are repeated or left out, so that the motion keeps its speed.
        """
        ticks, numbers = self._since_first(), np.arange(len(self))
        step = ticks[-1] / max(len(self) - 1, 1)
        if np.ptp(ticks - numbers * step) <= step:
            return numbers
        # Half a step later: the middle of the time for which each frame is shown.
        return np.searchsorted(ticks, (numbers + 0.5) * step, side="right") - 1

    def grid_at(self, rate: Fraction) -> np.ndarray:
        """The frame shown at 0, 1, 2, ... times `1 / rate` seconds after the first one, on the even grid.

        A lower rate than the source's leaves frames out, a higher one repeats some.
        """
        grid, step = self.even_grid(), self.rate / rate
        count = -(-len(grid) * step.denominator // step.numerator)
        return grid[np.arange(count) * step.numerator // step.denominator]

    def _since_first(self) -> np.ndarray:
        return np.asarray(self.ticks, np.int64) - self.ticks[0]


def pick_frames(timeline: Timeline, config: ClipConfig, *, name: str, rate: Fraction | None = None) -> list[int]:
    """The frames of a clip by the original's rule `range(start, total, stride)[:num_frames]`, on the even grid.

    Args:
        name: the name of the source, for the error.
        rate: frames per second that the source is brought to first, see `Timeline.grid_at`; None for its own.

    Returns:
        Positions in `timeline.ticks`, not decreasing; at a variable rate one may occur twice.

    Raises:
        ClipError: the source has too few frames; the message says how many it has and which settings would fit.
    """
    wanted = range(config.start, config.start + config.num_frames * config.stride, config.stride)
    grid = timeline.even_grid() if rate is None else timeline.grid_at(rate)
    if wanted[-1] >= len(grid):
        raise _too_short(len(grid), config, name)
    return [int(position) for position in grid[wanted.start : wanted[-1] + 1 : wanted.step]]


def count_left(timeline: Timeline, config: ClipConfig, *, rate: Fraction | None = None) -> int:
    """How many frames a source has from `start` on, one per `stride`, whatever `num_frames` is."""
    total = len(timeline) if rate is None else len(timeline.grid_at(rate))
    return len(range(config.start, total, config.stride))


def shorten(timeline: Timeline, config: ClipConfig, *, rate: Fraction | None = None) -> ClipConfig:
    """The settings for as many frames as there are, if a source has fewer than asked for; see `count_left`.

    They ask for one frame where there is none, which `pick_frames` refuses.
    """
    return replace(config, num_frames=max(1, min(config.num_frames, count_left(timeline, config, rate=rate))))


def _too_short(total: int, config: ClipConfig, name: str) -> ClipError:
    start, stride, num_frames = config.start, config.stride, config.num_frames
    left = len(range(start, total, stride))
    span = (num_frames - 1) * stride
    ways = []
    if left:
        ways.append(f"num_frames to {left}")
    if num_frames > 1 and (total - 1 - start) // (num_frames - 1) >= 1:
        ways.append(f"stride to {(total - 1 - start) // (num_frames - 1)}")
    if total > span:
        ways.append(f"start to {total - 1 - span}")
    return ClipError(
        got=f"{total} frame{'s' * (total != 1)} in {name}, of which start {start} and stride {stride} leave {left}",
        expected=f"{num_frames} frames, which take a source of {start + span + 1} frames or more",
        mend=f"Lower {', or '.join(ways)}." if ways else f"Set start 0, stride 1 and num_frames {total}.",
    )
