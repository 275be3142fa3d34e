"""LaVie's base and interpolation UNets as options of the one inflation.

base             attn1 within a frame; temporal attention before the feed-forward, with rotary positions and a bias
                     per distance
interpolation    Tune-A-Video's block: attn1 to frames 0 and i-1; temporal attention last, without positions
both             group norms of ResNets and output over all frames
"""

from __future__ import annotations

from typing import Any

from diffusers import UNet2DConditionModel

from ..unet import InflatedUNet

BASE: dict[str, Any] = {
    "attention": "spatial",
    "group_norm": "clip",
    "place": "before_feed_forward",
    "positions": "lavie",
}
INTERPOLATION: dict[str, Any] = {"attention": "sparse_causal", "group_norm": "clip"}
# LaVie's clips have 16 frames, so that distances beyond were never trained.
TRAINED_DISTANCE = 15


def inflate_base(unet: UNet2DConditionModel, *, backend: str = "sdpa", positions: str = "lavie") -> InflatedUNet:
    """A 2-D UNet as LaVie's base, whose temporal weights are still to be filled in.

    Args:
        unet: of Stable Diffusion 1.x; its weights are shared, not copied.
        backend, positions: see `InflatedUNet.from_2d`; other positions than LaVie's are for comparing them.
    """
    return InflatedUNet.from_2d(unet, backend=backend, **{**BASE, "positions": positions})


def inflate_interpolation(unet: UNet2DConditionModel, *, backend: str = "sdpa") -> InflatedUNet:
    """A 2-D UNet as LaVie's interpolation, whose temporal weights are still to be filled in.

    Args:
        unet: of Stable Diffusion 1.x, with eight input channels: noisy latents, and the key frames'.
    """
    return InflatedUNet.from_2d(unet, backend=backend, **INTERPOLATION)
