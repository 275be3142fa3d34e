"""What an edit of a clip in which two shapes cross is told beside its prompt: masks, local prompts, and discs.

A mask of a shape is a generous disc without what is seen of the other shape. So the masks say who hides whom, and a
user says it in no other way.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .captions import phrase
from .crossing import OBJECTS, CrossingClip, CrossingEdit, Frame, silhouette
from .discs import disc
from .edit_masks import around, stack


def mask_of(clip: CrossingClip, edit: CrossingEdit) -> Tensor | None:
    """The mask `f h w` in {0, 1} of one edit: around what it changes, or all but the shapes."""
    if edit.kind == "background":
        return stack(
            [~silhouette(frame.first, margin=1) & ~silhouette(frame.second, margin=1) for frame in clip.scenes]
        )
    if edit.kind == "both":
        return subjects_of(clip)
    return stack([seen(frame, edit.kind) for frame in clip.scenes])


def seen(frame: Frame, name: str) -> np.ndarray:
    """A generous disc around one of `OBJECTS`, less what is seen of the other one, `h w` bool."""
    front, behind = (silhouette(getattr(frame, each), margin=1) for each in (frame.front, frame.behind))
    return around(getattr(frame, name)) & ~(behind & ~front if name == frame.front else front)


def subjects_of(clip: CrossingClip) -> Tensor:
    """A mask `f h w` in {0, 1} of both shapes."""
    return stack([around(frame.first) | around(frame.second) for frame in clip.scenes])


def hints(clip: CrossingClip) -> Tensor:
    """The hints for the T2I-Adapter, both discs in each frame, `f h w 1`."""
    pairs = [np.maximum(disc(frame.first), disc(frame.second)) for frame in clip.scenes]
    return torch.from_numpy(np.stack(pairs))


def local_prompts(clip: CrossingClip, edit: CrossingEdit) -> list[tuple[str, Tensor]]:
    """For each shape, a prompt that names it alone, and the mask `f h w` in which it holds."""
    told = []
    for name in OBJECTS:
        shape, colour = getattr(edit, name)
        mask = stack([seen(frame, name) for frame in clip.scenes])
        told.append((phrase(shape=shape, colour=colour, background=edit.background), mask))
    return told
