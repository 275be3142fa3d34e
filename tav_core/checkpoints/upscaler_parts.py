"""What super-resolution needs beside its UNet: the VAE and the text encoder of Stable Diffusion's x4 upscaler.

    a diffusers folder    stable-diffusion-x4-upscaler: vae, text_encoder, tokenizer; low_res_scheduler if it is there
    one file              x4-upscaler-ema.safetensors or .ckpt, in LDM's layout

Its UNet is not read: LaVie's file holds it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import CheckpointError
from ..models.families import SD2
from ..models.lavie.schedules import lavie_schedule
from ..models.schedule import NoiseSchedule
from ..paths import check_input_path
from .build import Builder
from .part_folders import open_folder, read_json
from .single_file import TEXT, VAE, load_text_encoder
from .tokenizer import CLIP_TOKENIZER, load_tokenizer
from .vae import vae_from_ldm
from .weight_files import open_weights

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer

EXPECTED = "the VAE and the text encoder of Stable Diffusion's x4 upscaler"
MEND = "Give stable-diffusion-x4-upscaler, as a diffusers folder or as x4-upscaler-ema.safetensors."
# The upscaler's family, whose VAE has a factor of its own (its vae/config.json).
UPSCALER = dataclasses.replace(SD2, title="the x4 upscaler", scaling_factor=0.08333)
# Its VAE halves a picture twice.
LEVELS = 3
# Pixels of a side. Up to this size, a frame is decoded at once.
TILE = 1024
LOW_RESOLUTION = "low_res_scheduler/scheduler_config.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class UpscalerParts:
    """Frozen parts of an x4 upscaler.

    Args:
        vae: between frames and latents a quarter as wide and high.
        text_encoder, tokenizer: for its prompts.
        low_res_schedule: of the noise that is put on its input.
        path: where it was loaded from.
    """

    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    low_res_schedule: NoiseSchedule
    path: Path


@torch.inference_mode(False)
def load_upscaler_parts(
    path: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> UpscalerParts:
    """Loads what super-resolution needs beside its UNet.

    Args:
        path: see this module.
        dtype: of the text encoder. The VAE stays in float32, whatever it is: its decoder overflows in float16.
        device: of all weights.

    Raises:
        CheckpointError: nothing there, damaged, would run code, or another model.
    """
    path = check_input_path(path, CheckpointError)
    builder = Builder(path, dtype, device)
    try:
        parts = read_folder(path, builder) if path.is_dir() else read_file(path, builder)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(got=f"another layout ({error}): {path}", expected=EXPECTED, mend=MEND) from error
    decode_in_tiles(parts.vae)
    if len(parts.vae.config.block_out_channels) != LEVELS:
        factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
        raise CheckpointError(got=f"a VAE that enlarges {factor} times: {path}", expected=EXPECTED, mend=MEND)
    return parts


def read_folder(path: Path, builder: Builder) -> UpscalerParts:
    """The parts in a diffusers folder."""
    configs = {part: path / part / "config.json" for part in ("vae", "text_encoder")}
    if missing := [part for part, config in configs.items() if not config.is_file()]:
        raise CheckpointError(got=f"{path}, a folder without {', '.join(missing)}", expected=EXPECTED, mend=MEND)
    text_encoder = builder.text_encoder(read_json(configs["text_encoder"]), open_folder(path / "text_encoder").read())
    schedule = path / LOW_RESOLUTION
    return UpscalerParts(
        vae=in_float32(builder).vae(read_json(configs["vae"]), open_folder(path / "vae").read()),
        text_encoder=text_encoder,
        tokenizer=tokenizer_of(path / "tokenizer", text_encoder),
        low_res_schedule=(
            NoiseSchedule.from_config(read_json(schedule)) if schedule.is_file() else lavie_schedule("low_resolution")
        ),
        path=path,
    )


def read_file(path: Path, builder: Builder) -> UpscalerParts:
    """The parts in a single file."""
    file = open_weights(path)
    if missing := [prefix for prefix in (VAE, TEXT) if not file.shapes_under(prefix)]:
        raise CheckpointError(got=f"{path} without {' and '.join(missing)}*", expected=EXPECTED, mend=MEND)
    text_encoder = load_text_encoder(file, builder, UPSCALER)
    return UpscalerParts(
        vae=vae_from_ldm(
            {name.removeprefix(VAE): t for name, t in file.read(VAE).items()}, in_float32(builder), UPSCALER
        ),
        text_encoder=text_encoder,
        tokenizer=tokenizer_of(CLIP_TOKENIZER, text_encoder, pad_token=UPSCALER.pad_token),
        low_res_schedule=lavie_schedule("low_resolution"),
        path=path,
    )


def decode_in_tiles(vae: AutoencoderKL) -> None:
    """Makes a VAE decode frames that are larger than `TILE` in parts that overlap, in place.

    At once, a frame of 2048 x 1280 takes 7.7 GiB.
    """
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size = TILE, TILE // 2 ** (LEVELS - 1)


def in_float32(builder: Builder) -> Builder:
    """The same builder, for weights in float32."""
    return builder._replace(dtype=torch.float32)


def tokenizer_of(folder: Path, text_encoder: CLIPTextModel, **settings: str | None) -> CLIPTokenizer:
    """A tokenizer that cuts prompts where the text encoder does."""
    config = text_encoder.config
    return load_tokenizer(
        folder, vocab_size=config.vocab_size, model_max_length=config.max_position_embeddings, **settings
    )
