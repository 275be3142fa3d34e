"""Train the demo model from nothing: `python -m demo.train`. A stage whose output exists is skipped.

About 90 minutes on 2 CPU cores. The result is an ordinary diffusers folder, `demo/model/`. With `--further` the UNet
that is there goes through the last course of `COURSES` in `trainers/unet.py` once more.
"""

import argparse

import torch

from .trainers.adapter import train_adapter
from .trainers.common import MODEL
from .trainers.text import train_text
from .trainers.unet import train_unet
from .trainers.vae import encode_stills, train_vae


def main() -> None:
    """Run every stage that has no output yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--further", action="store_true", help="train the UNet that is there once more")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not (MODEL / "vae").exists():
        train_vae()
        encode_stills()
    if not (MODEL / "text_encoder").exists():
        train_text()
    if args.further or not (MODEL / "unet").exists():
        train_unet(args.further)
    if not (MODEL / "t2i_adapter").exists():
        train_adapter()


if __name__ == "__main__":
    main()
