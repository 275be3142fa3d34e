"""Crude animations: an object is cut from a picture or clip, its place is filled, and it is moved along a path.

They look cut and pasted. They say where things are in each frame, and a model that starts from one makes a video of it
(Time-to-Move, arXiv 2511.08633, which calls them so): tune, invert and edit take them as any other clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..cancelling import cancellable
from ..errors import ClipError, ConfigError
from ..layouts import check_finite_frames, check_mask
from .config import AnimateConfig, CameraConfig
from .fill import fill_holes
from .motion_path import Point, resample_path
from .warp import camera_maps, shifts, warp_frames

# A pixel belongs to the object from here on; what is fainter is the noise of a mask's compression.
INSIDE = 0.05


class Animation(NamedTuple):
    """An animation.

    Args:
        frames: `f h w 3` float in [0, 1].
        mask: `f h w` in [0, 1], where the object is in each frame; all 0 without an object.
    """

    frames: Tensor
    mask: Tensor


def animate(
    frames: Tensor,
    mask: Tensor | None = None,
    path: Sequence[Point] = (),
    *,
    config: AnimateConfig | None = None,
    camera: CameraConfig | None = None,
    measure: Callable[[Tensor, Tensor | None], np.ndarray] | None = None,
) -> Animation:
    """Moves an object along a path, or scales its own motion, and moves the camera.

    In frame i, the object's centre c_i (the centroid of its mask) goes to c_0 + k d_i: d_i is how far the path has led,
    or without a path c_i - c_0, and k is `config.scale`. So k = 0.5 without a path halves the clip's own motion.

    Args:
        frames: a picture `1 h w 3` or a clip `f h w 3`, float in [0, 1]; they are not changed.
        mask: where the object is, `1 h w` or `f h w` in [0, 1]; None moves the camera alone.
        path: points (x, y) in fractions of the frame, walked at even speed; they may lie outside of it.
        config, camera: see `AnimateConfig` and `CameraConfig`.
        measure: for a camera with an `own_scale`: measures its motion, such as `metrics.drift.measure_drift`.

    Raises:
        ClipError: the frames or the mask have another shape or range, or the mask has no object, or nothing else.
        ConfigError: there is a path without a mask, or it has a single point, or nothing moves, or the margin leaves
            nothing of a frame.
    """
    config, camera = config or AnimateConfig(), camera or CameraConfig()
    check_scene(frames, mask)
    if config.still:
        frames, mask = frames[:1], None if mask is None else mask[:1]
    num_frames = len(frames) if len(frames) > 1 else config.num_frames
    check_moves(mask, path, config, camera, is_clip=len(frames) > 1)
    if camera.own_scale != 1:
        assert measure is not None, "a camera with an own_scale needs something that measures its motion"
        frames, mask = scale_camera(frames, mask, measure(frames, mask), camera.own_scale)
        check_in_sight(mask, camera)
    _, height, width, _ = frames.shape
    maps = camera_maps(camera, num_frames, height=height, width=width)
    if mask is None:
        moved = warp_frames(frames, maps, padding="reflection")
        return Animation(moved, torch.zeros(moved.shape[:3]).to(moved))
    mask = without_noise(mask.to(frames)).expand(len(frames), -1, -1)
    layer = cut_out(frames, mask, config)
    way = find_way(mask, path, config, num_frames)
    layers = warp_frames(layer, shifts(way), padding="zeros")
    place = fill_holes(frames, find_holes(mask, config))
    if camera.follows:
        return paste(warp_frames(place, maps, padding="reflection"), layers)
    still = paste(place.expand(num_frames, -1, -1, -1), layers)
    seen = warp_frames(still.frames, maps, padding="reflection")
    return Animation(seen, warp_frames(still.mask[..., None], maps, padding="zeros")[..., 0])


def find_way(mask: Tensor, path: Sequence[Point], config: AnimateConfig, num_frames: int) -> np.ndarray:
    """How far the object of each frame is moved from its place there, `f 2` in pixels to the right and down."""
    height, width = mask.shape[1:]
    centres = np.broadcast_to(find_centres(mask), (num_frames, 2))
    if not len(path):
        return (config.scale - 1) * (centres - centres[0])
    led = resample_path(path, num_frames) * (width, height)
    begin = centres[0] if config.begin == "object" else led[0]
    return begin + config.scale * (led - led[0]) - centres


def find_centres(mask: Tensor) -> np.ndarray:
    """The centroid of each frame's mask `f h w`, `f 2` (x, y) in pixels from the upper left corner.

    A frame without an object has the centre of the nearest frame before it that has one, or else after it.
    """
    weights = mask.cpu().double()
    total = weights.sum(dim=(1, 2))
    height, width = mask.shape[1:]
    columns, rows = (torch.arange(side, dtype=torch.float64, device="cpu") + 0.5 for side in (width, height))
    sums = torch.stack([(weights.sum(dim=1) * columns).sum(-1), (weights.sum(dim=2) * rows).sum(-1)], dim=1)
    seen = np.flatnonzero(total.numpy() > 0)
    nearest = seen[np.maximum(np.searchsorted(seen, np.arange(len(mask)), side="right") - 1, 0)]
    return (sums[nearest] / total[nearest, None]).numpy()


def cut_out(frames: Tensor, mask: Tensor, config: AnimateConfig) -> Tensor:
    """The object alone, `f h w 4`: its colours times its opacity, and its opacity."""
    side = 2 * config.feather + 1
    soft = F.avg_pool2d(mask[:, None], side, 1, config.feather, count_include_pad=False)[:, 0]
    return torch.cat([frames * soft[..., None], soft[..., None]], dim=-1)


def without_noise(mask: Tensor) -> Tensor:
    """A mask without what its compression left all over: it would pull the object's centre to the middle."""
    return mask.masked_fill(mask <= INSIDE, 0)


def find_holes(mask: Tensor, config: AnimateConfig) -> Tensor:
    """What is filled where an object was cut out, `f h w` bool: its mask, and `margin` and `feather` around it.

    Raises:
        ConfigError: nothing of a frame is left, from which it could be filled.
    """
    reach = config.margin + config.feather
    holes = F.max_pool2d(mask[:, None], 2 * reach + 1, 1, reach)[:, 0] > INSIDE
    if bool(holes.flatten(1).all(dim=1).any()):
        raise ConfigError(
            got=f"margin {config.margin} and feather {config.feather}, which leave nothing around the object",
            expected="pixels around it: its place is filled from them",
            mend="Lower margin and feather, or use larger frames.",
        )
    return holes


def paste(places: Tensor, layers: Tensor) -> Animation:
    """Puts objects as `cut_out` gives them over places `f h w 3`."""
    colours, opacity = layers.split((3, 1), dim=-1)
    return Animation((places * (1 - opacity) + colours).clamp(0, 1), opacity[..., 0].clamp(0, 1))


def scale_camera(frames: Tensor, mask: Tensor | None, drift: np.ndarray, scale: float) -> tuple[Tensor, Tensor | None]:
    """Frames and their masks as if the camera had moved `scale` times as far; the borders are mirrored.

    Args:
        frames: `f h w 3`.
        mask: `f h w`, or `1 h w` for all frames, which then has one for each.
        drift: how far the scene has moved on the screen since the first frame, `f 2` in pixels to the right and down.
        scale: 0 holds the camera still, 1 changes nothing.
    """
    maps = shifts((scale - 1) * drift)
    moved = warp_frames(frames, maps, padding="reflection")
    return moved, None if mask is None else warp_frames(mask.to(frames)[..., None], maps, padding="zeros")[..., 0]


def check_in_sight(mask: Tensor | None, camera: CameraConfig) -> None:
    """Raises `ConfigError` if a camera's scaled motion has moved the object out of every frame."""
    if mask is not None and not (mask > INSIDE).any():
        raise ConfigError(
            got=f"own_scale {camera.own_scale:g}, with which the object is in no frame",
            expected="a scale with which the camera shows it",
            mend="Lower own_scale.",
        )


def check_scene(frames: Tensor, mask: Tensor | None) -> None:
    """Raises `ClipError` unless frames are `f h w 3`, and a mask fits them and holds an object and not everything."""
    if not isinstance(frames, Tensor) or not frames.is_floating_point() or frames.ndim != 4 or frames.shape[-1] != 3:
        found = f"{tuple(frames.shape)}, {frames.dtype}" if isinstance(frames, Tensor) else type(frames).__name__
        raise ClipError(
            got=f"frames of {found}",
            expected="floats f h w 3 in [0, 1]; a picture has one frame",
            mend="Give frames as read_clip returns them; divide bytes by 255.",
        )
    check_finite_frames(frames, ClipError)
    if mask is None:
        return
    # Before its size: where no mask was painted, ComfyUI's Load Image gives a small black one.
    if isinstance(mask, Tensor) and not mask.is_complex() and not (mask > INSIDE).any():
        raise ClipError(
            got="an empty mask, which is black everywhere",
            expected="white where the object is that should move",
            mend="Paint the object white, or invert the mask.",
        )
    check_mask(mask, num_frames=len(frames), height=frames.shape[1], width=frames.shape[2])
    if any(bool((part > INSIDE).all()) for part in cancellable(mask)):
        raise ClipError(
            got="a mask that covers a whole frame",
            expected="white on the object alone: what is behind it is filled from around it",
            mend="Paint only the object; to move the whole picture, leave the mask out and move the camera.",
        )


def check_moves(
    mask: Tensor | None, path: Sequence[Point], config: AnimateConfig, camera: CameraConfig, *, is_clip: bool
) -> None:
    """Raises `ConfigError` if the settings contradict each other or move nothing."""
    if len(path) and mask is None:
        raise ConfigError(
            got="a path without a mask",
            expected="a mask of the object that follows it",
            mend="Paint the object in a mask; to move the whole picture, use the camera's settings.",
        )
    if camera.own_scale != 1 and not is_clip:
        raise ConfigError(
            got=f"own_scale {camera.own_scale:g} for a picture",
            expected="a clip, whose camera has a motion of its own",
            mend="Leave own_scale at 1; pan_x, pan_y, zoom and turn move the camera of a picture.",
        )
    own = mask is not None and is_clip and config.scale != 1
    if own and not len(path) and mask is not None and len(mask) == 1:
        raise ConfigError(
            got=f"scale {config.scale:g} of a clip's own motion, and one mask for all of its frames",
            expected="a mask per frame, which says how the object moves",
            mend="Give a mask for each frame, or draw a path.",
        )
    still = CameraConfig(follows=camera.follows) == camera
    if not len(path) and not own and still:
        raise ConfigError(
            got="nothing that moves: no path, no scale of the clip's own motion, and a camera that stands still",
            expected="at least one of them",
            mend="Draw a path from where the object is to where it should go, or set pan_x, pan_y, zoom or turn.",
        )
