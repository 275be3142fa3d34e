"""What the oracle learns from: renders, spoilt as a small model spoils them, and pictures that show nothing certain."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..drawing.canvas import SIZE
from ..scene import Scene, draw
from ..stills import combinations, random_scene
from .network import MASK_SIDE, SIDE, WORDS

# Pictures are kept at 96 pixels, from which those of 64 are made by a random blur.
KEPT = 96


def label(scene: Scene) -> list[float]:
    """The index of each of `WORDS`, and the phase in turns."""
    return [*(float(words.index(getattr(scene, name))) for name, words in WORDS.items()), scene.phase]


def render_chunk(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random scenes of all combinations.

    Returns:
        pictures, uint8 `n 96 96 3`; masks, uint8 `n 32 32`; labels, float32 `n 5`.
    """
    rng, pairs = np.random.default_rng(seed), combinations()
    scenes = [random_scene(rng, pairs[rng.integers(len(pairs))]) for _ in range(count)]
    drawings = [draw(scene) for scene in scenes]
    pictures = np.stack([resize(drawing.picture, KEPT) for drawing in drawings])
    masks = np.stack([resize(drawing.mask, MASK_SIDE) for drawing in drawings])
    return pictures, masks, np.array([label(scene) for scene in scenes], np.float32)


def resize(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture in [0, 1] as uint8 of another size."""
    import cv2

    return np.round(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) * 255).astype(np.uint8)


def spoil(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures `n 3 96 96` in [0, 1] made smaller, `n 3 64 64`, with a blur, noise, and tones that are a little off."""
    kind = rng.integers(4)
    if kind == 1:
        small = int(rng.integers(24, 64))
        pictures = F.interpolate(F.interpolate(pictures, (small, small), mode="area"), (SIDE, SIDE), mode="bilinear")
    elif kind == 2:
        pictures = blockwise(pictures)
    pictures = F.interpolate(pictures, (SIDE, SIDE), mode="area")
    count = len(pictures)
    device = pictures.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32)).to(device)

    pictures = (pictures - 0.5) * uniform(0.8, 1.15, count, 1, 1, 1) + 0.5 + uniform(-0.06, 0.06, count, 3, 1, 1)
    noise = uniform(0, 0.06, count, 1, 1, 1) * torch.randn(count, 3, SIDE, SIDE, device=device)
    patches = F.interpolate(torch.randn(count, 3, 8, 8, device=device), (SIDE, SIDE), mode="bilinear")
    return (pictures + noise + uniform(0, 0.06, count, 1, 1, 1) * patches).clamp(0, 1)


def blockwise(pictures: Tensor) -> Tensor:
    """Detail weakened in each block of 6 x 6 pixels, which are the 8 x 8 pixels that become one of a latent."""
    coarse = F.interpolate(F.avg_pool2d(pictures, 6), scale_factor=6, mode="bilinear")
    strength = torch.rand(len(pictures), 1, KEPT // 6, KEPT // 6, device=pictures.device)
    strength = F.interpolate(strength, scale_factor=6)
    return pictures.lerp(coarse, strength)


def uncertain(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures `n 3 64 64` of noise or coloured patches, which show nothing."""
    count = len(pictures)
    cells = int(rng.choice([2, 4, 8, 16, SIDE]))
    patches = torch.rand(count, 3, cells, cells, device=pictures.device)
    return F.interpolate(patches, (SIDE, SIDE), mode="bilinear" if rng.random() < 0.5 else "nearest")


assert KEPT * 4 == SIZE * 3, "a block of 8 x 8 pixels has to be one of 6 x 6"
