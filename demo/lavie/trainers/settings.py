"""Where the trainers read and write, and how much they draw."""

from __future__ import annotations

import dataclasses

from ...creatures.trainers.paths import MODEL as SD_MODEL
from ...trainers.common import HERE, SEED

__all__ = ["AMOUNTS", "CACHE", "LOG", "MODEL", "SD_MODEL", "SEED", "UPSCALER_FOLDER", "Amounts"]

CACHE = HERE.parent / "out" / "lavie_training"
LOG = HERE / "lavie" / "training" / "log.csv"
MODEL = HERE / "lavie" / "model"
# A diffusers folder like that of the x4 upscaler, without its UNet.
UPSCALER_FOLDER = MODEL / "upscaler"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amounts:
    """How many of each kind of example are drawn.

    Args:
        stills: single pictures.
        clips: clips of 16 frames.
        dense: clips of 61 frames, every fourth of which make a clip of 16.
        sharp: clips of 8 frames at four times the size, for the upscaler and its autoencoder.
    """

    stills: int
    clips: int
    dense: int
    sharp: int


AMOUNTS = {
    "full": Amounts(stills=16_000, clips=4000, dense=900, sharp=448),
    "small": Amounts(stills=2000, clips=300, dense=80, sharp=40),
    "tiny": Amounts(stills=12, clips=4, dense=2, sharp=2),
}
