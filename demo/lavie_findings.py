"""LaVie's two findings, measured on the small cascade's base: `python -m demo.lavie_findings`.

Bases with other positions, and one that learns from clips alone, are trained from the same stills with the same steps
under three seeds. Then each draws moving scenes and stills of combinations that no training has seen. Every training
resumes where it stopped; what has been scored is in `lavie/training/findings.csv`.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import statistics
import zlib
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from tav_core import UNetDenoiser
from tav_core.models.lavie.schedules import lavie_schedule

from .lavie.cascade import GUIDANCE, Cascade
from .lavie.moving_scenes import WAYS, Combination
from .lavie.scores import mean_scores, prompt_of, score_video
from .lavie.trainers.base import Lesson, base_course
from .lavie.trainers.course import Budget
from .lavie.trainers.settings import AMOUNTS, LOG, SEED, Amounts
from .lavie.trainers.stills import trained_stills
from .oracle.oracle import read_frame
from .study.tables import markdown_table
from .world.stills import held_out

LESSONS = {
    "rotary and bias": Lesson(),
    "rotary": Lesson(positions="lavie_rotary"),
    "no positions": Lesson(positions="none"),
    "clips alone": Lesson(images=0),
}
SEEDS, STEPS = (0, 1, 2), 400
SAMPLING_STEPS, NUM_VIDEOS = 20, 20
RESULTS = LOG.parent / "findings.csv"
# What rows must have in common to be compared; `stills` says which weights the trainings began with.
SETTINGS = ("steps", "videos", "stills")
# Of stills and of videos.
SCORES = ("still_right", "right", "way", "agreement", "flicker")
Row = dict[str, str | float]


def train(name: str, seed: int, stills: UNet2DConditionModel, amounts: Amounts, steps: int) -> UNet2DConditionModel:
    """The base that a lesson gives under a seed, its moving average."""
    run = f"lavie {name} {seed}"
    lesson = dataclasses.replace(LESSONS[name], seed=SEED + 1000 * seed, name=run)
    course = base_course(amounts, Budget(steps=steps, seconds=1e9), stills, lesson)
    course.run()
    return course.averaged()


def score(unet: UNet2DConditionModel, seed: int, count: int) -> dict[str, float]:
    """Scores of stills and of moving scenes that a base draws of combinations no training has seen."""
    cascade = Cascade(steps=SAMPLING_STEPS, device=str(unet.device))
    cascade.denoisers["base"] = UNetDenoiser(unet=unet, schedule=lavie_schedule("base"))
    stills, videos = [], []
    for number, combination in enumerate(held_out()[:count]):
        drawn = {"seed": 100 * seed + number, "guidance": GUIDANCE}
        picture = cascade.make(prompt_of(combination, "still"), num_frames=1, **drawn)
        stills.append({"still_right": score_picture(picture, combination)})
        way = WAYS[number % len(WAYS)]
        videos.append(score_video(cascade.make(prompt_of(combination, way), **drawn), combination, way))
    means = mean_scores(stills) | mean_scores(videos)
    return {name: means[name] for name in SCORES}


def score_picture(picture: np.ndarray, combination: Combination) -> float:
    """Whether a picture, `1 h w 3`, shows a combination."""
    reading = read_frame(picture[0])
    return float((reading.shape, reading.colour, reading.background) == combination)


def checksum(unet: UNet2DConditionModel) -> str:
    """A few letters that tell weights apart."""
    parts = (tensor.cpu().numpy().tobytes() for tensor in unet.state_dict().values())
    return f"{functools.reduce(lambda value, part: zlib.crc32(part, value), parts, 0):08x}"


def read_results(path: Path = RESULTS) -> list[Row]:
    """What has been scored."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: value if name in ("lesson", "stills") else float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def same_run(row: Row, about: Row) -> bool:
    """Whether a row was scored under these settings."""
    return all(row[name] == value for name, value in about.items())


def append_result(row: Row, path: Path = RESULTS) -> None:
    """Adds a line to the file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["lesson", "seed", *SETTINGS, *SCORES], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def table(rows: list[Row]) -> str:
    """A Markdown table: each lesson's means over its seeds, with the standard deviation."""
    lines = []
    for name in LESSONS:
        own = [row for row in rows if row["lesson"] == name]
        if own:
            cells = [[float(row[score]) for row in own] for score in SCORES]
            shown = [f"{statistics.mean(cell):.3f} ± {statistics.pstdev(cell):.3f}" for cell in cells]
            lines.append([name, str(len(own)), *shown])
    heads = ["", "seeds", "stills right", "videos right", "direction right", "agreement", "flicker"]
    return markdown_table(heads, lines)


def main() -> None:
    """Trains and scores what is missing, then prints the table."""
    parser = argparse.ArgumentParser(prog="python -m demo.lavie_findings", description=__doc__.splitlines()[0])
    parser.add_argument("--lessons", nargs="+", choices=[*LESSONS], default=[*LESSONS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*SEEDS])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--amounts", choices=[*AMOUNTS], default="full")
    parser.add_argument("--videos", type=int, default=NUM_VIDEOS, help="and as many stills")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    amounts = AMOUNTS[args.amounts]
    stills = trained_stills()
    about = {"steps": args.steps, "videos": args.videos, "stills": checksum(stills)}
    for seed in args.seeds:
        for name in args.lessons:
            run = {"lesson": name, "seed": seed, **about}
            if not any(same_run(row, run) for row in read_results()):
                append_result({**run, **score(train(name, seed, stills, amounts, args.steps), seed, args.videos)})
    print(table([row for row in read_results() if same_run(row, about)]))


if __name__ == "__main__":
    main()
