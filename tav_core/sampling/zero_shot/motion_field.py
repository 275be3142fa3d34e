"""Motion fields: where each frame of a video looks, relative to its first frame.

A field says how the *camera* moves: to the right and down, in, or around. What it looks at moves the other way on the
screen, as in the original, where a motion of (12, 12) moves the picture to the left and up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ...errors import ConfigError
from ...layouts import VAE_FACTOR

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionField:
    """How the camera moves from frame to frame. The parts add up.

    Args:
        move: pixels of the video per frame, to the right and down. The original's default is (12, 12) at 512x512.
        zoom: factor per frame; above 1, the camera comes nearer.
        turn: degrees per frame, clockwise, so that the picture turns counterclockwise.
        path: points (x, y) in pixels that the camera passes, from the first frame to the last, at even speed from point
            to point. Only their differences from the first one count.
        flow: any motion, `f h w 2` in pixels: for each pixel of a frame, how far from its own place in the first frame
            its content is found, to the right and down. Of any size; it is scaled to the latents.
        size: height and width in pixels of the field that `move`, `path` and `flow` are measured in; None for the
            video's own. The original measures in 512x512, whatever the video's size is.

    Raises:
        ConfigError: a part is not finite, or has another form.
    """

    move: Point = (0.0, 0.0)
    zoom: float = 1.0
    turn: float = 0.0
    path: Sequence[Point] = ()
    flow: Tensor | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_numbers("move", self.move, count=2)
        check_numbers("zoom and turn", (self.zoom, self.turn), count=2)
        if self.zoom <= 0:
            raise ConfigError(
                got=f"zoom {self.zoom}", expected="above 0", mend="Use 1 for no zoom, 1.02 to come nearer."
            )
        for point in self.path:
            check_numbers("a point of a path", point, count=2)
        if len(self.path) == 1:
            raise ConfigError(
                got="a path of one point", expected="two points or more, or none", mend="Give the end of the path, too."
            )
        if self.flow is not None and (self.flow.ndim != 4 or self.flow.shape[-1] != 2 or 0 in self.flow.shape):
            raise ConfigError(
                got=f"a flow of shape {tuple(self.flow.shape)}",
                expected="f h w 2: for each frame and pixel, a displacement to the right and down",
                mend="Put the axes in this order.",
            )

    def check_frames(self, num_frames: int) -> None:
        """Raises `ConfigError` if a flow has fewer frames than the video."""
        if self.flow is not None and len(self.flow) < num_frames:
            raise ConfigError(
                got=f"a flow of {len(self.flow)} frames for a video of {num_frames}",
                expected="one for each frame of the video, that of frame 0 first",
                mend="Give a longer flow, or make fewer frames.",
            )

    def displacement(self, frames: Sequence[int], num_frames: int) -> np.ndarray:
        """How far the camera has moved in some frames of a video, `f 2` in pixels to the right and down."""
        moved = np.outer(np.asarray(frames, float), self.move)
        if not len(self.path):
            return moved
        points = np.asarray(self.path, float) - self.path[0]
        at = np.asarray(frames, float) / max(num_frames - 1, 1) * (len(points) - 1)
        along = [np.interp(at, np.arange(len(points)), points[:, axis]) for axis in (0, 1)]
        return moved + np.stack(along, axis=1)

    def places(self, frames: Sequence[int], *, num_frames: int, height: int, width: int) -> Tensor:
        """Where frames read the first frame: `f h w 2`, float64, x and y in pixels of the latents, from 0.

        In closed form, per axis of n latent pixels, output i reads the input at i + n (d - 0.5) / s for a displacement
        d in a field of s pixels. The half pixel is the original's, which divides pixel indices, and not centres, by s.

        Args:
            frames: the numbers of the frames; frame 0 is the first one.
            num_frames: of the whole video, for a path.
            height, width: of the latents.

        Raises:
            ConfigError: a flow has fewer frames.
        """
        self.check_frames(num_frames)
        size = self.size or (VAE_FACTOR * height, VAE_FACTOR * width)
        scale = torch.tensor([size[1] / width, size[0] / height], dtype=torch.float64)
        rows, columns = torch.meshgrid(
            torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
        )
        own = torch.stack([columns, rows], dim=-1)
        # Pixel indices of the field under the centres of the latents' pixels.
        pixels = (own + 0.5) * scale - 0.5
        centre = (torch.tensor([size[1], size[0]], dtype=torch.float64) - 1) / 2
        moved = torch.from_numpy(self.displacement(frames, num_frames))
        flows = self.around(pixels, centre, frames) - pixels + rearrange(moved, "f d -> f 1 1 d")
        if self.flow is not None:
            flows = flows + resize_flow(self.flow, frames, height=height, width=width)
        return own + (flows - 0.5) / scale

    def around(self, pixels: Tensor, centre: Tensor, frames: Sequence[int]) -> Tensor:
        """Places `h w 2` as zoom and turn about the centre see them in frames, `f h w 2`."""
        numbers = rearrange(torch.tensor([*frames], dtype=torch.float64), "f -> f 1 1")
        angle, near = torch.deg2rad(self.turn * numbers), self.zoom**numbers
        cos, sin = torch.cos(angle) / near, torch.sin(angle) / near
        x, y = (pixels - centre).unbind(-1)
        return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) + centre


def resize_flow(flow: Tensor, frames: Sequence[int], *, height: int, width: int) -> Tensor:
    """The flow of some frames at the latents' size, still in pixels of the field, `f h w 2` float64."""
    picked = rearrange(flow[list(frames)].cpu().double(), "f h w d -> f d h w")
    resized = F.interpolate(picked, (height, width), mode="bilinear", align_corners=False, antialias=False)
    return rearrange(resized, "f d h w -> f h w d")


def check_numbers(what: str, values: Sequence[float], *, count: int) -> None:
    """Raises `ConfigError` unless there are so many finite numbers."""
    try:
        fits = len(values) == count and all(np.isfinite(float(value)) for value in values)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ConfigError(got=f"{what} {values!r}", expected=f"{count} finite numbers", mend="Give pixels as (12, 12).")


def warp(latents: Tensor, places: Tensor) -> Tensor:
    """Latents that read others at given places: the nearest ones, mirrored at the borders.

    This is the original's `grid_sample` (nearest, reflection padding, align_corners False) as an exact gather.

    Args:
        latents: `b c f h w`, or with one frame, which all read.
        places: `f h w 2` as `MotionField.places` gives them.
    """
    *_, height, width = latents.shape
    columns, rows = (nearest(places[..., axis], side) for axis, side in ((0, width), (1, height)))
    index = rearrange(rows * width + columns, "f h w -> 1 1 f (h w)").to(latents.device)
    flat = rearrange(latents, "b c f h w -> b c f (h w)").expand(-1, -1, len(places), -1)
    read = torch.gather(flat, -1, index.expand(*flat.shape[:2], -1, -1))
    return rearrange(read, "b c f (h w) -> b c f h w", h=height)


def nearest(places: Tensor, side: int) -> Tensor:
    """The pixels nearest to places along an axis of `side` pixels, mirrored at its two ends as often as need be."""
    beyond = torch.remainder((places + 0.5).abs(), 2 * side)
    inside = torch.minimum(beyond, 2 * side - beyond) - 0.5
    return inside.clamp(0, side - 1).round().long()
