"""Draws stills from the trained model with plain diffusers: no clip, no attention between pictures."""

import functools
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, T2IAdapter, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from .common import MODEL
from .text import tokenize


class Sampler:
    """The demo model's parts, in fp32, and a DDIM loop around them.

    model: a diffusers folder. unet: replaces the folder's UNet, for example by one that is still being trained.
    """

    def __init__(self, model: Path = MODEL, unet: UNet2DConditionModel | None = None):
        self.model = model
        self.unet = (unet or UNet2DConditionModel.from_pretrained(model / "unet")).float().eval()
        self.vae = AutoencoderKL.from_pretrained(model / "vae").float().eval()
        self.text = CLIPTextModel.from_pretrained(model / "text_encoder").float().eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(model / "tokenizer")
        self.scheduler = DDIMScheduler.from_pretrained(model / "scheduler")

    @functools.cached_property
    def adapter(self) -> T2IAdapter:
        """The T2I-Adapter, which is trained last."""
        return T2IAdapter.from_pretrained(self.model / "t2i_adapter").float().eval()

    def embed(self, prompts: list[str]) -> torch.Tensor:
        """Text states of `prompts`, `n 77 128`."""
        return self.text(tokenize(self.tokenizer, prompts)).last_hidden_state

    @torch.no_grad()
    def sample(
        self, prompts: list[str], seed: int, steps: int = 30, guidance: float = 7.5, hints: torch.Tensor | None = None
    ) -> np.ndarray:
        """One still for each prompt, float32 `n h w c` in [0, 1]: DDIM, classifier-free guidance, noise from `seed`.

        hints: what the T2I-Adapter is shown, `n h w 1`, see discs.py; without them it is left out.
        """
        generator = torch.Generator().manual_seed(seed)
        side = self.unet.config.sample_size
        latents = torch.randn(len(prompts), 4, side, side, generator=generator)
        context = torch.cat([self.embed([""] * len(prompts)), self.embed(prompts)])
        features = None if hints is None else self.adapter(hints.movedim(-1, 1).repeat(2, 1, 1, 1))
        self.scheduler.set_timesteps(steps)
        for timestep in self.scheduler.timesteps:
            # The UNet empties the list, so each step gets a new one.
            led = {"down_intrablock_additional_residuals": features and list(features)}
            empty, prompted = self.unet(torch.cat([latents] * 2), timestep, context, **led).sample.chunk(2)
            noise = empty + guidance * (prompted - empty)
            latents = self.scheduler.step(noise, timestep, latents).prev_sample
        return self.decode(latents)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Pictures, float32 `n h w c` in [0, 1], of scaled latents `n c h w`."""
        pictures = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return ((pictures + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def contact_sheet(pictures: np.ndarray, columns: int = 12) -> np.ndarray:
    """Pictures `n h w c` side by side, row after row, as one uint8 `h w c`; n must be a multiple of `columns`."""
    rows = pictures.reshape(-1, columns, *pictures.shape[1:])
    joined = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return (joined * 255).round().astype(np.uint8)
