"""What the parts of Text2Video-Zero do, on the demo's model: `python -m demo.zero_shot`.

    independent noise   each frame by itself
    cross-frame         each frame from noise of its own, but all attend to the first one
    field alone         a motion field, and each frame attends to itself
    both                the whole method
    smoothed            and the background of the first frame, outside discs around what a first result shows

The model is tiny: its latents have 12 x 12 cells, in which noise hides a picture earlier than in 64 x 64. So frames are
moved at 0.6 and noised up to 0.7 of the schedule, where the original has 0.88 and 0.94.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tav_core import (
    Checkpoint,
    InflatedUNet,
    MotionField,
    UNetDenoiser,
    ZeroShotConfig,
    decode_latents,
    encode_prompt,
    generate,
    load_checkpoint,
)

from .oracle.oracle import Reading, read_frames
from .oracle.scores import agreement, centres, disc, flicker, mean_of_finite
from .study.pictures import label_rows
from .study.settings import MODEL
from .study.tables import markdown_table

OUT = Path("out") / "zero_shot"
SEEDS = (0, 1, 2)
CONFIG = ZeroShotConfig(num_frames=8, width=96, height=96, num_steps=20, guidance_scale=4.0, t0=0.6, t1=0.7)
# Each prompt, and how the camera moves in pixels per frame.
MOVES = {
    "a red circle on a blue background": (4.0, 1.5),
    "a green star on a white background": (-3.5, 2.5),
    "a purple square on a gray background": (3.0, -3.5),
    "a yellow triangle on a black background": (0.0, 4.0),
    "a blue circle on a pink background": (-4.0, 0.0),
    "a red star on a green background": (2.5, 3.0),
}
COLUMNS = ("direction", "length", "agreement", "flicker")
Scores = dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """One way to make a video: which frames attend to which, whether the camera moves, whether it is smoothed."""

    attention: str = "first"
    moved: bool = True
    smoothed: bool = False


WAYS = {
    "independent noise": Way(attention="spatial", moved=False),
    "cross-frame": Way(moved=False),
    "field alone": Way(attention="spatial"),
    "both": Way(),
    "smoothed": Way(smoothed=True),
}


def make_video(checkpoint: Checkpoint, way: Way, prompt: str, seed: int) -> np.ndarray:
    """A video, `f h w 3` in [0, 1]."""
    unet = InflatedUNet.from_2d(checkpoint.unet, attention=way.attention, temporal=False)
    denoiser = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
    told, empty = encode_prompt(checkpoint, prompt), encode_prompt(checkpoint, "")
    config = dataclasses.replace(CONFIG, seed=seed)
    motion = MotionField(move=MOVES[prompt]) if way.moved else None

    def render(foreground: torch.Tensor | None = None) -> np.ndarray:
        latents = generate(denoiser, told, empty, config=config, motion=motion, foreground=foreground)
        return decode_latents(checkpoint.vae, latents)[0].numpy()

    video = render()
    return render(discs_around(read_frames(video))) if way.smoothed else video


def discs_around(readings: Sequence[Reading]) -> torch.Tensor:
    """A mask of what moves by itself, `f h w`: generous discs around the object of each frame."""
    size = (CONFIG.height, CONFIG.width)
    return torch.from_numpy(np.stack([disc(reading, size) for reading in readings])).float()


def score_video(video: np.ndarray, move: tuple[float, float]) -> Scores:
    """How the object moves against the field, and how steady the rest is.

    direction is the cosine between the object's displacements from the first frame and those that the camera asks for;
    length is their ratio along that direction. Both are nan if the object is found in less than half of the frames.
    """
    readings = read_frames(video)
    path = centres(readings)
    found = np.isfinite(path).all(axis=1)
    direction = length = math.nan
    if found[0] and found.mean() >= 0.5:
        # What the camera looks at moves the other way.
        asked = -np.arange(len(path))[found, None] * np.array(move)
        went = path[found] - path[0]
        direction = float((went * asked).sum() / (np.linalg.norm(went) * np.linalg.norm(asked) + 1e-9))
        length = float((went * asked).sum() / (asked**2).sum())
    return {
        "direction": direction,
        "length": length,
        "agreement": agreement(readings),
        "flicker": flicker(video, readings),
    }


def summarize(scores: Mapping[int, Sequence[Scores]]) -> dict[str, Scores]:
    """The means over all videos, and the spread: the standard deviation of the means of the seeds."""
    means = [{name: mean_of_finite([one[name] for one in each]) for name in COLUMNS} for each in scores.values()]
    every = [one for each in scores.values() for one in each]
    return {
        "mean": {name: mean_of_finite([one[name] for one in every]) for name in COLUMNS},
        "spread": {name: float(np.std([mean[name] for mean in means])) for name in COLUMNS},
    }


def format_table(table: Mapping[str, Mapping[str, Scores]]) -> str:
    """The table in Markdown, as docs/video-from-text.md has it."""
    digits = {"direction": 2, "length": 2, "agreement": 3, "flicker": 4}
    rows = (
        [name, *(f"{row['mean'][c]:.{digits[c]}f} ± {row['spread'][c]:.{digits[c]}f}" for c in COLUMNS)]
        for name, row in table.items()
    )
    return markdown_table(["", *COLUMNS], rows)


def main() -> None:
    """Makes all videos, scores them, and writes the table and a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint, table, sheet = load_checkpoint(MODEL), {}, {}
    with tqdm(total=len(WAYS) * len(args.seeds) * len(MOVES), unit="video") as bar:
        for name, way in WAYS.items():
            scores: dict[int, list[Scores]] = {seed: [] for seed in args.seeds}
            for seed in args.seeds:
                for prompt, move in MOVES.items():
                    video = make_video(checkpoint, way, prompt, seed)
                    scores[seed].append(score_video(video, move))
                    sheet.setdefault(f"{name}: {prompt}", video)
                    bar.update()
            table[name] = summarize(scores)
    (args.out / "zero_shot.json").write_text(json.dumps(table, indent=1) + "\n")
    first = next(iter(MOVES))
    label_rows({label: video for label, video in sheet.items() if label.endswith(first)}).save(
        args.out / "zero_shot.png"
    )
    label_rows(sheet, scale=1).save(args.out / "all.png")
    print(format_table(table))


if __name__ == "__main__":
    main()
