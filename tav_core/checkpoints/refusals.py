"""Which family of model some weights or a config belong to, so that a refusal can name what it was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError

SUPPORTED = "a Stable Diffusion 1.x or 2.x text-to-image checkpoint"

# The first family of which a name in the file holds a mark. Order matters: later ones share marks with earlier ones.
MARKS = (
    ("a LoRA", ("lora_up.", "lora_down.", ".lora_A.", ".lora_B.", ".lokr_", ".hada_", ".oft_")),
    ("a ControlNet", ("control_model.", "controlnet_")),
    ("a textual inversion embedding", ("emb_params", "string_to_param")),
    (
        "a video model",
        (
            "time_stack.",
            "time_mixer.",
            "motion_modules.",
            "temporal_transformer",
            "temopral_conv",
            "temp_convs.",
            "transformer_in.",
            "individual_token_refiner.",
            "self_attn.norm_q.",
        ),
    ),
    ("Stable Diffusion XL", ("conditioner.embedders.", "add_embedding.linear_1.")),
    ("Stable Diffusion 3", ("joint_blocks.",)),
    ("Flux", ("double_blocks.", "single_transformer_blocks.")),
    ("a class-conditioned or unCLIP model", ("label_emb.", "class_embedding.")),
)
BY_IN_CHANNELS = {
    5: "a depth-to-image model",
    7: "an upscaler",
    8: "an InstructPix2Pix model",
    9: "an inpainting model",
}
ALONE = {
    "a VAE alone": ("first_stage_model.", "vae.", "encoder.conv_in.", "encoder.down", "decoder.conv_in."),
    "a text encoder alone": ("cond_stage_model.", "text_model.", "transformer.resblocks.", "shared.weight"),
}
BLOCK_TYPES = frozenset({"CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"})


def name_family(names: Iterable[str]) -> str | None:
    """The family that tensor names give away, or None where they show none of those that are known."""
    names = list(names)
    for family, marks in MARKS:
        if any(mark in name for name in names for mark in marks):
            return family
    if any(".attn_temp." in name for name in names):
        whole = any(name.endswith("conv_in.weight") for name in names)
        return "a UNet saved by the original Tune-A-Video" if whole else "a motion file"
    if any(name.startswith("down_blocks.") for name in names):
        return "the UNet of a diffusers folder alone"
    for family, starts in ALONE.items():
        if any(name.startswith(starts) for name in names) and not any("diffusion_model." in name for name in names):
            return family
    return None


def wrong_family(path: Path, family: str, mend: str | None = None) -> CheckpointError:
    """The refusal of a model of another family."""
    mends = {
        "a motion file": "Give it where a motion is asked for, and a checkpoint here.",
        "the UNet of a diffusers folder alone": "Give the folder that holds unet, vae, text_encoder, tokenizer and"
        " scheduler.",
        "a UNet saved by the original Tune-A-Video": "Give the folder of the whole pipeline, or read this file with"
        " load_original_unet.",
    }
    return CheckpointError(
        got=f"{family}: {path}", expected=SUPPORTED, mend=mend or mends.get(family, "Choose another file.")
    )


def refuse_in_channels(path: Path, in_channels: int, out_channels: int) -> None:
    """Refuses a UNet that is given more than latents: an image, a mask or a depth map beside them.

    Raises:
        CheckpointError: the UNet takes more channels than it gives.
    """
    if in_channels != out_channels:
        family = BY_IN_CHANNELS.get(in_channels, "an image-conditioned model")
        raise wrong_family(path, f"{family} ({in_channels} input channels, {out_channels} output channels)")


def refuse_unet_config(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses a diffusers UNet config (`unet/config.json`, block types of the 2-D UNet) of another family.

    Raises:
        CheckpointError: SDXL, class-conditioned, inpainting, or block types that Stable Diffusion 1.x and 2.x lack.
    """
    if config.get("addition_embed_type") == "text_time":
        raise wrong_family(path, "Stable Diffusion XL")
    for setting in ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim"):
        if config.get(setting) is not None:
            raise wrong_family(path, f"a UNet with {setting} {config[setting]!r}")
    for block_type in (*config.get("down_block_types", ()), *config.get("up_block_types", ())):
        if block_type not in BLOCK_TYPES:
            raise wrong_family(path, f"a UNet with a {block_type}")
    refuse_in_channels(path, config.get("in_channels", 4), config.get("out_channels", 4))
