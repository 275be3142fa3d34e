"""Trains the model of the second world: `python -m demo.train_creatures`. A stage is skipped if its output exists.

With `--layout sdxl` it is the same world's model in Stable Diffusion XL's layout, in `out/creatures_xl/model`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .creatures.trainers import xl
from .creatures.trainers.adapter import train_adapter
from .creatures.trainers.paths import MODEL
from .creatures.trainers.stills import NUM_STILLS, load_stills
from .creatures.trainers.text import train_text
from .creatures.trainers.unet import NUM_STEPS, train_unet
from .creatures.trainers.vae import encode_stills, train_vae
from .trainers.index import write_index

STAGES = ("stills", "vae", "text", "unet", "adapter")
# The autoencoder is the world's own, and comes with the stills; no adapter is trained.
XL_STAGES = ("stills", "text", "unet")


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


def run_xl_stage(stage: str, until: int, *, stills: int, folder: Path) -> None:
    """The same for the model in Stable Diffusion XL's layout."""
    if stage == "stills" and not (folder / "captions.txt").exists():
        xl.prepare_stills(stills, folder)
    elif stage == "text" and not (folder / "model" / "text_encoder_2").exists():
        xl.train_texts(folder)
    elif stage == "unet":
        train_unet(until, xl.lesson(folder))
        xl.write_index(folder / "model")


def main() -> None:
    """Runs the stages in order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES])
    parser.add_argument("--until", type=int, default=NUM_STEPS, help="the step at which the UNet's course stops")
    parser.add_argument("--layout", choices=("sd1", "sdxl"), default="sd1", help="of the model")
    parser.add_argument("--out", type=Path, default=xl.FOLDER, help="folder of the model in SDXL's layout")
    parser.add_argument("--stills", type=int, default=NUM_STILLS, help="that the model in SDXL's layout learns from")
    parser.add_argument(
        "--random", action="store_true", help="write SDXL's layout with random weights, and train nothing"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.random:
        xl.write_random(args.out)
        return
    for stage in args.stages:
        if args.layout == "sd1":
            run_stage(stage, args.until)
        elif stage in XL_STAGES:
            run_xl_stage(stage, args.until, stills=args.stills, folder=args.out)


if __name__ == "__main__":
    main()
