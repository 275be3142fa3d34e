"""Several clips, one motion: `python -m demo.several_clips`.

Three creatures in three places leap along one path. Edits render a fourth look of each of these clips, once with the
motion that all three have taught together (`tune_clips`), once with the one that each clip has taught alone (`tune`, as
the demo does), with as many steps per clip. The figures of each seed are kept, so that an interrupted run can continue.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tav_core import (
    SEVERAL,
    Checkpoint,
    ClipToLearn,
    InflatedUNet,
    Motion,
    UNetDenoiser,
    encode_frames,
    encode_prompt,
    load_checkpoint,
    tune,
    tune_clips,
)

from .creatures.captions import phrase
from .creatures.clip_sources import Source, leap
from .creatures.clips import NUM_FRAMES, Clip, Edit, make_edit, scene_at
from .creatures.oracle.scores import first_oracle, read_source, score
from .creatures.scene import NO_THING
from .creatures.settings import GROUP_NORM, MODEL, TUNE_BEST
from .creatures.stills import random_scene
from .study.tables import markdown_table
from .study.variant_edits import render_with
from .study.variants import Variant
from .study.worlds import creatures

OUT = Path("out") / "several_clips"
WORDS = (
    {"subject": "rabbit", "place": "meadow"},
    {"subject": "cat", "place": "beach"},
    {"subject": "bear", "place": "snow"},
)
LOOKS = ({"subject": "robot", "place": "desert"}, {"subject": "elephant", "place": "city"})
ROWS = {
    "one clip": ("alone", True),
    "three clips": ("together", True),
    "one clip, no inversion": ("alone", False),
    "three clips, no inversion": ("together", False),
}
COLUMNS = ("path", "copied", "right", "agreement", "gait")


def draw_clips(seed: int) -> list[Clip]:
    """The three clips; the seed decides what their prompts leave open."""
    rng, times, clips = np.random.default_rng([seed, 31]), np.arange(NUM_FRAMES) / NUM_FRAMES, []
    for words in WORDS:
        source = Source(words=words, path=leap, cycles=1, edits=LOOKS)
        first = random_scene(rng, (words["subject"], words["place"]), style="plain", thing=NO_THING)
        scenes = tuple(scene_at(first, source, float(t)) for t in times)
        edits = tuple(make_edit(words, look) for look in LOOKS)
        clips.append(Clip(name=words["subject"], prompt=phrase(**words), scenes=scenes, edits=edits))
    return clips


def encode_clip(checkpoint: Checkpoint, clip: Clip) -> ClipToLearn:
    """A clip's latents, and its prompt."""
    latents = encode_frames(checkpoint.vae, torch.from_numpy(clip.frames()))
    return ClipToLearn(latents=latents, context=encode_prompt(checkpoint, clip.prompt))


def tune_all(checkpoint: Checkpoint, clips: Sequence[Clip], seed: int, num_steps: int) -> dict[str, list[Motion]]:
    """For each way of tuning, the motion that each clip is rendered with.

    Args:
        num_steps: per clip.
    """
    inflated = InflatedUNet.from_2d(checkpoint.unet, group_norm=GROUP_NORM, seed=seed)
    untuned = UNetDenoiser(unet=inflated, schedule=checkpoint.schedule)
    encoded = [encode_clip(checkpoint, clip) for clip in clips]
    config = dataclasses.replace(TUNE_BEST, seed=seed, precision="fp32", num_steps=num_steps)
    alone = [tune(untuned, each.latents, each.context, config=config) for each in encoded]
    names = ("learning_rate", "min_snr_gamma", "memory", "seed", "precision")
    # As many steps per clip, with MotionDirector's loss and the world's rate.
    shared = dataclasses.replace(
        SEVERAL, num_steps=len(clips) * num_steps, **{name: getattr(config, name) for name in names}
    )
    together = tune_clips(untuned, encoded, config=shared).motion
    return {"alone": alone, "together": [together] * len(clips)}


def copied(video: np.ndarray, clip: Clip, edit: Edit) -> float:
    """The share of what an edit should change, over all frames, that is still as in the source."""
    now, then = first_oracle().read(video), read_source(clip, first_oracle())
    pairs = [(getattr(a, part), getattr(b, part)) for part in edit.changed for a, b in zip(now, then, strict=True)]
    return float(np.mean([a == b for a, b in pairs]))


def score_seed(
    checkpoint: Checkpoint, seed: int, num_steps: int, rows: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """The scores of every edit, for each row."""
    clips = draw_clips(seed)
    motions, found = tune_all(checkpoint, clips, seed, num_steps), {}
    for row in rows:
        way, inverted = ROWS[row]
        how = Variant(group_norm=GROUP_NORM, inverted=inverted)
        found[row] = [
            {**dataclasses.asdict(score(video, clip, edit)), "copied": copied(video, clip, edit)}
            for clip, motion in zip(clips, motions[way], strict=True)
            for video, edit in zip(render_clip(checkpoint, clip, motion, seed, how), clip.edits, strict=True)
        ]
    return found


def render_clip(checkpoint: Checkpoint, clip: Clip, motion: Motion, seed: int, how: Variant) -> np.ndarray:
    """All edits of a clip under a motion: `edits f h w 3` in [0, 1]."""
    denoiser = UNetDenoiser(unet=motion.apply_to(checkpoint.unet), schedule=checkpoint.schedule)
    return render_with(creatures(), denoiser, checkpoint, clip, seed, how)


def tabulate(seeds: Sequence[dict[str, list[dict[str, float]]]], names: Sequence[str]) -> str:
    """Means over all edits, with the deviation between the means of the seeds."""
    rows = []
    for row in names:
        means = {name: [np.nanmean([edit[name] for edit in seed[row]]) for seed in seeds] for name in COLUMNS}
        cells = [f"{np.mean(each):.3f} ± {np.std(each):.3f}" for each in means.values()]
        rows.append([row, str(sum(len(seed[row]) for seed in seeds)), *cells])
    return markdown_table(["", "edits", *COLUMNS], rows)


def main() -> None:
    """Scores the seeds that are not yet scored, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num-steps", type=int, default=TUNE_BEST.num_steps, help="tuning steps per clip")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint, scored = load_checkpoint(MODEL, device="cpu"), []
    for seed in args.seeds:
        path = args.out / f"seed_{seed}_{args.num_steps}.json"
        if not path.exists():
            path.write_text(json.dumps(score_seed(checkpoint, seed, args.num_steps, args.rows)))
        scored.append(json.loads(path.read_text()))
        print(tabulate(scored, args.rows), flush=True)


if __name__ == "__main__":
    main()
