"""Trains the model of the second world: `python -m demo.train_creatures`. A stage is skipped if its output exists."""

from __future__ import annotations

import argparse

import torch

from .creatures.trainers.paths import MODEL
from .creatures.trainers.text import train_text
from .creatures.trainers.unet import NUM_STEPS, train_unet
from .creatures.trainers.vae import encode_stills, train_vae


def main() -> None:
    """Runs every stage that has no output yet; a stage that was stopped resumes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--until", type=int, default=NUM_STEPS, help="the step at which the UNet's course stops")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not (MODEL / "vae").exists():
        train_vae()
        encode_stills()
    if not (MODEL / "text_encoder").exists():
        train_text()
    train_unet(args.until)


if __name__ == "__main__":
    main()
