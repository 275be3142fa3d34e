"""Where a checkpoint that is not taken is refused, in words. What is refused, and why, is models/unsupported.py's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..models.families import SUPPORTED
from ..models.unsupported import (
    EDM,
    INSTRUCT,
    MIDDLE,
    ZERO_SNR_XL,
    Refused,
    find_refused_channels,
    find_refused_config,
    find_relative,
)
from .ldm_configs import Shapes, count_depth, read_levels


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
        CheckpointError: SDXL's relatives, class-conditioned, inpainting, or block types that no family has.
    """
    if refused := find_refused_config(config):
        raise wrong_family(path, refused)
    refuse_in_channels(path, config.get("in_channels", 4), config.get("out_channels", 4))


def refuse_relative(path: Path, shapes: Shapes) -> None:
    """Refuses the UNet of a smaller relative of SDXL in a single file.

    Args:
        shapes: of the tensors under `model.diffusion_model.`, the prefix taken off.

    Raises:
        CheckpointError: it is one; the message names it.
    """
    levels = read_levels(shapes)
    settings = {
        "mid_block_type": MIDDLE if count_depth(shapes, "middle_block.1.") else None,
        "block_out_channels": [level.width for level in levels],
        "layers_per_block": levels[0].layers,
        "transformer_layers_per_block": [level.depth for level in levels],
    }
    if relative := find_relative(settings):
        raise wrong_family(path, relative)


def refuse_noise_xl(path: Path, *, scheduler: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    """Refuses an SDXL folder with another noise schedule than SDXL's.

    Args:
        scheduler, vae: the configs of these parts.

    Raises:
        CheckpointError: it is EDM's, as Playground v2.5's, or ends in pure noise.
    """
    if "EDM" in str(scheduler.get("_class_name", "")) or vae.get("latents_mean") is not None:
        raise wrong_family(path, EDM)
    refuse_zero_snr_xl(path, bool(scheduler.get("rescale_betas_zero_snr")))


def refuse_zero_snr_xl(path: Path, zero_snr: bool) -> None:
    """Refuses an SDXL model that says that its last timestep is pure noise.

    Raises:
        CheckpointError: it says so.
    """
    if zero_snr:
        raise wrong_family(path, ZERO_SNR_XL)
