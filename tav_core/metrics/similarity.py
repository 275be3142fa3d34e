"""Cosines of embeddings within a video, with a text, and with another video; times 100, as papers print them."""

from __future__ import annotations

import torch
from einops import einsum
from torch import Tensor
from torch.nn import functional as F

from .scores import PAIRS


def frame_consistency(embeddings: Tensor, pairs: str = "all") -> Tensor:
    """How much the frames of a video look alike: 100 x the mean cosine of pairs of frames.

    Args:
        embeddings: `f d`, one per frame, two or more; not necessarily normalised.
        pairs: "all" takes every pair of different frames, as Tune-A-Video does (arXiv 2212.11565, 5.1); "consecutive"
            takes each frame and the next, as later papers do. Slow drift lowers "all" but not "consecutive".

    Returns:
        One number, at most 100.
    """
    if pairs == "consecutive":
        return consecutive_similarity(embeddings).mean()
    assert pairs in PAIRS, pairs
    unit = F.normalize(embeddings.double(), dim=-1)
    cosines = einsum(unit, unit, "f d, g d -> f g")
    others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return 100 * cosines[others].mean()


def consecutive_similarity(embeddings: Tensor) -> Tensor:
    """100 x the cosine of each frame and the next: `f-1` from embeddings `f d`."""
    return matched_similarity(embeddings[1:], embeddings[:-1])


def matched_similarity(embeddings: Tensor, others: Tensor) -> Tensor:
    """100 x the cosine of each frame with the same frame of another video: `f` from two `f d`."""
    return 100 * F.cosine_similarity(embeddings.double(), others.double(), dim=-1)


def text_similarity(embeddings: Tensor, text: Tensor) -> Tensor:
    """100 x the cosine of each frame with a text: `f` from embeddings `f d` and `1 d` of the same CLIP."""
    return matched_similarity(embeddings, text)
