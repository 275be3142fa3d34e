"""Trains a start for tunings on the world of creatures: `python -m demo.train_start`.

Temporal layers see 200 short clips of random moving scenes, none of which is one of the study's clips. A tuning on a
clip then begins with them instead of zeros ("learning to tune").
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tav_core import (
    START,
    Checkpoint,
    ClipToLearn,
    InflatedUNet,
    TuneProgress,
    UNetDenoiser,
    encode_frames,
    encode_prompt,
    learn_start,
    load_checkpoint,
)

from .creatures.moving_scenes import MovingScene, random_moving_scene
from .creatures.settings import GROUP_NORM, MODEL
from .creatures.stills import SEED
from .lavie.moving_scenes import frame_times

NUM_CLIPS, NUM_FRAMES = 200, 8
OUT = Path("out") / "start_training"
START_FILE = MODEL / "start.safetensors"


def draw_scenes(count: int) -> list[MovingScene]:
    """Random moving scenes, of seen pairs of subject and place."""
    rng = np.random.default_rng([SEED, 21])
    return [random_moving_scene(rng) for _ in range(count)]


def encode_scene(checkpoint: Checkpoint, scene: MovingScene) -> ClipToLearn:
    """A scene's frames as latents, and its caption."""
    frames = torch.from_numpy(np.ascontiguousarray(scene.frames(frame_times(NUM_FRAMES))))
    return ClipToLearn(latents=encode_frames(checkpoint.vae, frames), context=encode_prompt(checkpoint, scene.prompt))


def main() -> None:
    """Draws the clips, trains, and writes the start beside the demo's model; resumes where it stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=NUM_CLIPS)
    parser.add_argument("--num-steps", type=int, default=START.num_steps)
    parser.add_argument("--learning-rate", type=float, default=START.learning_rate)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=START_FILE, help="the start, .safetensors")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    checkpoint = load_checkpoint(MODEL, device=device)
    clips = [encode_scene(checkpoint, scene) for scene in tqdm(draw_scenes(args.clips), desc="encode")]
    denoiser = UNetDenoiser(
        unet=InflatedUNet.from_2d(checkpoint.unet, group_norm=GROUP_NORM), schedule=checkpoint.schedule
    )
    config = dataclasses.replace(
        START,
        num_steps=args.num_steps,
        learning_rate=args.learning_rate,
        lr_schedule="cosine",
        min_snr_gamma=5.0,
        memory="speed",
        precision="fp32",
    )
    with tqdm(total=args.num_steps, desc="learn", mininterval=5) as bar:

        def count(progress: TuneProgress) -> None:
            bar.set_postfix(loss=f"{np.mean(progress.losses[-50:]):.4f}", refresh=False)
            bar.update(progress.step - bar.n)

        start = learn_start(denoiser, clips, config=config, state_path=OUT / "state.safetensors", on_step=count)
    print(start.save(args.out, dtype=torch.float16))


if __name__ == "__main__":
    main()
