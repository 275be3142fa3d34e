"""Renders the bundled clip, `demo/clip.mp4`, from the demo's world: `python -m demo.make_clip`."""

from pathlib import Path

from tav_core import write_video

from .world.clips import clip_named

NAME = "slide"
CLIP = Path(__file__).parent / "clip.mp4"
FPS = 8


def main() -> None:
    print(write_video(CLIP, clip_named(NAME).frames(), fps=FPS))


if __name__ == "__main__":
    main()
