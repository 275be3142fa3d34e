"""Trains the cascade: `python -m demo.train_lavie`. Every stage resumes where it stopped."""

from __future__ import annotations

import argparse
import os
import signal

import torch

from .lavie.trainers.base import train_base
from .lavie.trainers.course import Budget
from .lavie.trainers.encode import embed_captions, encode_frames
from .lavie.trainers.interpolation import train_interpolation
from .lavie.trainers.render import KINDS, draw_all
from .lavie.trainers.settings import AMOUNTS, CACHE, Amounts, claim_cache
from .lavie.trainers.stills import train_stills
from .lavie.trainers.upscaler import load_pairs, train_upscaler
from .lavie.trainers.vae import train_vae

# Steps of each training, if nothing ends it before.
STEPS = {"vae": 4000, "stills": 12_000, "base": 12_000, "interpolation": 16_000, "upscaler": 16_000}
TRAIN = {
    "vae": train_vae,
    "stills": train_stills,
    "base": train_base,
    "interpolation": train_interpolation,
    "upscaler": train_upscaler,
}
ENCODED = ("stills", "clips", "dense")
STAGES = (
    *(f"draw-{kind}" for kind in KINDS),
    *(f"encode-{kind}" for kind in ENCODED),
    "vae",
    "pairs",
    "stills",
    "base",
    "interpolation",
    "upscaler",
)


def run_stage(stage: str, amounts: Amounts, args: argparse.Namespace) -> None:
    """Runs one stage."""
    if stage.startswith("draw-"):
        draw_all(stage.removeprefix("draw-"), amounts, processes=args.processes)
    elif stage.startswith("encode-"):
        kind = stage.removeprefix("encode-")
        encode_frames(kind, amounts)
        embed_captions(kind, amounts)
    elif stage == "pairs":
        load_pairs(amounts)
    else:
        budget = Budget(steps=args.steps or STEPS[stage], seconds=args.seconds)
        TRAIN[stage](amounts, budget)


def main() -> None:
    """Runs the stages in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that draw")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES])
    parser.add_argument("--amounts", choices=[*AMOUNTS], default="full", help="how much is drawn")
    parser.add_argument("--steps", type=int, help="of each training")
    parser.add_argument("--seconds", type=float, default=1e9, help="of each training, at the most")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # A training that is asked to end saves its state first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    claim_cache(AMOUNTS[args.amounts])
    for stage in args.stages:
        run_stage(stage, AMOUNTS[args.amounts], args)
        (CACHE / f"{stage}.done").touch()


if __name__ == "__main__":
    main()
