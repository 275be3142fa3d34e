"""Measures whether context windows leave visible traces: flicker and jumps at their seams, against those elsewhere.

    python -m benchmarks.seams --out benchmarks/out/seams          # half an hour on a CPU

A clip of the demo's world, longer than the demo's clips, is tuned on in windows, inverted and edited in several ways:

    shifting    windows of 16 that share 4 frames and move from step to step: the defaults
    fixed       the same windows, but they do not move
    short       windows of 8 that share 2 frames
    cut         windows of 16 that share no frame and do not move: this shows what a seam looks like
    whole       no windows: all frames at once

A frame is at a seam if its second difference in time reaches into frames that two neighbouring windows share (with
`cut`: across the cut). Windows that move have different seams at each shift; the figures are listed for every shift.
`whole` is measured at the seams of `shifting`, to show what the clip itself does there.

    flicker     mean |I(t+1) - 2 I(t) + I(t-1)| of the pixels away from the object
    jump        mean |c(t+1) - 2 c(t) + c(t-1)|, in pixels, of the object's centre c minus its true path in the source
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from demo.oracle.oracle import read_frames
from demo.oracle.scores import centres, disc
from demo.study.settings import EDIT, MODEL, TUNE
from demo.world.clip_scenes import PATHS, SOURCES
from demo.world.clips import Clip, clip_named
from tav_core import (
    Checkpoint,
    ContextWindows,
    Denoiser,
    InflatedUNet,
    LatentMoments,
    Motion,
    UNetDenoiser,
    WindowedDenoiser,
    decode_latents,
    edit,
    encode_frames,
    encode_prompt,
    invert,
    load_checkpoint,
    tune,
)

OUT = Path(__file__).resolve().parent / "out" / "seams"
DEFAULT = ContextWindows()
WAYS: dict[str, ContextWindows | None] = {
    "shifting": DEFAULT,
    "fixed": dataclasses.replace(DEFAULT, shifting=False),
    "short": ContextWindows(length=8, overlap=2),
    "cut": ContextWindows(overlap=0, shifting=False),
    "whole": None,
}


def long_clip(name: str, num_frames: int) -> Clip:
    """A clip of the demo with more frames: the same path, slower."""
    scene, path = SOURCES[name][1], PATHS[name]
    scenes = tuple(dataclasses.replace(scene, **path(scene, float(at))) for at in np.linspace(0, 1, num_frames))
    return dataclasses.replace(clip_named(name), scenes=scenes)


def tune_clip(checkpoint: Checkpoint, moments: LatentMoments, prompt: str, state: Path) -> Motion:
    """The motion of a clip, tuned in windows as long as those of `shifting`."""
    untuned = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet), schedule=checkpoint.schedule)
    config = dataclasses.replace(TUNE, window=DEFAULT.length)
    return tune(untuned, moments, encode_prompt(checkpoint, prompt), config=config, state_path=state)


def render(
    checkpoint: Checkpoint, tuned: UNetDenoiser, windows: ContextWindows | None, moments: LatentMoments, prompt: str
) -> np.ndarray:
    """A clip under another prompt: `f h w 3` in [0, 1]."""
    denoiser: Denoiser = WindowedDenoiser(denoiser=tuned, windows=windows) if windows else tuned
    empty = encode_prompt(checkpoint, "")
    start = invert(denoiser, moments.mean, empty, num_steps=EDIT.num_steps, keep="ends")
    latents = edit(denoiser, start, encode_prompt(checkpoint, prompt), empty, config=EDIT)
    return decode_latents(checkpoint.vae, latents)[0].numpy()


def flicker(frames: np.ndarray) -> np.ndarray:
    """Mean second differences of the background, for frames 1 to f - 2."""
    near = np.stack([disc(reading, frames.shape[1:3]) for reading in read_frames(frames)])
    away = ~(near[2:] | near[1:-1] | near[:-2])
    second = np.abs(frames[2:] - 2 * frames[1:-1] + frames[:-2]).mean(axis=-1)
    return np.array([float(s[a].mean()) if a.any() else np.nan for s, a in zip(second, away, strict=True)])


def jump(frames: np.ndarray, clip: Clip) -> np.ndarray:
    """Second differences of the object's deviation from its path, frames 1 to f - 2, in pixels; nan if not found."""
    stray = centres(read_frames(frames)) - clip.path()
    return np.linalg.norm(stray[2:] - 2 * stray[1:-1] + stray[:-2], axis=1)


def at_seams(windows: Sequence[range], num_frames: int) -> np.ndarray:
    """Which of frames 1 to f - 2 are at a seam, or next to a frame that is."""
    seams = np.zeros(num_frames, bool)
    for one, other in pairwise(windows):
        shared = range(other.start, one.stop) or range(one.stop - 1, one.stop + 1)
        seams[list(shared)] = True
    return seams[2:] | seams[1:-1] | seams[:-2]


def shifts(windows: ContextWindows, num_frames: int) -> Iterator[tuple[int, np.ndarray]]:
    """Each shift of the windows, with its seams."""
    for shift in windows.shifts if windows.shifting else (0,):
        timestep = next(t for t in range(1000) if windows.shift_at(t) == shift)
        yield shift, at_seams(windows.at(num_frames, timestep), num_frames)


def compare(values: list[np.ndarray], seams: np.ndarray) -> dict[str, float]:
    """Means over all videos, at seams and inside windows, and their ratio."""
    at, inside = (float(np.nanmean(np.stack(values)[:, where])) for where in (seams, ~seams))
    return {"at": at, "inside": inside, "ratio": at / inside}


def contact_sheet(rows: Sequence[np.ndarray]) -> Image.Image:
    """Videos, one per row."""
    pixels = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def measure(args: argparse.Namespace) -> dict:
    """Flicker and jump for each way and shift. Writes a contact sheet for each clip.

    Motions and videos that an earlier run left in the folder are reused.
    """
    checkpoint, found = load_checkpoint(args.model), {way: ([], []) for way in args.ways}
    for name in args.clips:
        clip = long_clip(name, args.num_frames)
        frames = torch.from_numpy(clip.frames())
        moments = encode_frames(checkpoint.vae, frames)
        motion = tune_clip(checkpoint, moments, clip.prompt, args.out / f"{name}.safetensors")
        tuned = UNetDenoiser(unet=motion.apply_to(checkpoint.unet), schedule=checkpoint.schedule)
        videos = {}
        for way in args.ways:
            path = args.out / f"{name}-{way}.npy"
            if not path.exists():
                prompt = clip.edits[args.edit].prompt
                np.save(path, render(checkpoint, tuned, WAYS[way], moments, prompt).astype(np.float16))
            videos[way] = np.load(path).astype(np.float32)
        for way, video in videos.items():
            found[way][0].append(flicker(video))
            found[way][1].append(jump(video, clip))
        contact_sheet([frames.numpy(), *videos.values()]).save(args.out / f"{name}.png")
        print(f"{name}: {', '.join(f'{way} {f[-1].mean():.4f}' for way, (f, _) in found.items())}", flush=True)
    return {
        way: {
            str(shift): {"flicker": compare(flickers, seams), "jump": compare(jumps, seams)}
            for shift, seams in shifts(WAYS[way] or DEFAULT, args.num_frames)
        }
        for way, (flickers, jumps) in found.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table and writes JSON and contact sheets."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seams", description=__doc__.split(":")[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--clips", nargs="+", choices=SOURCES, default=["slide", "arc", "grow", "behind"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[*WAYS])
    parser.add_argument("--num-frames", type=int, default=40)
    parser.add_argument("--edit", type=int, default=0, help="number of the clip's edit, from 0")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    results = measure(args)
    settings = {"num_frames": args.num_frames, "clips": args.clips, "edit": args.edit, "num_steps": EDIT.num_steps}
    (args.out / "seams.json").write_text(json.dumps({"settings": settings, "ways": results}, indent=2) + "\n")
    print(f"{'way':10}{'shift':>6}{'flicker at':>12}{'inside':>9}{'ratio':>7}{'jump at':>10}{'inside':>8}{'ratio':>7}")
    for way, by_shift in results.items():
        for shift, row in by_shift.items():
            f, j = row["flicker"], row["jump"]
            print(
                f"{way:10}{shift:>6}{f['at']:12.4f}{f['inside']:9.4f}{f['ratio']:7.2f}"
                f"{j['at']:10.2f}{j['inside']:8.2f}{j['ratio']:7.2f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
