"""What LaVie's interpolation and super-resolution are given by ComfyUI: prompts, a VAE, frames and a file, checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...tav_core.checkpoints.lavie import check_kind
from ...tav_core.checkpoints.lavie_configs import lavie_unet_config
from ...tav_core.checkpoints.weight_files import open_weights
from ...tav_core.errors import CheckpointError
from ...tav_core.models.conditioning import Conditioning, repeat_to_one_length
from ..sockets.bridge import to_context
from .frames import check_has_vae, missing

# Whose CLIP the published files were trained with, by the kind of file and the width of its text.
SOURCES = {
    ("base", 768): "Stable Diffusion 1.x",
    ("interpolation", 768): "Stable Diffusion 1.x",
    ("super_resolution", 1024): "the x4 upscaler",
}
Prompts = tuple[Conditioning, Conditioning]


def encode_text(clip: Any, prompt: str) -> Conditioning:
    """A prompt, encoded by a CLIP of ComfyUI's.

    Raises:
        CheckpointError: there is no CLIP.
    """
    if clip is None:
        raise missing("CLIP")
    return to_context(clip.encode_from_tokens_scheduled(clip.tokenize(prompt)), "prompt")


def same_length(positive: Conditioning, negative: Conditioning) -> Prompts:
    """Both prompts with as many tokens: a shorter one is repeated, as ComfyUI does to batch them."""
    one, other = repeat_to_one_length([positive.text, negative.text])
    return replace(positive, text=one), replace(negative, text=other)


def check_file(path: Path, kind: str, prompts: Prompts) -> None:
    """Checks, before anything takes long, that a file is the one of the three, and that prompts fit it.

    Raises:
        CheckpointError: it is another file, or the prompts come from the CLIP of another family.
    """
    file = open_weights(path)
    check_kind(file, kind)
    wanted = lavie_unet_config(file.shapes)["cross_attention_dim"]
    width = prompts[0].text.shape[-1]
    if width != wanted:
        source = SOURCES.get((kind, wanted), "the models that the file was trained with")
        raise CheckpointError(
            got=f"a CLIP that gives text of width {width}",
            expected=f"text of width {wanted}: the CLIP of {source}",
            mend="Connect that CLIP, from Load Checkpoint; for the tiny_lavie files, it is that of Load Demo Cascade.",
        )


def check_vae(vae: Any, factor: int, wanted: str) -> None:
    """Raises `CheckpointError` unless a VAE has four channels and shrinks pictures by `factor`."""
    check_has_vae(vae)
    channels, found = vae.latent_channels, vae.spacial_compression_decode()
    if (channels, found) != (4, factor):
        raise CheckpointError(
            got=f"a VAE of {channels} channels that enlarges {found} times",
            expected=f"{wanted}: 4 channels, {factor} times",
            mend="Connect that VAE, from Load Checkpoint; for the tiny_lavie files, it is that of Load Demo Cascade.",
        )
