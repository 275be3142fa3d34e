"""A T2I-Adapter that shows the frozen UNet the edges of a picture: `tav_core.edges`, white lines on black."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import T2IAdapter, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from ...trainers.adapter import early_timesteps
from ...trainers.common import Log, learning_rate, set_learning_rate
from ...trainers.unet import draw, make_scheduler
from ..edit_masks import edge_hints
from ..stills import SEED
from .device import DEVICE, prepare_device
from .paths import LOG, MODEL
from .stills import load_stills
from .text import embed_captions
from .unet import add_noise
from .vae import encode_stills

NUM_STEPS, PEAK_RATE, WARM_UP, BATCH = 2000, 1e-3, 100, 64
# So many stills are enough for so small a network.
NUM_STILLS = 20_000
LOG_EVERY = 100


def make_adapter() -> T2IAdapter:
    """An untrained adapter for the UNet's widths, laid out like Stable Diffusion 1.x's for Canny edges."""
    return T2IAdapter(
        in_channels=1, channels=[64, 128, 192], num_res_blocks=1, downscale_factor=8, adapter_type="full_adapter"
    )


def hints_of(pictures: np.ndarray) -> Tensor:
    """The edges of pictures, uint8 `n h w 3`, as the adapter takes them: `n 1 h w`, 0 or 1."""
    return edge_hints(torch.tensor(pictures).float() / 255).movedim(-1, 1)


class AdapterCourse:
    """The adapter, its optimizer, and the stills that the UNet was trained on."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.adapter = make_adapter().to(DEVICE).train()
        self.optimizer = torch.optim.AdamW(self.adapter.parameters(), weight_decay=1e-2)
        unet = UNet2DConditionModel.from_pretrained(MODEL / "unet").float().requires_grad_(False)
        self.unet = unet.eval().to(DEVICE, memory_format=torch.channels_last)
        self.alphas = make_scheduler().alphas_cumprod.to(DEVICE)
        latents = encode_stills()
        self.latents = latents[:NUM_STILLS] / latents.std()
        self.pictures = load_stills()[0]
        self.embeddings, captions = embed_captions()
        self.captions = captions[:NUM_STILLS]

    def loss(self, step: int) -> Tensor:
        """The loss on the stills, captions and noise of a step."""
        chosen, captions = draw(self.captions, step, BATCH)
        latents, timesteps = self.latents[chosen].to(DEVICE), early_timesteps(BATCH).to(DEVICE)
        noise = torch.randn_like(latents)
        noisy = add_noise(latents, noise, self.alphas[timesteps]).contiguous(memory_format=torch.channels_last)
        features = self.adapter(hints_of(self.pictures[chosen]).to(DEVICE))
        context = self.embeddings[captions].to(DEVICE)
        predicted = self.unet(noisy, timesteps, context, down_intrablock_additional_residuals=features).sample
        return F.mse_loss(predicted, noise)

    def train_step(self, step: int) -> Tensor:
        """One optimizer step; returns its loss."""
        set_learning_rate(self.optimizer, learning_rate(step, NUM_STEPS, PEAK_RATE, WARM_UP))
        loss = self.loss(step)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.adapter.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()


def train_adapter() -> None:
    """Trains the adapter and saves it in fp16."""
    prepare_device()
    course, log, losses = AdapterCourse(), Log("adapter", NUM_STEPS, LOG), []
    for step in range(NUM_STEPS):
        losses.append(course.train_step(step))
        if (step + 1) % LOG_EVERY == 0:
            loss, losses = float(torch.stack(losses).mean()), []
            log.write(step + 1, loss=loss)
    course.adapter.eval().cpu().half().save_pretrained(MODEL / "t2i_adapter")
