"""Draws the bundled clip, `demo/clip.mp4`, and its subject's mask, `demo/clip_mask.png`: `python -m demo.make_clip`.

The mask has the frames side by side, from left to right.
"""

from pathlib import Path

import cv2
import numpy as np

from tav_core import write_video

from .creatures.clips import clip_named
from .creatures.scene import draw

NAME = "bear"
CLIP = Path(__file__).parent / "clip.mp4"
MASK = CLIP.with_name("clip_mask.png")
FPS = 8


def main() -> None:
    clip = clip_named(NAME)
    print(write_video(CLIP, clip.frames(), fps=FPS))
    strip = np.concatenate([draw(scene).mask for scene in clip.scenes], axis=1)
    MASK.write_bytes(cv2.imencode(".png", np.round(strip * 255).astype(np.uint8))[1].tobytes())
    print(MASK)


if __name__ == "__main__":
    main()
