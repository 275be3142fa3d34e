"""How the temporal attention knows the order of frames: rotary positions, and a learned bias for each distance.

b  lines of frames, one per pixel      f  frames      h  heads      e  channels of one head      p  pairs of channels
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

ROTARY_BASE = 10000.0
# LaVie rotates the first channels of each head only (rotary_embedding_torch.RotaryEmbedding(32) in its attention.py).
LAVIE_CHANNELS = 32
# Rows of LaVie's table of biases, half of them for each direction, and the distance from which on all share a row.
BUCKETS, FARTHEST = 32, 32


def angles_of(num_frames: int, rates: Tensor) -> Tensor:
    """The angle of each frame and pair of channels, `f 1 p`, float32. Frames are counted from 0 within the input."""
    return torch.arange(num_frames, device=rates.device)[:, None, None] * rates


def rotary_rates(pairs: int, *, device: torch.device | None = None) -> Tensor:
    """The angle per frame of each pair of channels, `p`: 10000^(-j / p) (RoFormer, arXiv 2104.09864, section 3.2.2)."""
    return ROTARY_BASE ** (-torch.arange(pairs, device=device, dtype=torch.float32) / pairs)


def rotate_frames(tokens: Tensor, *, heads: int) -> Tensor:
    """Rotary positions along frames (RoFormer, arXiv 2104.09864, section 3.2.2, with its base): `b f (h e)` in and out.

    Applied to queries and keys, it makes their product depend on the distance between two frames, but not on their
    place. Frames are counted from 0 within the input, so within a context window, as in tuning: counted within a long
    clip, distances would be larger than any that tuning has seen.
    """
    half = tokens.shape[-1] // heads // 2
    angles = angles_of(tokens.shape[1], rotary_rates(half, device=tokens.device))
    cos, sin = angles.cos().to(tokens.dtype), angles.sin().to(tokens.dtype)
    split = rearrange(tokens, "b f (h e) -> b f h e", h=heads)
    one, other, rest = split[..., :half], split[..., half : 2 * half], split[..., 2 * half :]
    rotated = torch.cat([one * cos - other * sin, other * cos + one * sin, rest], dim=-1)
    return rearrange(rotated, "b f h e -> b f (h e)")


def rotate_pairs(tokens: Tensor, *, heads: int) -> Tensor:
    """LaVie's rotary positions: neighbouring channels form a pair, and only the first 32 of each head are rotated.

    `b f (h e)` in and out. A head that has fewer channels is rotated as a whole.
    """
    pairs = min(LAVIE_CHANNELS, tokens.shape[-1] // heads) // 2
    angles = angles_of(tokens.shape[1], rotary_rates(pairs, device=tokens.device))
    cos, sin = angles.cos().to(tokens.dtype), angles.sin().to(tokens.dtype)
    split = rearrange(tokens, "b f (h e) -> b f h e", h=heads)
    one, other = split[..., : 2 * pairs : 2], split[..., 1 : 2 * pairs : 2]
    turned = torch.stack([one * cos - other * sin, other * cos + one * sin], dim=-1).flatten(-2)
    return rearrange(torch.cat([turned, split[..., 2 * pairs :]], dim=-1), "b f h e -> b f (h e)")


def bucket_of(distance: int) -> int:
    """The row of LaVie's table for the distance from a query to a key, in frames; positive for later keys.

    Distances below 8 have rows of their own; farther ones share rows that widen with the logarithm (T5,
    arXiv 1910.10683, section 2.1; RelativePositionBias in LaVie's attention.py).
    """
    per_direction, exact = BUCKETS // 2, BUCKETS // 4
    row = abs(distance)
    if row >= exact:
        share = math.log(row / exact) / math.log(FARTHEST / exact)
        row = min(exact + int(share * (per_direction - exact)), per_direction - 1)
    return row + per_direction * (distance > 0)


# The distance from which on each row but the first of one direction is used.
FIRSTS = [next(n for n in range(FARTHEST) if bucket_of(-n) == row) for row in range(1, BUCKETS // 2)]


def buckets_of(distances: Tensor) -> Tensor:
    """`bucket_of` for a tensor of distances. It copies nothing between devices, so that a CUDA graph can record it."""
    rows = torch.stack([distances.abs() >= first for first in FIRSTS]).sum(dim=0)
    return rows + BUCKETS // 2 * (distances > 0)


class RelativeBias(nn.Module):
    """What LaVie adds to the temporal attention's logits: one number per head and distance between two frames.

    Args:
        heads: of the attention.
        longest: distances beyond it, in frames, count as this one; None for no limit. LaVie was trained on 16 frames,
            so that rows for distances of more than 15 hold what they were initialised with.
    """

    def __init__(self, heads: int, *, longest: int | None = None) -> None:
        super().__init__()
        self.relative_attention_bias = nn.Embedding(BUCKETS, heads)
        self.longest = longest

    def forward(self, num_frames: int) -> Tensor:
        """The biases, `1 h query key`."""
        limit = num_frames if self.longest is None else self.longest
        frames = torch.arange(num_frames, device=self.relative_attention_bias.weight.device)
        biases = self.relative_attention_bias(buckets_of((frames - frames[:, None]).clamp(-limit, limit)))
        return rearrange(biases, "query key h -> 1 h query key")
