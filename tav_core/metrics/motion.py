"""What the flow says: whether frames follow the motion, how much motion there is, and in how many directions."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..cancelling import cancellable
from .flow import FlowPair

BINS = 8
# |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5, from Sundaram et al., ECCV 2010, as the warping error of Lai et al. uses it.
RELATIVE, ABSOLUTE = 0.01, 0.5
FRAMES_AT_ONCE = 8


def warp_frames(frames: Tensor, flow: Tensor) -> Tensor:
    """Takes each pixel from where the flow points to: `out(x) = frames(x + flow(x))`, bilinear.

    Args:
        frames: `f h w c`.
        flow: `f h w 2`, in pixels; right and down are positive.

    Returns:
        `f h w c`; outside the frame, the nearest pixel of the border is taken.
    """
    height, width = flow.shape[1:3]
    places = flow + pixel_places(height, width).to(flow)
    # grid_sample counts from -1 to 1 between the centres of the outermost pixels.
    scale = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device="cpu").to(flow)
    sampled = F.grid_sample(
        rearrange(frames.to(flow), "f h w c -> f c h w"),
        2 * places / scale - 1,
        padding_mode="border",
        align_corners=True,
    )
    return rearrange(sampled, "f c h w -> f h w c")


def pixel_places(height: int, width: int) -> Tensor:
    """x and y of every pixel, `h w 2`."""
    y, x = torch.meshgrid(*(torch.arange(side, device="cpu") for side in (height, width)), indexing="ij")
    return torch.stack([x, y], dim=-1)


def visible_pixels(flow: FlowPair) -> Tensor:
    """The pixels of each frame that the next frame still shows, `f-1 h w` bool.

    A pixel is visible if the forward and then the backward flow lead back near to it,
    |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5 with b taken from where f points to, and if f stays inside the frame.
    """
    forward, back = flow.forward, warp_frames(flow.backward, flow.forward)
    strayed = (forward + back).square().sum(-1)
    lengths = forward.square().sum(-1) + back.square().sum(-1)
    places = forward + pixel_places(*forward.shape[1:3]).to(forward)
    last = torch.tensor([forward.shape[2] - 1, forward.shape[1] - 1], device="cpu").to(forward)
    inside = ((places >= 0) & (places <= last)).all(-1)
    return inside & (strayed < RELATIVE * lengths + ABSOLUTE)


def warp_errors(frames: Tensor, flow: FlowPair) -> Tensor:
    """How far frames differ from their successors along the flow: mean |I_t - warp(I_t+1)| over the visible pixels.

    Args:
        frames: `f h w c` in [0, 1].
        flow: their own flow, or that of a source whose motion they should follow.

    Returns:
        `f-1`, in [0, 1]; nan for a frame without visible pixels, for example at a cut.
    """
    parts = zip(*(x.split(FRAMES_AT_ONCE) for x in (frames[:-1], frames[1:], *flow)), strict=True)
    return torch.cat([errors_along(*part) for part in cancellable(parts)])


def errors_along(here: Tensor, after: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """`warp_errors` of a few frames, `f h w c`, with their successors."""
    visible = visible_pixels(FlowPair(forward, backward))
    strayed = (here.to(forward) - warp_frames(after, forward)).abs().mean(-1)
    return (strayed * visible).sum((1, 2)) / visible.sum((1, 2))


def flow_magnitudes(flow: Tensor) -> Tensor:
    """Mean length of the displacements of each frame, in pixels: `f` from `f h w 2`."""
    return flow.norm(dim=-1).mean((1, 2))


def angle_histogram(flow: Tensor) -> Tensor:
    """The directions in which pixels move, over all frames: the share of motion in each of 8 bins.

    Bins of 45 degrees are centred on right, down right, down, ..., so that motion along an axis falls into one bin.
    Each pixel is weighted by the length of its displacement.

    Args:
        flow: `f h w 2`, in pixels.

    Returns:
        `8` float64 with sum 1; all 0 if nothing moves.
    """
    weights = torch.zeros(BINS, dtype=torch.float64, device="cpu")
    for part in cancellable(flow.double().split(FRAMES_AT_ONCE)):
        x, y = part.unbind(-1)
        bins = torch.round(torch.atan2(y, x) / (2 * math.pi / BINS)).long().remainder(BINS)
        weights += torch.bincount(bins.flatten(), weights=part.norm(dim=-1).flatten(), minlength=BINS)
    return weights / weights.sum().clamp(min=torch.finfo(torch.float64).tiny)


def angle_entropy(histogram: Tensor) -> Tensor:
    """Entropy of an `angle_histogram` in bits: 0 for one direction (or no motion), 3 for all eight equally."""
    return -torch.special.xlogy(histogram, histogram).sum() / math.log(2)
