"""The paths that tokens take through a clip, by its optical flow, as FLATTEN (arXiv 2310.05922) follows them.

A path is a number: all tokens with the same number show the same spot of the scene, in frames that follow each other.
Every token is on exactly one path. A path ends where its spot leaves the frame or is hidden, and where several paths
meet in one token; there, the one nearest to the token's centre goes on.

The original rounds each frame's flow to whole tokens, so that what moves by less than half a token per frame never
moves. Here a path keeps its place in pixels, and only the token that it is in is rounded.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from ..cancelling import cancellable
from ..layouts import VAE_FACTOR
from .flow import FlowPair, measure_flow
from .motion import pixel_places, visible_pixels

# A UNet halves its latents at most so often.
LEVELS = 4


def token_paths(frames: Tensor, flow: FlowPair | None = None) -> tuple[Tensor, ...]:
    """The paths of a clip's tokens, for each level of a UNet from the latents' own size on.

    Args:
        frames: `f h w 3` float in [0, 1]: one frame or more, each side 16 pixels or more.
        flow: their flow; None measures it by DIS.

    Returns:
        Numbers of paths, int64 `f h w` on the CPU: at h/8 and w/8, then at half of that, rounded up, and so on.

    Raises:
        InputError: OpenCV is not installed, or the frames are too small.
    """
    sides = [side // VAE_FACTOR for side in frames.shape[1:3]]
    sizes = [[-(-side // 2**level) for side in sides] for level in range(LEVELS)]
    if len(frames) == 1:
        return tuple(torch.arange(h * w, device="cpu").view(1, h, w) for h, w in sizes)
    flow = flow or measure_flow(frames)
    visible = visible_pixels(flow)
    return tuple(follow(flow.forward, visible, height, width) for height, width in sizes)


def follow(forward: Tensor, visible: Tensor, height: int, width: int) -> Tensor:
    """The paths of the tokens of a grid, `f height width`.

    Args:
        forward: `f-1 h w 2`, in pixels.
        visible: `f-1 h w`, the pixels that the next frame still shows.
    """
    size = torch.tensor([forward.shape[2] / width, forward.shape[1] / height], dtype=torch.float32, device="cpu")
    centres = (rearrange(pixel_places(height, width), "h w xy -> (h w) xy").float() + 0.5) * size - 0.5
    fresh = torch.arange(height * width, device="cpu")
    places, found = centres, [fresh]
    for flow, seen in cancellable(zip(forward, visible, strict=True)):
        nearest = nearest_pixels(places, *flow.shape[:2])
        moved = places + flow.flatten(0, 1)[nearest]
        column, row = ((moved + 0.5) / size).floor().long().unbind(-1)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        tokens = row * width + column
        going = torch.nonzero(inside & seen.flatten()[nearest]).squeeze(1)
        going = going[one_for_each(tokens[going], (moved[going] - centres[tokens[going]]).norm(dim=-1))]
        # Tokens that no path reaches begin new ones, at their centres.
        paths, places = fresh + len(fresh) * len(found), centres.clone()
        paths[tokens[going]], places[tokens[going]] = found[-1][going], moved[going]
        found.append(paths)
    return rearrange(torch.stack(found), "f (h w) -> f h w", h=height)


def nearest_pixels(places: Tensor, height: int, width: int) -> Tensor:
    """The numbers of the pixels, counted row by row, that are nearest to places `n 2`."""
    column, row = places.round().long().unbind(-1)
    return row.clamp(0, height - 1) * width + column.clamp(0, width - 1)


def one_for_each(tokens: Tensor, strayed: Tensor) -> Tensor:
    """Of the paths that reach a token, the one that strays least from its centre; their positions in the list.

    Args:
        tokens: `p`, the token that each path reaches.
        strayed: `p`, how far from its centre.
    """
    order = strayed.argsort(stable=True)
    order = order[tokens[order].argsort(stable=True)]
    reached = tokens[order]
    first = torch.ones_like(reached, dtype=torch.bool)
    first[1:] = reached[1:] != reached[:-1]
    return order[first]
