"""The ablation on the demo world: `python run.py ablation`.

The paper's: what each part of Tune-A-Video does.

    full             tuned, inverted, sparse-causal attention, temporal attention
    no tuning        the inflated model as it is
    no inversion     sampling starts from random noise
    no ST-Attn       every frame attends to itself alone, in tuning too
    no temporal      the temporal attention is neither trained nor there

And each piece beyond the paper, see `variants.PIECES`, against the same clips and seeds.

Every clip, edit and seed goes through each; the seed decides the tuning's draws and the random starts. A job's videos
are kept, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tav_core import load_checkpoint

from .clips import PARTS, all_clips, changed_parts, clip_named
from .pictures import label_rows, save_ablation_plot
from .scores import Scores, score, summarize
from .settings import EDIT, MODEL, TUNE
from .tables import markdown_table
from .variants import PAPER, VARIANTS, render_edits

SEEDS = (0, 1, 2)
OUT = Path("out") / "ablation"
COLUMNS = ("edits_right", "right", "path", "distance", "agreement", "kept", "flicker")
PART_COLUMNS = ("edits_right", "kept")
Row = dict[str, float]
Rows = dict[str, Row]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """All edits of one clip under one variant and seed."""

    variant: str
    clip: str
    seed: int

    def path(self, out: Path) -> Path:
        return out / f"{self.variant.replace(' ', '-')}_{self.clip}_{self.seed}.npz"


def run_job(job: Job, out: Path) -> Job:
    """Renders a job's edits and keeps them."""
    torch.set_num_threads(1)
    if not job.path(out).exists():
        checkpoint = load_checkpoint(MODEL)
        videos = render_edits(checkpoint, clip_named(job.clip), job.seed, out, VARIANTS[job.variant])
        partial = job.path(out).with_suffix(".partial.npz")
        np.savez_compressed(partial, videos=(videos * 255).round().astype(np.uint8))
        partial.replace(job.path(out))
    return job


def load_videos(job: Job, out: Path) -> np.ndarray:
    """A job's videos, `edits f h w 3` in [0, 1]."""
    with np.load(job.path(out)) as kept:
        return kept["videos"].astype(np.float32) / 255


def score_job(job: Job, out: Path) -> list[Scores]:
    """The scores of a job's edits, in the clip's order."""
    torch.set_num_threads(1)
    clip = clip_named(job.clip)
    return [score(video, clip, each) for video, each in zip(load_videos(job, out), clip.edits, strict=True)]


def all_jobs(clips: Sequence[str], seeds: Sequence[int], variants: Sequence[str]) -> list[Job]:
    """Seeds outermost, so that an early stop still leaves whole rounds; without tuning, seeds change nothing."""
    return [
        Job(variant=variant, clip=clip, seed=seed)
        for seed in seeds
        for variant in variants
        for clip in clips
        if VARIANTS[variant].tuned or seed == seeds[0]
    ]


def tabulate(jobs: Sequence[Job], scored: Sequence[Sequence[Scores]]) -> tuple[Rows, Rows]:
    """For each variant the means over all edits, and the spread: the standard deviation of the seeds' own means.

    The spread is 0 where there is one seed.
    """
    rows, spread = {}, {}
    for variant in dict.fromkeys(job.variant for job in jobs):
        by_seed: dict[int, list[Scores]] = {}
        for job, scores in zip(jobs, scored, strict=True):
            if job.variant == variant:
                by_seed.setdefault(job.seed, []).extend(scores)
        rows[variant] = {**summarize([s for each in by_seed.values() for s in each]), "seeds": len(by_seed)}
        means = [summarize(each) for each in by_seed.values()]
        spread[variant] = {name: float(np.std([mean[name] for mean in means])) for name in COLUMNS}
    return rows, spread


def tabulate_parts(jobs: Sequence[Job], scored: Sequence[Sequence[Scores]]) -> dict[str, dict[str, Row]]:
    """For each variant the means over the edits that change one part alone, by that part."""
    found: dict[str, dict[str, list[Scores]]] = {}
    for job, scores in zip(jobs, scored, strict=True):
        clip = clip_named(job.clip)
        for edit, one in zip(clip.edits, scores, strict=True):
            if len(changes := changed_parts(clip, edit)) == 1:
                found.setdefault(job.variant, {}).setdefault(changes[0], []).append(one)
    return {name: {part: summarize(parts[part]) for part in PARTS if part in parts} for name, parts in found.items()}


def format_parts(parts: Mapping[str, Mapping[str, Row]]) -> str:
    """A Markdown table of what `tabulate_parts` found: edits right, and what is kept."""
    columns = [(part, name) for part in next(iter(parts.values())) for name in PART_COLUMNS]
    rows = ([variant, *(f"{row[part][name]:.3f}" for part, name in columns)] for variant, row in parts.items())
    return markdown_table(["", *(f"{part}: {name}" for part, name in columns)], rows)


def format_table(rows: Mapping[str, Mapping[str, float]], spread: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table of the variants' scores; the spread over seeds stands behind them."""
    digits, lines = dict.fromkeys(COLUMNS, 3) | {"distance": 1, "flicker": 4}, []
    for name, row in rows.items():
        cells = [f"{row[c]:.{digits[c]}f}" for c in COLUMNS]
        if row["seeds"] > 1:
            cells = [f"{cell} ± {spread[name][c]:.{digits[c]}f}" for cell, c in zip(cells, COLUMNS, strict=True)]
        lines.append([name, str(row["edits"]), *cells])
    return markdown_table(["", "edits", *COLUMNS], lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python run.py ablation", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", nargs="+", default=[clip.name for clip in all_clips()])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)

    jobs = all_jobs(args.clips, args.seeds, args.variants)
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        rendering = [pool.apply_async(run_job, (job, args.out)) for job in jobs]
        for one in tqdm(rendering, desc="render", unit="job"):
            one.get()
        scored = pool.starmap(score_job, [(job, args.out) for job in jobs])
    save_results(args.out, jobs, scored)
    paper = [variant for variant in args.variants if variant in PAPER]
    save_picture(args.out, args.clips[0], args.seeds[0], paper or args.variants)
    print(f"{time.monotonic() - started:.0f} s. Table, plot and picture are in {args.out}.")


def save_results(out: Path, jobs: Sequence[Job], scored: Sequence[Sequence[Scores]]) -> None:
    """Prints the table; writes it with every edit's scores as JSON, and draws it."""
    rows, spread = tabulate(jobs, scored)
    parts = tabulate_parts(jobs, scored)
    print(format_table(rows, spread), format_parts(parts), sep="\n\n")
    each = [
        {**dataclasses.asdict(job), "prompt": clip_named(job.clip).edits[i].prompt, **dataclasses.asdict(s)}
        for job, scores in zip(jobs, scored, strict=True)
        for i, s in enumerate(scores)
    ]
    settings = {
        "tune": dataclasses.asdict(TUNE),
        "edit": dataclasses.asdict(EDIT),
        "variants": {name: dataclasses.asdict(VARIANTS[name]) for name in rows},
    }
    kept = {"settings": settings, "table": rows, "spread": spread, "parts": parts, "edits": each}
    (out / "ablation.json").write_text(json.dumps(kept, indent=1) + "\n")
    save_ablation_plot(out / "ablation_plot.png", rows, spread)


def save_picture(out: Path, clip_name: str, seed: int, variants: Sequence[str]) -> None:
    """One edit of one clip under every variant, a row each, below the source."""
    clip = clip_named(clip_name)
    rows = {f"source: {clip.prompt}": clip.frames()}
    for variant in variants:
        job = Job(variant=variant, clip=clip_name, seed=seed)
        rows[f"{variant}: {clip.edits[0].prompt}"] = load_videos(job, out)[0]
    label_rows(rows).save(out / "ablation.png")


if __name__ == "__main__":
    main()
