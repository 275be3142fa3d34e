"""The hints for the demo's T2I-Adapter: a white disc on black, at the object's place and of about its size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .world import Scene, grid


def disc(scene: Scene) -> np.ndarray:
    """Draws the object's place and size, but not its outline, `h w 1` float32 in [0, 1]."""
    x, y = grid()
    inside = scene.radius - np.hypot(x - scene.x, y - scene.y)
    return np.clip(inside + 0.5, 0, 1)[..., None].astype(np.float32)


def discs(scenes: Sequence[Scene]) -> Tensor:
    """One disc per scene, `f h w 1`, the layout of a `Control`'s frames."""
    return torch.from_numpy(np.stack([disc(scene) for scene in scenes]))
