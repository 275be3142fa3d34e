"""Finds how many tuning steps an edit needs: `python -m demo.tuning_steps`.

It tunes on each clip, and scores the clip's edits with the motion after several numbers of steps. A model tuned too
briefly loses the source; one tuned too long copies it. The tables also hold the loss on draws that were not trained on,
to see whether it shows when to stop. The figures of each clip are kept, so that an interrupted run can continue.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from tav_core import (
    Checkpoint,
    Conditioning,
    InflatedUNet,
    Motion,
    TuneProgress,
    UNetDenoiser,
    encode_frames,
    encode_prompt,
    load_checkpoint,
    tune,
)
from tav_core.tuning.training_run import TuningRun

from .oracle.oracle import read_frames
from .oracle.scores import copied, read_source, score
from .study.settings import MODEL, TUNE
from .study.tables import markdown_table, without_nan
from .study.variant_edits import render_with
from .study.worlds import shapes
from .world.clips import PARTS, Clip, all_clips, changed_parts, clip_named

OUT = Path("out") / "tuning_steps"
STEPS = (25, 50, 100, 200, 400)
HELD_DRAWS, HELD_SEED = 12, 1234
COLUMNS = ("edit_right", "copied", "path", "agreement", "kept")


def motions_at(untuned: UNetDenoiser, clip: Clip, checkpoint: Checkpoint, steps: Sequence[int], seed: int) -> dict:
    """The motion after each of the given numbers of steps, all from one run."""
    found: dict[int, Motion] = {}

    def keep(progress: TuneProgress) -> None:
        if progress.step in steps:
            found[progress.step] = progress.motion()

    config = dataclasses.replace(TUNE, seed=seed, num_steps=max(steps))
    latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames()))
    tune(untuned, latents, encode_prompt(checkpoint, clip.prompt), config=config, on_step=keep)
    return found


def held_loss(tuned: UNetDenoiser, latents: torch.Tensor, context: Conditioning) -> float:
    """The mean loss on draws with another seed than the tuning's."""
    run = TuningRun(tuned, latents, context, config=dataclasses.replace(TUNE, seed=HELD_SEED))
    losses = []
    with torch.no_grad():
        for run.step in range(HELD_DRAWS):
            losses.append(run.loss(*run.draw()).item())
    return float(np.mean(losses))


def score_motion(motion: Motion, clip: Clip, checkpoint: Checkpoint) -> dict[str, Any]:
    """The held-out loss, and for each edit its scores and the parts of the source that it changes."""
    tuned = UNetDenoiser(unet=motion.apply_to(checkpoint.unet), schedule=checkpoint.schedule)
    latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames())).mean
    source, edits = read_source(clip), []
    for video, each in zip(render_with(shapes(), tuned, checkpoint, clip), clip.edits, strict=True):
        changes, scores = changed_parts(clip, each), score(video, clip, each)
        also = {"edit_right": scores.edit_right, "copied": copied(read_frames(video), source, each)}
        edits.append({"prompt": each.prompt, "changes": changes, **dataclasses.asdict(scores), **also})
    return {"held_loss": held_loss(tuned, latents, encode_prompt(checkpoint, clip.prompt)), "edits": edits}


def run_clip(name: str, seed: int, steps: tuple[int, ...], out: Path) -> dict[str, dict[str, Any]]:
    """The scores of one clip at each number of steps; read from `out` if an earlier run left them there."""
    torch.set_num_threads(1)
    path = out / f"{name}_{seed}_{'-'.join(map(str, steps))}.json"
    if not path.exists():
        checkpoint, clip = load_checkpoint(MODEL), clip_named(name)
        untuned = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet, seed=seed), schedule=checkpoint.schedule)
        motions = motions_at(untuned, clip, checkpoint, steps, seed)
        rows = {str(step): score_motion(motion, clip, checkpoint) for step, motion in motions.items()}
        path.write_text(json.dumps(without_nan(rows), indent=1) + "\n")
    return json.loads(path.read_text())


def average(rows: Sequence[dict[str, dict[str, Any]]], changes: str | None = None) -> dict[str, dict[str, float]]:
    """Means for each number of steps, over the edits of all clips or only those that change the given part alone."""
    table = {}
    for step in rows[0]:
        edits = [each for row in rows for each in row[step]["edits"] if changes is None or each["changes"] == [changes]]
        means = {name: float(np.nanmean([each[name] for each in edits])) for name in COLUMNS}
        table[step] = {**means, "held_loss": float(np.mean([row[step]["held_loss"] for row in rows]))}
    return table


def format_table(table: dict[str, dict[str, float]]) -> str:
    """The means as a Markdown table."""
    names = [*COLUMNS, "held_loss"]
    return markdown_table(["steps", *names], ([step, *(f"{row[n]:.3f}" for n in names)] for step, row in table.items()))


def save_plot(path: Path, table: dict[str, dict[str, float]]) -> Path:
    """Draws the trade-off over the tuning steps: edits right, how much is kept, how much of the source is copied."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name in ("edit_right", "kept", "path", "copied"):
        axes.plot(
            [int(step) for step in table], [row[name] for row in table.values()], "o-", label=name.replace("_", " ")
        )
    axes.set(xlabel="tuning steps", ylabel="share; correlation of paths", xscale="log", ylim=(0, 1))
    axes.set_xticks([int(step) for step in table], table)
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return path


def add_clips(parser: argparse.ArgumentParser, out: Path) -> None:
    """The options of `run_clips`; `out` is the folder by default."""
    parser.add_argument("--clips", nargs="+", default=[clip.name for clip in all_clips()])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="number of processes, with one thread each")
    parser.add_argument("--out", type=Path, default=out)


def run_clips(run: Callable[..., dict], args: argparse.Namespace, *more: Any) -> list[dict[str, dict[str, Any]]]:
    """The scores of each clip, in processes. `run` takes a clip's name, the seed, `more`, and the folder."""
    args.out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        jobs = [pool.apply_async(run, (name, args.seed, *more, args.out)) for name in args.clips]
        return [job.get() for job in tqdm(jobs, desc="clips")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="+", type=int, default=list(STEPS))
    add_clips(parser, OUT)
    args = parser.parse_args()
    rows = run_clips(run_clip, args, tuple(args.steps))
    table = average(rows)
    tables = {"all edits": table, **{part: average(rows, part) for part in PARTS}}
    for name, each in tables.items():
        print(f"{name}\n{format_table(each)}\n")
    kept = {"clips": args.clips, "seed": args.seed, "tables": tables, "each": dict(zip(args.clips, rows, strict=True))}
    (args.out / "tuning_steps.json").write_text(json.dumps(without_nan(kept), indent=1) + "\n")
    save_plot(args.out / "tuning_steps.png", table)


if __name__ == "__main__":
    main()
