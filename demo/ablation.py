"""The ablation on the demo's worlds: `python run.py ablation`.

It repeats the paper's ablation: what each part of Tune-A-Video does.

    full             tuned, inverted, sparse-causal attention, temporal attention
    no tuning        the inflated model as it is
    no inversion     sampling starts from random noise
    no ST-Attn       every frame attends only to itself, in tuning too
    no temporal      the temporal attention is neither trained nor used

On the same clips and seeds it also runs each technique beyond the paper (see `variants.PIECES`), and draws the edits as
they should be (see drawn.py). In the world of shapes, `--clips slide-swing` is the clip *slide* with a motion that goes
back and forth, for the k-step attention.

Every variant renders every clip and edit with every seed; the seed decides the tuning's random draws and the random
starts. The videos of each job are kept, so that an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from .study.ablation_tables import format_parts, format_table, tabulate, tabulate_parts
from .study.edit_scores import load_edits, save_edits
from .study.jobs import Job
from .study.pictures import label_rows, save_ablation_plot
from .study.rendering import group_jobs, run_group
from .study.tables import without_nan
from .study.variants import BEST, CEILING, PAPER, PIECES, VARIANTS
from .study.worlds import WORLDS, World

SEEDS = (0, 1, 2)
OUT = Path("out") / "ablation"
PLOTS = {"ablation_plot.png": tuple(PAPER), "pieces_plot.png": ("full", *PIECES, *BEST, *CEILING)}


def load_videos(job: Job, out: Path) -> np.ndarray:
    """A job's videos, `edits f h w 3` in [0, 1]."""
    with np.load(job.path(out)) as kept:
        return kept["videos"].astype(np.float32) / 255


def score_job(world_name: str, job: Job, out: Path) -> list[Any]:
    """The scores of a job's edits, in the clip's order."""
    torch.set_num_threads(1)
    world = WORLDS[world_name]()
    clip = world.clips[job.clip]
    return [world.score(video, clip, each) for video, each in zip(load_videos(job, out), clip.edits, strict=True)]


def all_jobs(clips: Sequence[str], seeds: Sequence[int], variants: Sequence[str]) -> list[Job]:
    """All jobs, seeds outermost, so that a run stopped early leaves complete rounds. Untuned variants run once."""
    return [
        Job(variant=variant, clip=clip, seed=seed)
        for seed in seeds
        for variant in variants
        for clip in clips
        if VARIANTS[variant].tuned or seed == seeds[0]
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python run.py ablation", description=__doc__.splitlines()[0])
    parser.add_argument("--world", choices=WORLDS, default="creatures")
    parser.add_argument("--clips", nargs="+", metavar="CLIP", help="all of the world by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--workers", type=int, default=2, help="number of processes, with one thread each")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: all share a GPU")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--earlier", type=Path, help="ablation.csv of an earlier run, whose other jobs join the tables")
    args = parser.parse_args(argv)
    world, out = WORLDS[args.world](), args.out / args.world
    clips = args.clips or world.listed
    if unknown := set(clips) - set(world.clips):
        parser.error(f"{args.world} has no clip {', '.join(sorted(unknown))}; it has {', '.join(world.clips)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("got --device cuda, and PyTorch finds no GPU; expected one that it can use; leave the option out")
    out.mkdir(parents=True, exist_ok=True)

    jobs = all_jobs(clips, args.seeds, args.variants)
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        groups = [(world.name, group, out, args.device) for group in group_jobs(jobs)]
        rendering = [pool.apply_async(run_group, each) for each in groups]
        for one in tqdm(rendering, desc="render", unit="group"):
            one.get()
        scored = pool.starmap(score_job, [(world.name, job, out) for job in jobs])
    if args.earlier:
        jobs, scored = with_earlier(world, jobs, scored, args.earlier)
    save_results(world, out, jobs, scored)
    paper = [variant for variant in args.variants if variant in PAPER]
    save_picture(world, out, clips[0], args.seeds[0], paper or args.variants)
    print(f"{time.monotonic() - started:.0f} s. The tables, the plots and the picture are in {out}.")


def save_results(world: World, out: Path, jobs: Sequence[Job], scored: Sequence[Sequence[Any]]) -> None:
    """Prints the tables, writes them as JSON and draws them; writes every edit's scores to a CSV file."""
    rows, spread = tabulate(jobs, scored)
    parts = tabulate_parts(world, jobs, scored)
    print(format_table(rows, spread), format_parts(parts), sep="\n\n")
    settings = {
        "tune": dataclasses.asdict(world.tuning),
        "edit": dataclasses.asdict(world.sampling),
        "variants": {name: dataclasses.asdict(VARIANTS[name]) for name in rows},
    }
    tables = {"settings": settings, "table": rows, "spread": spread, "parts": parts}
    (out / "ablation.json").write_text(json.dumps(without_nan(tables), indent=1) + "\n")
    save_edits(world, out / "ablation.csv", jobs, scored)
    for name, group in PLOTS.items():
        if drawn := {variant: row for variant, row in rows.items() if variant in group}:
            save_ablation_plot(out / name, drawn, spread)


def with_earlier(
    world: World, jobs: Sequence[Job], scored: Sequence[list[Any]], earlier: Path
) -> tuple[list[Job], list[list[Any]]]:
    """Adds the jobs of an earlier run that were not done again; all in the variants' order."""
    every = load_edits(world, earlier) | dict(zip(jobs, scored, strict=True))
    order = sorted(every, key=lambda job: (list(VARIANTS).index(job.variant), job.seed))
    return order, [every[job] for job in order]


def save_picture(world: World, out: Path, clip_name: str, seed: int, variants: Sequence[str]) -> None:
    """Saves a contact sheet of one edit of one clip: the source, then one row per variant."""
    clip = world.clips[clip_name]
    rows = {f"source: {clip.prompt}": clip.frames()}
    for variant in variants:
        job = Job(variant=variant, clip=clip_name, seed=seed)
        rows[f"{variant}: {clip.edits[0].prompt}"] = load_videos(job, out)[0]
    label_rows(rows).save(out / "ablation.png")


if __name__ == "__main__":
    main()
