"""The UNet, trained on the latents of the stills in a course that resumes where it stopped."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from ...trainers.common import Log, set_learning_rate, speed_up_group_norm
from ...trainers.text import WIDTH
from ...trainers.unet import make_scheduler, snr_weights
from ..stills import SEED
from .paths import CACHE, LOG, MODEL
from .text import embed_captions
from .vae import encode_stills

STATE = CACHE / "unet_state.pt"
BATCH = 32
# A warm-up, then a constant rate until COOL_DOWN, then a line to zero, so that the length can be decided late.
WARM_UP, COOL_DOWN, NUM_STEPS = 100, 7500, 9500
PEAK_RATE = 6e-4
EMA_DECAY = 0.999
EMPTY_SHARE = 0.1
LOG_EVERY, SAVE_EVERY = 50, 100


def make_unet() -> UNet2DConditionModel:
    """An untrained UNet: 8 heads and 32 groups, as Stable Diffusion 1.x has."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=32,
        cross_attention_dim=WIDTH,
    )


def rate_at(step: int) -> float:
    """The learning rate of a step."""
    left = (NUM_STEPS - step) / (NUM_STEPS - COOL_DOWN)
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP, left)


def stratified_timesteps(rng: np.random.Generator, count: int) -> Tensor:
    """One timestep from each of `count` equal parts of the schedule, in random order: losses vary less from step to
    step."""
    parts = (rng.permutation(count) + rng.random(count)) / count
    return torch.from_numpy((1000 * parts).astype(np.int64))


class UNetCourse:
    """The UNet, its moving average, optimizer and data, kept on disk."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.unet = make_unet().train().to(memory_format=torch.channels_last)
        self.average = {name: value.clone() for name, value in self.unet.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.unet.parameters(), betas=(0.9, 0.99), weight_decay=1e-3)
        self.scheduler = make_scheduler()
        self.weights = snr_weights(self.scheduler.alphas_cumprod)
        latents = encode_stills()
        self.latents = latents / latents.std()
        self.embeddings, self.captions = embed_captions()
        self.step = 0
        if STATE.exists():
            self.load()

    def load(self) -> None:
        """Takes up the course where it stopped."""
        state = torch.load(STATE, weights_only=True)
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]

    def save(self) -> None:
        """Writes the state atomically: an interrupted write leaves the old file."""
        parts = {"unet": self.unet.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**parts, "average": self.average, "step": self.step}, STATE.with_suffix(".tmp"))
        STATE.with_suffix(".tmp").replace(STATE)

    def loss(self) -> Tensor:
        """The loss of a step's batch; a step draws the same numbers whenever it is run."""
        rng = np.random.default_rng([SEED, self.step])
        torch.manual_seed(SEED + self.step)
        chosen = rng.integers(0, len(self.latents), BATCH)
        captions = self.captions[chosen, rng.integers(0, self.captions.shape[1], BATCH)]
        captions[torch.from_numpy(rng.random(BATCH) < EMPTY_SHARE)] = 0
        latents = self.latents[chosen].contiguous(memory_format=torch.channels_last)
        noise, timesteps = torch.randn_like(latents), stratified_timesteps(rng, BATCH)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        predicted = self.unet(noisy, timesteps, self.embeddings[captions]).sample
        each = F.mse_loss(predicted, noise, reduction="none").mean(dim=(1, 2, 3))
        return (each * self.weights[timesteps]).mean()

    def train_step(self) -> float:
        """One optimizer step; returns its loss."""
        set_learning_rate(self.optimizer, rate_at(self.step))
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.update_average()
        return loss.item()

    @torch.no_grad()
    def update_average(self) -> None:
        """Moves the average towards the weights, faster in the first steps."""
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for name, value in self.unet.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def averaged(self) -> UNet2DConditionModel:
        """A UNet with the moving average's weights."""
        unet = make_unet()
        unet.load_state_dict(self.average)
        return unet.eval()


def train_unet(until: int = NUM_STEPS) -> None:
    """Trains the UNet, from the cached state if there is one, and saves its average in fp16.

    Args:
        until: the step to stop at, for a look at what was learned.
    """
    speed_up_group_norm()
    course = UNetCourse()
    log, first, losses = Log("unet", NUM_STEPS, LOG), course.step, []
    while course.step < until:
        losses.append(course.train_step())
        if course.step % LOG_EVERY == 0:
            log.write(course.step, first=first, loss=float(np.mean(losses[-LOG_EVERY:])))
        if course.step % SAVE_EVERY == 0:
            course.save()
    course.save()
    course.scheduler.save_pretrained(MODEL / "scheduler")
    course.averaged().half().save_pretrained(MODEL / "unet")
