"""A small picture of an edit, for the page of results."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..atomic_files import whole_file

WIDTH = 160
QUALITY = 80


def write_thumbnail(path: Path, frames: Tensor) -> None:
    """Writes the middle frame of `f h w 3` in [0, 1] as a JPEG of 160 pixels' width."""
    frame = frames[len(frames) // 2].detach().cpu().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    height, width = frame.shape[:2]
    picture = Image.fromarray(frame.numpy()).resize((WIDTH, max(1, WIDTH * height // width)))
    with whole_file(path) as temporary:
        picture.save(temporary, "JPEG", quality=QUALITY)
