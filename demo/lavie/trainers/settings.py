"""Where the trainers read and write, and how much they draw."""

from __future__ import annotations

import dataclasses
import json

from ...trainers.common import HERE, SEED
from ...trainers.common import MODEL as SD_MODEL

__all__ = ["AMOUNTS", "CACHE", "FILES", "LOG", "SD_MODEL", "SEED", "UPSCALER_FOLDER", "Amounts"]

CACHE = HERE.parent / "out" / "lavie_training"
LOG = HERE / "lavie" / "training" / "log.csv"
MODEL = HERE / "lavie" / "model"
# LaVie's nodes list these files among the user's own.
FILES = {kind: MODEL / f"tiny_lavie_{kind}.safetensors" for kind in ("base", "interpolation", "super_resolution")}
# A diffusers folder like that of the x4 upscaler, without its UNet.
UPSCALER_FOLDER = HERE / "lavie" / "upscaler"


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


def claim_cache(amounts: Amounts) -> None:
    """Makes the cache that of these amounts.

    Raises:
        SystemExit: it holds what was drawn and encoded of other amounts.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    known, own = CACHE / "amounts.json", dataclasses.asdict(amounts)
    if not known.exists():
        known.write_text(json.dumps(own))
    elif json.loads(known.read_text()) != own:
        raise SystemExit(f"{CACHE} holds other amounts than {own}: use those, or move the folder away.")


AMOUNTS = {
    "full": Amounts(stills=12_000, clips=1600, dense=480, sharp=320),
    "medium": Amounts(stills=4000, clips=400, dense=160, sharp=120),
    "small": Amounts(stills=600, clips=60, dense=24, sharp=16),
    "tiny": Amounts(stills=12, clips=4, dense=2, sharp=2),
}
