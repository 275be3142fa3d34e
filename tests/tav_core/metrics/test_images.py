"""Frames for image encoders, against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.metrics.images import CLIP_MEAN, CLIP_STD, encode_in_batches, prepare_images


@pytest.mark.parametrize("shape", [(32, 32), (48, 72), (75, 40), (20, 33)])
def test_pixels_are_pillows_to_one_level(shape):
    # Away from black and white: Pillow also cuts off what overshoots between its two passes.
    noise = torch.rand((2, *shape, 3), generator=torch.Generator().manual_seed(0))
    frames = noise.mul(100).add(80).round() / 255
    ours = prepare_images(frames, resize=32, crop=32, mean=(0, 0, 0), std=(1, 1, 1))
    height, width = shape
    size = (32 * width // min(shape), 32 * height // min(shape))
    for frame, got in zip(frames, ours, strict=True):
        picture = Image.fromarray(frame.mul(255).round().to(torch.uint8).numpy()).resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
        theirs = np.asarray(picture.crop((left, top, left + 32, top + 32)), np.float32) / 255
        levels = (got.movedim(0, -1) - torch.from_numpy(theirs)).abs() * 255
        assert levels.max() < 1.01
        assert levels.mean() < 0.25


def test_the_mean_goes_to_zero_and_nothing_is_changed():
    frames = torch.tensor(CLIP_MEAN).expand(1, 16, 16, 3).contiguous()
    before = frames.clone()
    prepared = prepare_images(frames, resize=16, crop=16, mean=CLIP_MEAN, std=CLIP_STD)
    assert prepared.shape == (1, 3, 16, 16)
    assert prepared.abs().max() < 0.5 / 255 / min(CLIP_STD) + 1e-6
    assert torch.equal(frames, before)


def test_batches_are_joined_in_order():
    frames = torch.arange(19.0)[:, None, None, None].expand(-1, 2, 2, 3)
    assert encode_in_batches(lambda part: part[:, 0, 0, :1], frames)[:, 0].tolist() == list(range(19))
