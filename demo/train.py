"""Train the demo model from nothing: `python -m demo.train`. A stage whose output exists is skipped.

About 45 minutes on 2 CPU cores. The result is an ordinary diffusers folder, `demo/model/`.
"""

import torch

from .train_common import MODEL
from .train_text import train_text
from .train_unet import train_unet
from .train_vae import encode_stills, train_vae


def main() -> None:
    """Run every stage that has no output yet."""
    torch.set_num_threads(2)
    if not (MODEL / "vae").exists():
        train_vae()
        encode_stills()
    if not (MODEL / "text_encoder").exists():
        train_text()
    if not (MODEL / "unet").exists():
        train_unet()


if __name__ == "__main__":
    main()
