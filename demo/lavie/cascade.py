"""The trained cascade as three functions of frames, by the library's public functions."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from tav_core.checkpoints.lavie import load_lavie
from tav_core.checkpoints.load import load_checkpoint
from tav_core.checkpoints.upscaler_parts import load_upscaler_parts
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.models.latents import decode_latents, encode_frames
from tav_core.models.text import encode_prompt
from tav_core.sampling.interpolate import interpolate
from tav_core.sampling.keep_colors import keep_colors
from tav_core.sampling.lavie_config import InterpolateConfig, TextToVideoConfig, UpscaleConfig
from tav_core.sampling.text_to_video import text_to_video
from tav_core.sampling.upscale import upscale

from ..world.world import SIZE

HERE = Path(__file__).parent
SD_MODEL = HERE.parent / "model"
STEPS, CHUNK_OVERLAP = 30, 2
# Whole videos of so few pixels need less guidance than photographs.
GUIDANCE = 5.0


class Cascade:
    """Text to video, interpolation and super-resolution with the demo's weights; each model is read when needed.

    Args:
        folder: where the three models are.
        upscaler: the folder of the upscaler's autoencoder.
        device: where they compute.
        steps: sampling steps of each.
    """

    def __init__(
        self,
        folder: Path = HERE / "model",
        upscaler: Path = HERE / "upscaler",
        *,
        device: str = "cpu",
        steps: int = STEPS,
    ) -> None:
        self.folder, self.upscaler, self.device, self.steps = folder, upscaler, device, steps
        self.sd = load_checkpoint(SD_MODEL, device=device)
        self.denoisers: dict[str, UNetDenoiser] = {}

    def denoiser(self, kind: str) -> UNetDenoiser:
        """One of the three models, read once."""
        if kind not in self.denoisers:
            model = load_lavie(self.folder / f"tiny_lavie_{kind}.safetensors", kind, device=self.device)
            self.denoisers[kind] = UNetDenoiser(unet=model.unet, schedule=model.schedule)
        return self.denoisers[kind]

    @cached_property
    def upscaler_vae(self) -> AutoencoderKL:
        """The autoencoder of super-resolution, which enlarges four times."""
        return load_upscaler_parts(self.upscaler, device=self.device).vae

    def text(self, prompt: str) -> Tensor:
        """The embeddings of a prompt, `1 m d`."""
        return encode_prompt(self.sd, prompt).text

    def make(self, prompt: str, *, seed: int = 0, guidance: float = GUIDANCE, num_frames: int = 16) -> np.ndarray:
        """A video of a prompt, float32 `f h w 3` in [0, 1]."""
        config = TextToVideoConfig(
            num_frames=num_frames,
            width=SIZE,
            height=SIZE,
            num_steps=self.steps,
            guidance_scale=guidance,
            sampler="ddim",
            seed=seed,
        )
        latents = text_to_video(self.denoiser("base"), self.text(prompt), self.text(""), config=config)
        return decode_latents(self.sd.vae, latents)[0].cpu().numpy()

    def interpolate(self, frames: np.ndarray, prompt: str, *, seed: int = 0, guidance: float = 1.0) -> np.ndarray:
        """A video of k frames as one of 4k - 3."""
        config = InterpolateConfig(num_steps=self.steps, seed=seed, guidance_scale=guidance)
        keys = encode_frames(self.sd.vae, torch.from_numpy(frames).to(self.device)).mean
        texts = self.text(prompt + config.prompt_suffix), self.text(config.negative)
        latents = interpolate(self.denoiser("interpolation"), keys, *texts, config=config)
        return decode_latents(self.sd.vae, latents)[0].cpu().numpy()

    def upscale(self, frames: np.ndarray, prompt: str, *, seed: int = 0, num_steps: int | None = None) -> np.ndarray:
        """A video four times as wide and high, in the colors of the small one; in the cascade's steps or others."""
        drawn = torch.from_numpy(self.draw_large(frames, prompt, seed=seed, num_steps=num_steps))
        return keep_colors(drawn, torch.from_numpy(frames)).numpy()

    def draw_large(
        self,
        frames: np.ndarray,
        prompt: str,
        *,
        seed: int = 0,
        num_steps: int | None = None,
        overlap: int = CHUNK_OVERLAP,
    ) -> np.ndarray:
        """What the model draws four times as wide and high; its chunks of eight frames share `overlap` frames."""
        steps = num_steps or self.steps
        config = UpscaleConfig(num_steps=steps, seed=seed, guidance_scale=1.0, chunk_overlap=overlap)
        texts = self.text(prompt), self.text(config.negative)
        small = torch.from_numpy(frames).to(self.device)
        latents = upscale(self.denoiser("super_resolution"), small, *texts, config=config)
        return decode_latents(self.upscaler_vae, latents)[0].cpu().numpy()
