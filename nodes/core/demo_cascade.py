"""What the bundled small LaVie has beside its UNets, as core's own objects."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...tav_core.sampling.upscale import TIMES
from .demo import HERE, load_text_encoder, load_vae

MODEL, UPSCALER_VAE = HERE / "model", HERE / "lavie" / "upscaler" / "vae"


class CascadeParts(NamedTuple):
    """CLIP and VAE of text to video and interpolation, and the VAE of super-resolution; the CLIP serves all three."""

    clip: Any
    vae: Any
    upscaler_vae: Any


def load_cascade_parts() -> CascadeParts:
    """The parts from the files that come with the pack."""
    upscaler_vae = load_vae(UPSCALER_VAE)
    # ComfyUI takes an autoencoder whose sizes it is told for one that enlarges eight times.
    upscaler_vae.upscale_ratio = upscaler_vae.downscale_ratio = TIMES
    return CascadeParts(load_text_encoder(MODEL), load_vae(MODEL / "vae"), upscaler_vae)
