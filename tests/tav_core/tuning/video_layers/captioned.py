"""Captioned clips and pictures, encoded and as files, for the tests of training on them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from tav_core.models.latents import LatentMoments
from tav_core.tuning.video_layers.captioned_latents import Captioned, CaptionedLatents
from tav_core.video.write import write_video

FRAMES, WIDTH = 3, 64
# Few steps that move the weights, on tiny inputs.
QUICK = {"num_frames": FRAMES, "stride": 1, "width": WIDTH, "height": 48, "clips_per_step": 2, "images_per_clip": 2}
QUICK |= {"num_steps": 4, "learning_rate": 1e-3, "memory": "speed"}


def captioned(name, frames, generator):
    """One random example."""
    mean, std = (torch.randn(1, 4, frames, 6, 8, generator=generator) for _ in range(2))
    text = torch.randn(1, 5, 64, generator=generator)
    return Captioned(latents=LatentMoments(mean=mean, std=0.1 * std.abs()), text=text, name=name, caption=name)


def make_examples(clips=3, pictures=5):
    """Random clips and pictures."""
    generator = torch.Generator().manual_seed(0)
    return CaptionedLatents(
        clips=[captioned(f"clip {i}", FRAMES, generator) for i in range(clips)],
        pictures=[captioned(f"picture {i}", 1, generator) for i in range(pictures)],
        no_text=torch.randn(1, 5, 64, generator=generator),
    )


def write_clip(path, frames=FRAMES, seed=0):
    """A clip of noise in any format."""
    write_video(path, np.random.default_rng(seed).random((frames, 48, WIDTH, 3), dtype=np.float32), fps=8)


def write_examples(folder):
    """A folder with a clip of each kind, and pictures, and their captions; returns its path."""
    folder.mkdir()
    for name, ending in (("a", "mp4"), ("b", "gif"), ("c", "webp")):
        write_clip(folder / f"{name}.{ending}")
        (folder / f"{name}.txt").write_text(f"clip {name}\n")
    write_clip(folder / "d")
    (folder / "d").rename(folder / "d.1")
    (folder / "d.1.txt").write_text("clip d")
    for name in ("e.png", "f.jpg", "g.webp"):
        Image.new("RGB", (50, 40), "red").save(folder / name)
        (folder / name).with_suffix(".txt").write_text(f"picture (of {name[0]})")
    return folder
