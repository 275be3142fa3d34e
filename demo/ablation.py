"""The paper's ablation on the demo world: `python -m demo.ablation`.

    full             tuned, inverted, sparse-causal attention, temporal attention
    no tuning        the inflated model as it is
    no inversion     sampling starts from random noise
    no ST-Attn       every frame attends to itself alone, in tuning too
    no temporal      the temporal attention is neither trained nor there

Every clip, edit and seed goes through each; the seed decides the tuning's draws and the random starts. A job's scores
are kept, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tav_core import (
    Checkpoint,
    InflatedUNet,
    Motion,
    UNetDenoiser,
    decode_latents,
    edit,
    encode_frames,
    encode_prompt,
    gaussian_noise,
    invert,
    load_checkpoint,
    tune,
)

from .clips import Clip, all_clips, clip_named
from .pictures import label_rows
from .scores import Scores, score, summarize
from .settings import EDIT, MODEL, TUNE

VARIANTS = {
    "full": {},
    "no tuning": {"tuned": False},
    "no inversion": {"inverted": False},
    "no ST-Attn": {"attention": "spatial"},
    "no temporal": {"modules": ("attn1.to_q", "attn2.to_q")},
}
SEEDS = (0, 1, 2)
OUT = Path("out") / "ablation"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """All edits of one clip under one variant and seed."""

    variant: str
    clip: str
    seed: int

    def path(self, out: Path) -> Path:
        return out / f"{self.variant.replace(' ', '-')}_{self.clip}_{self.seed}.npz"


def tuned_denoiser(
    checkpoint: Checkpoint,
    clip: Clip,
    seed: int,
    out: Path,
    *,
    attention: str = "sparse_causal",
    modules: tuple[str, ...] = TUNE.modules,
    tuned: bool = True,
) -> UNetDenoiser:
    """The model as one variant has it, tuned on the clip; variants that share a motion find it in `out`."""
    untuned = UNetDenoiser(
        unet=InflatedUNet.from_2d(checkpoint.unet, attention=attention, seed=seed), schedule=checkpoint.schedule
    )
    if not tuned:
        return untuned
    kept = out / f"motion_{clip.name}_{seed}_{attention}_{len(modules)}.safetensors"
    if not kept.exists():
        latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames()))
        config = dataclasses.replace(TUNE, seed=seed, modules=modules)
        motion = tune(untuned, latents, encode_prompt(checkpoint, clip.prompt), config=config, prompt=clip.prompt)
        motion.save(kept, dtype=torch.float32)
    return UNetDenoiser(unet=Motion.load(kept).apply_to(checkpoint.unet), schedule=checkpoint.schedule)


def render_edits(
    checkpoint: Checkpoint, clip: Clip, seed: int, out: Path, *, inverted: bool = True, **variant
) -> np.ndarray:
    """All edits of a clip under a variant: `edits f h w 3` in [0, 1]."""
    denoiser = tuned_denoiser(checkpoint, clip, seed, out, **variant)
    latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames())).mean
    empty = encode_prompt(checkpoint, "")
    if inverted:
        start = invert(denoiser, latents, empty, num_steps=EDIT.num_steps)
    else:
        start = gaussian_noise(latents.shape, seed)
    prompts = encode_prompt(checkpoint, [each.prompt for each in clip.edits])
    return decode_latents(checkpoint.vae, edit(denoiser, start, prompts, empty, config=EDIT)).numpy()


def run_job(job: Job, out: Path) -> Job:
    """Renders a job's edits and keeps them."""
    torch.set_num_threads(1)
    if not job.path(out).exists():
        checkpoint = load_checkpoint(MODEL)
        videos = render_edits(checkpoint, clip_named(job.clip), job.seed, out, **VARIANTS[job.variant])
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
    clip = clip_named(job.clip)
    return [score(video, clip, each) for video, each in zip(load_videos(job, out), clip.edits, strict=True)]


def all_jobs(clips: list[str], seeds: tuple[int, ...], variants: list[str]) -> list[Job]:
    """Seeds outermost, so that an early stop still leaves whole rounds; without tuning, seeds change nothing."""
    return [
        Job(variant=variant, clip=clip, seed=seed)
        for seed in seeds
        for clip in clips
        for variant in variants
        if VARIANTS[variant].get("tuned", True) or seed == seeds[0]
    ]


def format_table(rows: dict[str, dict[str, float]]) -> str:
    """A Markdown table of the variants' scores."""
    columns = ["edits_right", "right", "path", "distance", "agreement", "kept", "flicker"]
    lines = ["| | edits | " + " | ".join(c.replace("_", " ") for c in columns) + " |", "|---" * 9 + "|"]
    for name, row in rows.items():
        cells = [
            f"{row[c]:.4f}" if c == "flicker" else f"{row[c]:.1f}" if c == "distance" else f"{row[c]:.3f}"
            for c in columns
        ]
        lines.append(f"| {name} | {row['edits']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", nargs="+", default=[clip.name for clip in all_clips()])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    jobs = all_jobs(args.clips, tuple(args.seeds), args.variants)
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        rendering = [pool.apply_async(run_job, (job, args.out)) for job in jobs]
        for one in tqdm(rendering, desc="render", unit="job"):
            one.get()
        scored = pool.starmap(score_job, [(job, args.out) for job in jobs])
    by_variant = {
        variant: [s for job, scores in zip(jobs, scored, strict=True) if job.variant == variant for s in scores]
        for variant in args.variants
    }
    rows = {variant: summarize(scores) for variant, scores in by_variant.items()}
    print(format_table(rows), f"\n{time.monotonic() - started:.0f} s")
    each = [
        {**dataclasses.asdict(job), "prompt": clip_named(job.clip).edits[i].prompt, **dataclasses.asdict(s)}
        for job, scores in zip(jobs, scored, strict=True)
        for i, s in enumerate(scores)
    ]
    settings = {"tune": dataclasses.asdict(TUNE), "edit": dataclasses.asdict(EDIT)}
    kept = {"settings": settings, "table": rows, "edits": each}
    (args.out / "ablation.json").write_text(json.dumps(kept, indent=1) + "\n")
    save_picture(args.out, args.clips[0], args.seeds[0], args.variants)


def save_picture(out: Path, clip_name: str, seed: int, variants: list[str]) -> None:
    """One edit of one clip under every variant, a row each, below the source."""
    clip = clip_named(clip_name)
    rows = {f"source: {clip.prompt}": clip.frames()}
    for variant in variants:
        rows[f"{variant}: {clip.edits[0].prompt}"] = load_videos(Job(variant=variant, clip=clip_name, seed=seed), out)[
            0
        ]
    label_rows(rows).save(out / "ablation.png")


if __name__ == "__main__":
    main()
