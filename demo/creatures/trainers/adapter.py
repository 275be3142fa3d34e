"""A T2I-Adapter that shows the frozen UNet the edges of a picture: `tav_core.edges`, white lines on black."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import T2IAdapter, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from tav_core.video.edges import edges

from ...trainers.adapter import early_timesteps
from ...trainers.common import Log, learning_rate, set_learning_rate
from ...trainers.unet import make_scheduler
from ..stills import SEED
from .device import DEVICE, prepare_device
from .paths import LOG, MODEL
from .stills import load_stills
from .text import embed_captions
from .unet import EMPTY_SHARE
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


def edge_hints(pictures: np.ndarray) -> Tensor:
    """The edges of pictures, uint8 `n h w 3`, as the adapter takes them: `n 1 h w`, 0 or 1."""
    return edges(torch.tensor(pictures).float() / 255)[..., :1].movedim(-1, 1)


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
        self.embeddings, self.captions = embed_captions()

    def loss(self, step: int) -> Tensor:
        """The loss on the stills, captions and noise of a step."""
        rng = np.random.default_rng([SEED, step])
        torch.manual_seed(SEED + step)
        chosen = np.sort(rng.choice(len(self.latents), BATCH, replace=False))
        captions = self.captions[chosen, rng.integers(0, self.captions.shape[1], BATCH)]
        captions[torch.from_numpy(rng.random(BATCH) < EMPTY_SHARE)] = 0
        latents, timesteps = self.latents[chosen].to(DEVICE), early_timesteps(BATCH).to(DEVICE)
        alpha, noise = self.alphas[timesteps].view(-1, 1, 1, 1), torch.randn_like(latents)
        noisy = (alpha.sqrt() * latents + (1 - alpha).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        features = self.adapter(edge_hints(self.pictures[chosen]).to(DEVICE))
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
