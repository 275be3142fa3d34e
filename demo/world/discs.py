"""What the demo's T2I-Adapter is shown: a white disc on black, where the object is and about as large."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .world import Scene, grid


def disc(scene: Scene) -> np.ndarray:
    """The object's place and size and nothing of its outline, `h w 1` float32 in [0, 1]."""
    x, y = grid()
    inside = scene.radius - np.hypot(x - scene.x, y - scene.y)
    return np.clip(inside + 0.5, 0, 1)[..., None].astype(np.float32)


def discs(scenes: Sequence[Scene]) -> Tensor:
    """A disc for each scene, `f h w 1`, as a `Control` has its frames."""
    return torch.from_numpy(np.stack([disc(scene) for scene in scenes]))
