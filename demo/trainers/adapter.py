"""Stage 4: a T2I-Adapter that tells the frozen UNet where the object is and how large (see discs.py)."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import T2IAdapter, UNet2DConditionModel
from torch.nn import functional as F

from ..world.discs import discs
from .common import MODEL, SEED, Log, learning_rate, set_learning_rate, speed_up_group_norm, training_scenes
from .text import embed_captions
from .unet import WARM_UP, draw, make_scheduler
from .vae import encode_stills

NUM_STEPS, PEAK, BATCH = 2000, 1e-3, 16


def make_adapter() -> T2IAdapter:
    """An untrained adapter of the demo's size, laid out like Stable Diffusion 1.x's."""
    return T2IAdapter(
        in_channels=1, channels=[64, 128, 128], num_res_blocks=1, downscale_factor=8, adapter_type="full_adapter"
    )


def early_timesteps(count: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Random timesteps, mostly noisy ones: those decide places (T2I-Adapter, Mou et al. 2023, section 3.3)."""
    return (1000 * (1 - torch.rand(count, device=device) ** 3)).long().clamp(max=999)


class AdapterTrainer:
    """The adapter, its optimizer and the stills that the UNet was trained on."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.adapter = make_adapter().train()
        self.optimizer = torch.optim.AdamW(self.adapter.parameters(), weight_decay=1e-2)
        unet = UNet2DConditionModel.from_pretrained(MODEL / "unet").float().requires_grad_(False)
        self.unet = unet.eval().to(memory_format=torch.channels_last)
        self.scheduler = make_scheduler()
        latents = encode_stills()
        self.latents = latents / latents.std()
        self.embeddings, self.captions = embed_captions()
        self.scenes = training_scenes()

    def loss(self, step: int) -> torch.Tensor:
        """The loss on the stills, captions and noise of a step."""
        chosen, captions = draw(self.captions, step, BATCH)
        hints = discs([self.scenes[i] for i in chosen]).movedim(-1, 1)
        latents, timesteps = self.latents[chosen], early_timesteps(BATCH)
        noise = torch.randn_like(latents)
        noisy = self.scheduler.add_noise(latents, noise, timesteps).contiguous(memory_format=torch.channels_last)
        features = self.adapter(hints)
        predicted = self.unet(
            noisy, timesteps, self.embeddings[captions], down_intrablock_additional_residuals=features
        ).sample
        return F.mse_loss(predicted, noise)

    def train_step(self, step: int) -> float:
        """One optimizer step; returns its loss."""
        set_learning_rate(self.optimizer, learning_rate(step, NUM_STEPS, PEAK, WARM_UP))
        loss = self.loss(step)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.adapter.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


def train_adapter() -> None:
    """Trains the adapter and saves it in fp16."""
    speed_up_group_norm()
    trainer, log, losses = AdapterTrainer(), Log("adapter", NUM_STEPS), []
    for step in range(NUM_STEPS):
        losses.append(trainer.train_step(step))
        if (step + 1) % 50 == 0:
            log.write(step + 1, loss=float(np.mean(losses[-50:])))
    trainer.adapter.eval().half().save_pretrained(MODEL / "t2i_adapter")
