"""Prepares frames for image encoders: resized, cropped and normalised, with torch alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..cancelling import cancellable

# As published: OpenAI's clip.py, and ImageNet's as torchvision and DINO use them.
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 8


def prepare_images(frames: Tensor, *, resize: int, crop: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Frames as an image encoder was trained to see them, by the steps of transformers' CLIPImageProcessor.

    Bicubic with antialiasing until the shorter side has `resize` pixels, rounded to 8 bits, the middle `crop` pixels of
    each side, normalised. Pillow's bicubic also rounds and clips between its two passes: it differs by one 255th here
    and there, and by more where black meets white.

    Args:
        frames: `f h w 3` float in [0, 1].
        resize: pixels of the shorter side, `crop` or more.
        crop: pixels of both sides.
        mean, std: of each channel, in [0, 1].

    Returns:
        `f 3 crop crop` float32 on the device of `frames`.
    """
    images = rearrange(frames.detach().float(), "f h w c -> f c h w")
    height, width = images.shape[-2:]
    shorter = min(height, width)
    size = (resize * height // shorter, resize * width // shorter)
    if size != (height, width):
        images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)
    images = images.clamp(0, 1).mul(255).round().div(255)
    top, left = (size[0] - crop) // 2, (size[1] - crop) // 2
    cropped = images[..., top : top + crop, left : left + crop]
    spread = [rearrange(images.new_tensor(values), "c -> c 1 1") for values in (mean, std)]
    return (cropped - spread[0]) / spread[1]


def encode_in_batches(encode: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Embeddings `f d`, float32 on the CPU, of frames `f h w 3`; encodes a few frames at a time."""
    return torch.cat([encode(part).float().cpu() for part in cancellable(frames.split(BATCH))])
