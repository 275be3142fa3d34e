"""Draws stills with the model in Stable Diffusion XL's layout, by diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline

from tav_core.layouts import VAE_FACTOR

from .xl import FOLDER


class XLSampler:
    """The model in fp32, with what scores ask of `Sampler` in demo/trainers/sample_stills.py."""

    def __init__(self, model: Path = FOLDER / "model") -> None:
        self.pipeline = StableDiffusionXLPipeline.from_pretrained(model)
        self.pipeline.set_progress_bar_config(disable=True)
        self.vae = self.pipeline.vae.eval()

    @torch.no_grad()
    def sample(self, prompts: list[str], seed: int, steps: int = 30, guidance: float = 7.5) -> np.ndarray:
        """One still for each prompt, float32 `n h w c` in [0, 1]: DDIM, classifier-free guidance, noise from `seed`."""
        side = self.pipeline.unet.config.sample_size
        latents = torch.randn(len(prompts), 4, side, side, generator=torch.Generator().manual_seed(seed))
        size = {"height": side * VAE_FACTOR, "width": side * VAE_FACTOR}
        # Encoded as in the training: without it, the pipeline would take zeros for models that say so.
        empty = {"negative_prompt": [""] * len(prompts)}
        settings = {"num_inference_steps": steps, "guidance_scale": guidance, "output_type": "np"}
        return self.pipeline(prompts, latents=latents, **empty, **size, **settings).images

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Pictures, float32 `n h w c` in [0, 1], of scaled latents `n c h w`."""
        pictures = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return ((pictures + 1) / 2).clamp(0, 1).movedim(1, -1).numpy()
