"""Trains the model of the second world: `python -m demo.train_creatures`. A stage is skipped if its output exists."""

from __future__ import annotations

import argparse

import torch

from .creatures.trainers.adapter import train_adapter
from .creatures.trainers.paths import MODEL
from .creatures.trainers.stills import load_stills
from .creatures.trainers.text import train_text
from .creatures.trainers.unet import NUM_STEPS, train_unet
from .creatures.trainers.vae import encode_stills, train_vae
from .trainers.index import write_index

STAGES = ("stills", "vae", "text", "unet", "adapter")


def run_stage(stage: str, until: int) -> None:
    """Runs a stage if it has no output yet; one that was stopped resumes."""
    if stage == "stills":
        load_stills()
    elif stage == "vae" and not (MODEL / "vae").exists():
        train_vae()
        encode_stills()
    elif stage == "text" and not (MODEL / "text_encoder").exists():
        train_text()
    elif stage == "unet":
        train_unet(until)
        write_index(MODEL)
    elif stage == "adapter" and not (MODEL / "t2i_adapter").exists():
        train_adapter()


def main() -> None:
    """Runs the stages in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES])
    parser.add_argument("--until", type=int, default=NUM_STEPS, help="the step at which the UNet's course stops")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for stage in args.stages:
        run_stage(stage, args.until)


if __name__ == "__main__":
    main()
