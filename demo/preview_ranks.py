"""Finds the cheapest preview that ranks the motions of a run as full edits do: `python -m demo.preview_ranks`.

It tunes on each clip, and renders edits with the motion after several numbers of steps: full ones and cheaper previews,
each under three prompts, that change the subject, the place and the style. A preview under one of them ranks right if
its scores put these motions in the order of the clip's full edits. An edit's score is the mean of three: the share of
frames that are right, the path, and what is kept. The scores of each clip are kept, so that an interrupted run can
continue.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tav_core import (
    Checkpoint,
    InflatedUNet,
    Motion,
    TuneProgress,
    UNetDenoiser,
    decode_latents,
    edit,
    encode_frames,
    encode_prompt,
    invert,
    load_checkpoint,
    tune,
)
from tav_core.tuning.training_run import TuningRun

from .creatures.clips import Clip, Edit, clip_named
from .creatures.oracle.scores import Scores, score
from .creatures.settings import EDIT, GROUP_NORM, MODEL, TUNE_BEST
from .study.tables import markdown_table

OUT, KEPT = Path("out") / "preview_ranks", Path(__file__).parent / "creatures" / "preview_ranks.csv"
CLIPS = ("rabbit", "elephant", "duck", "fish")
STEPS = (5, 10, 25, 50, 100)
HELD_DRAWS, HELD_SEED = 12, 1234
FULL, LOSS = "full edit", "loss on fixed draws"
PARTS = ("subject", "place", "style")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview:
    """How an edit is rendered.

    Args:
        steps: of sampling.
        inverted: steps of the inversion; None for as many.
        stride: every how manieth frame is rendered.
    """

    steps: int
    inverted: int | None = None
    stride: int = 1

    @property
    def evaluations(self) -> float:
        """Predictions for a whole clip that one prompt takes, its inversion included; guidance predicts twice."""
        return ((self.inverted or self.steps) + 2 * self.steps) / self.stride


PREVIEWS = {
    FULL: Preview(steps=EDIT.num_steps),
    "10 steps": Preview(steps=10),
    "8 steps": Preview(steps=8),
    "6 steps": Preview(steps=6),
    "4 steps": Preview(steps=4),
    "10 steps, half the frames": Preview(steps=10, stride=2),
    "6 steps, half the frames": Preview(steps=6, stride=2),
    "8 steps from 4 of inversion": Preview(steps=8, inverted=4),
}
Row = dict[str, Any]


def motions_at(
    untuned: UNetDenoiser, clip: Clip, checkpoint: Checkpoint, steps: Sequence[int], seed: int
) -> dict[int, Motion]:
    """The motion after each of the numbers of steps, all from one run."""
    found: dict[int, Motion] = {}

    def keep(progress: TuneProgress) -> None:
        if progress.step in steps:
            found[progress.step] = progress.motion()

    config = dataclasses.replace(TUNE_BEST, seed=seed, num_steps=max(steps), precision="fp32")
    latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames()))
    tune(untuned, latents, encode_prompt(checkpoint, clip.prompt), config=config, on_step=keep)
    return found


@torch.no_grad()
def render(
    preview: Preview, tuned: UNetDenoiser, checkpoint: Checkpoint, latents: Tensor, edits: Sequence[Edit]
) -> Iterator[np.ndarray]:
    """The video of each edit, `f h w 3` in [0, 1]."""
    empty, shown = encode_prompt(checkpoint, ""), latents[:, :, :: preview.stride]
    noise = invert(tuned, shown, empty, num_steps=preview.inverted or preview.steps, keep="ends").noise
    config = dataclasses.replace(EDIT, num_steps=preview.steps)
    for each in edits:
        video = edit(tuned, noise, encode_prompt(checkpoint, each.prompt), empty, config=config)
        yield decode_latents(checkpoint.vae, video)[0].numpy()


def one_of_each(clip: Clip, parts: Sequence[str]) -> list[Edit]:
    """The clip's first edit that changes each part alone."""
    return [next(each for each in clip.edits if each.changed == (part,)) for part in parts]


def held_loss(tuned: UNetDenoiser, latents: Tensor, context: Any) -> float:
    """The mean loss on draws that were not trained on, the same for every motion."""
    run = TuningRun(tuned, latents, context, config=dataclasses.replace(TUNE_BEST, seed=HELD_SEED, precision="fp32"))
    with torch.no_grad():
        losses = []
        for run.step in range(HELD_DRAWS):
            losses.append(run.loss(*run.draw()).item())
    return float(np.mean(losses))


def score_motion(
    motion: Motion, clip: Clip, checkpoint: Checkpoint, previews: Sequence[str], parts: Sequence[str]
) -> Iterator[Row]:
    """A row for each preview and prompt, and one for the loss."""
    tuned = UNetDenoiser(unet=motion.apply_to(checkpoint.unet), schedule=checkpoint.schedule)
    latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames())).mean
    edits = one_of_each(clip, parts)
    for name in previews:
        preview = PREVIEWS[name]
        seen = dataclasses.replace(clip, scenes=clip.scenes[:: preview.stride])
        for each, video in zip(edits, render(preview, tuned, checkpoint, latents, edits), strict=True):
            yield {"preview": name, "prompt": each.prompt, **dataclasses.asdict(score(video, seen, each))}
    yield {"preview": LOSS, "loss": held_loss(tuned, latents, encode_prompt(checkpoint, clip.prompt))}


def run_clip(args: argparse.Namespace, name: str) -> None:
    """The scores of one clip as a CSV file for each number of steps, but for those that an earlier run left there."""
    paths = {step: args.out / f"{name}_{args.seed}_{step:03}.csv" for step in args.steps}
    left = [step for step, path in paths.items() if not path.exists()]
    if not left:
        return
    checkpoint, clip = load_checkpoint(MODEL), clip_named(name)
    unet = InflatedUNet.from_2d(checkpoint.unet, seed=args.seed, group_norm=GROUP_NORM)
    untuned = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
    for step, motion in motions_at(untuned, clip, checkpoint, left, args.seed).items():
        rows = score_motion(motion, clip, checkpoint, args.previews, args.parts)
        save_rows(paths[step], [{"clip": name, "seed": args.seed, "steps": step, **row} for row in rows])


def save_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows as CSV, numbers with four digits."""
    names = [
        "clip",
        "seed",
        "steps",
        "preview",
        "prompt",
        *(field.name for field in dataclasses.fields(Scores)),
        "loss",
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()})


def load_rows(path: Path) -> list[Row]:
    """What `save_rows` wrote; empty cells are nan."""
    with path.open(newline="") as file:
        rows: list[Row] = list(csv.DictReader(file))
    for row in rows:
        row["score"] = score_of(row) if row["preview"] != LOSS else -float(row["loss"])
        row["steps"] = int(row["steps"])
    return rows


def score_of(row: Row) -> float:
    """One number for an edit: a subject that is not found follows no path."""
    path = float(row["path"])
    return float(np.mean([float(row["right"]), 0.0 if math.isnan(path) else path, float(row["kept"])]))


def series(rows: Sequence[Row], preview: str, prompt: str | None = None) -> list[float]:
    """The mean score of one clip's rows after each number of steps, in order.

    Args:
        prompt: of the preview; None for all.
    """
    chosen = [row for row in rows if row["preview"] == preview and prompt in (None, row["prompt"])]
    steps = sorted({row["steps"] for row in chosen})
    return [float(np.mean([row["score"] for row in chosen if row["steps"] == step])) for step in steps]


def rank_correlation(given: Sequence[float], true: Sequence[float]) -> float:
    """Spearman's; 0 where all of one are the same, because then they put nothing in order."""
    ranks = [
        np.array([sum(b < a for b in each) + sum(b == a for b in each) / 2 for a in each]) for each in (given, true)
    ]
    if any(np.ptp(each) == 0 for each in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def judge_previews(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """For each preview, over clips and prompts: evaluations, rank correlation with the full edits of the clip, and how
    much less the full edits score with the motion that it would choose than with the best."""
    table = {}
    for name in [*PREVIEWS, LOSS]:
        found = []
        for clip, prompt in sorted({(row["clip"], row["prompt"]) for row in rows if row["preview"] == name}):
            own = [row for row in rows if row["clip"] == clip]
            true, given = series(own, FULL), series(own, name, prompt)
            found.append((rank_correlation(given, true), max(true) - true[int(np.argmax(given))]))
        if found:
            correlations, lost = np.array(found).T
            table[name] = {
                "evaluations": float(PREVIEWS[name].evaluations if name in PREVIEWS else HELD_DRAWS),
                "previews": len(found),
                "rank_correlation": float(correlations.mean()),
                "lowest": float(correlations.min()),
                "score_lost": float(lost.mean()),
            }
    return table


def format_table(table: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table."""
    heads = ["", "evaluations", "previews", "rank_correlation", "lowest", "score_lost"]
    lines = [
        [name, f"{row['evaluations']:.0f}", f"{row['previews']}", *(f"{row[each]:.2f}" for each in heads[3:])]
        for name, row in table.items()
    ]
    return markdown_table(heads, lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Renders, scores, and prints the table of all that is in the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", nargs="*", default=list(CLIPS))
    parser.add_argument("--steps", nargs="+", type=int, default=list(STEPS))
    parser.add_argument("--previews", nargs="+", choices=PREVIEWS, default=list(PREVIEWS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="one edit of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--known", action="store_true", help="render nothing; read the figures of the last full run")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in [] if args.known else args.clips:
        run_clip(args, name)
    files = [KEPT] if args.known else sorted(args.out.glob("*.csv"))
    print(format_table(judge_previews([row for path in files for row in load_rows(path)])))


if __name__ == "__main__":
    main()
