"""Where a checkpoint that is not taken is refused, in words. What is refused, and why, is models/unsupported.py's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..models.families import SUPPORTED
from ..models.unsupported import INSTRUCT, Refused, find_refused_channels, find_refused_config


def wrong_family(path: Path, refused: Refused, *, detail: str = "", mend: str = "") -> CheckpointError:
    """The refusal of something else than a checkpoint that is taken.

    Args:
        detail: what more was seen of it, for its title.
        mend: what to do, as a sentence, in place of its own.
    """
    title = f"{refused.title} ({detail})" if detail else refused.title
    return CheckpointError(
        got=f"{title}: {path}", expected=SUPPORTED, mend=f"{refused.why} {mend or refused.mend}".strip()
    )


def refuse_in_channels(path: Path, in_channels: int, out_channels: int) -> None:
    """Refuses a UNet that is given more than latents: an image, a mask or a depth map beside them.

    Raises:
        CheckpointError: the UNet takes more channels than it gives.
    """
    if refused := find_refused_channels(in_channels, out_channels):
        channels = f"{in_channels} input channels, {out_channels} output channels"
        raise wrong_family(path, refused, detail=channels)


def refuse_pictures(path: Path, in_channels: int, out_channels: int) -> None:
    """Refuses InstructPix2Pix's UNet where there is no picture to give it.

    Raises:
        CheckpointError: the UNet takes twice the channels that it gives.
    """
    if in_channels == 2 * out_channels:
        raise wrong_family(path, INSTRUCT, mend="Use it for instructions, and choose a text-to-image checkpoint here.")


def refuse_unet_config(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses a diffusers UNet config (`unet/config.json`, block types of the 2-D UNet) of another family.

    Raises:
        CheckpointError: SDXL, class-conditioned, inpainting, or block types that no family that is taken has.
    """
    if refused := find_refused_config(config):
        raise wrong_family(path, refused)
    refuse_in_channels(path, config.get("in_channels", 4), config.get("out_channels", 4))
