"""Masks of where an edit may change a clip, as a user would paint them: around the object, or all but the object."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import sdf
from .clips import Clip, Edit, changed_parts
from .world import Scene, grid

# A hand does not follow an outline exactly: the disc holds the shape's corners and a margin, in radii and pixels.
GENEROUS, AROUND = 1.25, 2


def mask_of(clip: Clip, edit: Edit) -> Tensor | None:
    """The mask `f h w` in {0, 1} of one edit; None for an edit that changes both object and background."""
    changed = changed_parts(clip, edit)
    if changed == ["background"]:
        return stack([~touched(scene) for scene in clip.scenes])
    if "background" in changed:
        return None
    return stack([around(scene) & ~second(scene) for scene in clip.scenes])


def stack(masks: list[np.ndarray]) -> Tensor:
    """Stacks the masks of frames into one tensor `f h w`, float32."""
    return torch.from_numpy(np.stack(masks)).float()


def touched(scene: Scene) -> np.ndarray:
    """Every pixel that the shape or the second object touches."""
    x, y = grid()
    turned = sdf.rotate(x - scene.x, y - scene.y, scene.rotation)
    return (sdf.distance(scene.shape, *turned, scene.radius) < 1) | second(scene)


def around(scene: Scene) -> np.ndarray:
    """A generous disc around the shape."""
    x, y = grid()
    return np.hypot(x - scene.x, y - scene.y) < scene.radius * GENEROUS + AROUND


def second(scene: Scene) -> np.ndarray:
    """Every pixel that the second object touches."""
    x, y = grid()
    if scene.second is None:
        return np.zeros(x.shape, bool)
    other = scene.second
    return sdf.distance(other.shape, x - other.x, y - other.y, other.radius) < 1
