"""The command `python run.py cascade`: a prompt becomes 16 frames, these become 61, and some of them four times as
large, by the small LaVie that comes with the pack. It writes videos and a picture, and says what an oracle sees."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tav_core import TavError, write_video
from tav_core.sampling.interpolate import FACTOR
from tav_core.sampling.upscale import TIMES

from .lavie.cascade import Cascade
from .lavie.moving_scenes import NUM_DENSE
from .lavie.scores import way_read
from .oracle.oracle import Reading, read_frames
from .study.pictures import enlarge, label_rows

OUT = Path(__file__).parent / "out" / "cascade"
PROMPT = "a red star moving right on a blue background"
FPS, SHOWN = 8.0, 6
# On a CPU, upscaling takes longest; more frames than a chunk holds, and more steps, hardly show more.
NUM_LARGE, LARGE_STEPS = 8, 10


def show(
    cascade: Cascade, prompt: str, out: Path, *, seed: int = 0, num_large: int = NUM_LARGE
) -> dict[str, np.ndarray]:
    """Runs the cascade and writes what it makes; returns each stage's frames, `f h w 3` in [0, 1].

    Args:
        num_large: how many of the 61 frames are upscaled, the first ones.

    Raises:
        TavError: a stage failed; the message says what to do.
    """
    base = timed("16 frames", lambda: cascade.make(prompt, seed=seed))
    write_video(out / "base.mp4", enlarge(base, TIMES), fps=FPS)
    between = timed("61 frames", lambda: cascade.interpolate(base, prompt, seed=seed))
    write_video(out / "interpolated.mp4", enlarge(between, TIMES), fps=FACTOR * FPS)
    large = timed(
        f"{num_large} frames, large",
        lambda: cascade.upscale(between[:num_large], prompt, seed=seed, num_steps=LARGE_STEPS),
    )
    write_video(out / "upscaled.mp4", large, fps=FACTOR * FPS)
    # The last two rows show the same frames.
    rows = {
        "16 frames": enlarge(some_of(base), TIMES),
        f"frames 1 to {num_large} of 61": enlarge(some_of(between[:num_large]), TIMES),
        "these, upscaled": some_of(large),
    }
    label_rows(rows, scale=1).save(out / "contact_sheet.png")
    return {"base": base, "interpolated": between, "upscaled": large}


def number_to_upscale(text: str) -> int:
    """How many of the interpolated frames are upscaled, from an option."""
    number = int(text)
    if not 1 <= number <= NUM_DENSE:
        raise argparse.ArgumentTypeError(f"{number} frames, where there are 1 to {NUM_DENSE}")
    return number


def some_of(frames: np.ndarray) -> np.ndarray:
    """A few frames, from the first to the last."""
    return frames[np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)]


def timed(what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What a stage makes, and a line that says how long it took."""
    started = time.monotonic()
    frames = make()
    print(f"{what}: {time.monotonic() - started:.0f} s", flush=True)
    return frames


def describe(frames: np.ndarray) -> str:
    """What the oracle sees in frames of the world's size: what most of them show, and where it goes."""
    readings = read_frames(frames)

    def usual(part: Callable[[Reading], str]) -> str:
        words = [part(reading) for reading in readings]
        return max(set(words), key=words.count)

    thing = f"{usual(lambda each: each.colour)} {usual(lambda each: each.shape)}"
    return f"{thing} on {usual(lambda each: each.background)}, way: {way_read(readings)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the cascade; returns the exit status: 0, 1 after an error, 130 after Ctrl-C."""
    about = "A prompt becomes 16 frames, these 61, and some of them four times as large."
    parser = argparse.ArgumentParser(prog="python run.py cascade", description=about)
    parser.add_argument("--prompt", default=PROMPT, help=f'what to draw (default: "{PROMPT}")')
    parser.add_argument("--seed", type=int, default=0)
    help = f"number of frames that are upscaled, of {NUM_DENSE} (default: {NUM_LARGE})"
    parser.add_argument("--large", type=number_to_upscale, default=NUM_LARGE, help=help)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the results (default: demo/out/cascade)")
    args = parser.parse_args(argv)
    try:
        cascade = Cascade(device="cuda" if torch.cuda.is_available() else "cpu")
        frames = show(cascade, args.prompt, args.out, seed=args.seed, num_large=args.large)
    except TavError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    print(f"the oracle sees: {describe(frames['base'])}\nVideos and a picture are in {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
