"""What a user would give an edit beside its prompt: a mask of where it may change the clip, and the clip's edges."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from tav_core.video.edges import edges

from .clips import Clip, Edit
from .edited_scenes import edited_scenes
from .scene import Scene, draw, render

# A hand does not follow an outline: the mask of a subject has this margin in pixels, and room for a larger one.
AROUND = 10
# The edges of a subject are this near to its silhouette, in pixels.
OUTLINES = 6


def mask_of(clip: Clip, edit: Edit) -> Tensor | None:
    """The mask `f h w` in {0, 1} of one edit: around the subject, all but the subject, or around
    the place of a thing; None for everywhere."""
    if edit.changed == ("subject",):
        return stack([cv2.dilate(silhouette(scene), disc(AROUND)) for scene in clip.scenes])
    if edit.changed == ("place",):
        return stack([1 - silhouette(scene) for scene in clip.scenes])
    if edit.changed == ("thing",):
        pairs = zip(clip.scenes, edited_scenes(clip, edit), strict=True)
        return stack([cv2.dilate(difference(*pair), disc(AROUND)) for pair in pairs])
    return None


def subject_of(clip: Clip) -> Tensor:
    """Where the subject is, with a margin for its outlines: `f h w` in {0, 1}."""
    return stack([cv2.dilate(silhouette(scene), disc(OUTLINES)) for scene in clip.scenes])


def difference(scene: Scene, other: Scene) -> np.ndarray:
    """Every pixel in which two scenes differ, `h w` of 0 and 1."""
    return (np.abs(render(scene) - render(other)).max(axis=-1) > 0.05).astype(np.uint8)


def silhouette(scene: Scene) -> np.ndarray:
    """Every pixel that the subject touches, `h w` of 0 and 1."""
    return (draw(scene).mask > 0.1).astype(np.uint8)


def disc(radius: int) -> np.ndarray:
    side = 2 * radius + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def stack(masks: list[np.ndarray]) -> Tensor:
    """The masks of frames as one tensor `f h w`, float32."""
    return torch.from_numpy(np.stack(masks)).float()


def edge_hints(frames: Tensor) -> Tensor:
    """The edges of frames `f h w 3` in [0, 1], as this world's T2I-Adapter takes them: `f h w 1`."""
    return edges(frames)[..., :1]
