"""The autoencoder (f = 8, four latent channels), trained on stills alone, in a course that resumes where it stopped."""

from __future__ import annotations

import time

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from ...trainers.common import Log, learning_rate, save_state, set_learning_rate
from ...trainers.vae import make_vae, to_input
from ...trainers.vae_start import start_linear
from ..stills import SEED
from .device import DEVICE, prepare_device
from .paths import CACHE, LOG, MODEL
from .stills import load_stills

STATE = CACHE / "vae_state.pt"
# Steps on crops of 64, which teach most at a quarter of the cost, and then on whole pictures.
NUM_CROPS, NUM_WHOLE = 4000, 500
CROP = 64
BATCH = 64
PEAK_RATE = 1e-3
KL_WEIGHT = 3e-4
EDGE_WEIGHT = 0.4
# How much more the error counts where a picture has contrast around it.
DETAIL_WEIGHT = 3.0
# The first stills, which the starting weights are fitted on.
NUM_START = 32
# The last stills are not trained on, to measure on.
NUM_HELD = 200
SAVE_EVERY = 100


def detail(target: Tensor) -> Tensor:
    """Where pictures `n 3 h w` have contrast: the deviation within 9 x 9 pixels, `n 1 h w`, 1 at the most."""
    mean = F.avg_pool2d(target, 9, 1, 4, count_include_pad=False)
    square = F.avg_pool2d(target**2, 9, 1, 4, count_include_pad=False)
    deviation = (square - mean**2).clamp(min=0).sum(1, keepdim=True).sqrt()
    return (2 * deviation).clamp(max=1)


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 and squared error, heavier where there is contrast, and L1 of the differences between neighbours."""
    weight = 1 + DETAIL_WEIGHT * detail(target)
    weight = weight / weight.mean()
    error = output - target
    edges = sum(F.l1_loss(output.diff(dim=axis), target.diff(dim=axis)) for axis in (-1, -2))
    return (weight * (error.abs() + 2 * error**2)).mean() + EDGE_WEIGHT * edges


def loss_of(vae: AutoencoderKL, target: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the KL part of it."""
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=has_fast_bfloat16()):
        posterior = vae.encode(target).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        sample = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        output = vae.decode(sample).sample
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    return reconstruction_loss(output.float(), target) + KL_WEIGHT * kl, kl


def has_fast_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 itself; where it does not, bfloat16 is several times slower."""
    return DEVICE.type == "cuda" or torch.cpu._is_avx512_bf16_supported()


def draw_batch(pictures: Tensor, side: int, step: int) -> Tensor:
    """A step's crops of pictures `n h w 3` uint8: `n 3 side side` in [-1, 1]."""
    rng = np.random.default_rng([SEED, step])
    torch.manual_seed(SEED + step)
    chosen = torch.from_numpy(rng.integers(0, len(pictures) - NUM_HELD, BATCH)).to(pictures.device)
    top, left = rng.integers(0, pictures.shape[1] - side + 1, 2)
    return to_input(pictures[chosen, top : top + side, left : left + side])


@torch.no_grad()
def peak_signal_to_noise(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Decibels between pictures, uint8 `n h w 3`, and what the autoencoder makes of them."""
    target = to_input(pictures)
    restored = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in target.split(20)])
    error = ((restored.clamp(-1, 1) - target) / 2) ** 2
    return float(-10 * error.mean((1, 2, 3)).log10().mean())


class VaeCourse:
    """The autoencoder, its optimizer and its step, kept on disk."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.pictures = torch.from_numpy(np.array(load_stills()[0])).to(DEVICE)
        self.vae = make_vae()
        start_linear(self.vae, to_input(self.pictures[:NUM_START].cpu()))
        self.vae = self.vae.to(DEVICE, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.AdamW(self.vae.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)
        self.step = 0
        if STATE.exists():
            state = torch.load(STATE, weights_only=True, map_location=DEVICE)
            self.vae.load_state_dict(state["vae"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    def save(self) -> None:
        """Writes the state."""
        parts = {"vae": self.vae.state_dict(), "optimizer": self.optimizer.state_dict()}
        save_state(STATE, {**parts, "step": self.step})

    def train_step(self) -> Tensor:
        """One optimizer step; returns its loss."""
        num_steps = NUM_CROPS + NUM_WHOLE
        set_learning_rate(self.optimizer, learning_rate(self.step, num_steps, PEAK_RATE, 50))
        side = CROP if self.step < NUM_CROPS else self.pictures.shape[1]
        loss, _ = loss_of(self.vae, draw_batch(self.pictures, side, self.step))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.detach()


def train_vae() -> None:
    """Trains the autoencoder, from the cached state if there is one, and saves it in fp32 in the cache."""
    prepare_device()
    course = VaeCourse()
    num_steps = NUM_CROPS + NUM_WHOLE
    log, first, losses = Log("vae", num_steps, LOG), course.step, []
    held = course.pictures[-NUM_HELD:][:60]
    while course.step < num_steps:
        losses.append(course.train_step())
        if course.step % SAVE_EVERY == 0:
            course.save()
            decibels = peak_signal_to_noise(course.vae, held)
            loss, losses = float(torch.stack(losses).mean()), []
            log.write(course.step, first=first, loss=loss, decibels=decibels)
    course.vae.save_pretrained(CACHE / "vae")


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: np.ndarray) -> Tensor:
    """Mean latents of pictures, uint8 `n h w 3`: unscaled float32 `n c h w`, on the CPU."""
    parts = (torch.from_numpy(np.array(pictures[at : at + 50])).to(DEVICE) for at in range(0, len(pictures), 50))
    return torch.cat([vae.encode(to_input(part)).latent_dist.mean.cpu() for part in parts])


def encode_stills() -> Tensor:
    """Mean latents of all training stills, unscaled float32 `n c h w`; computed once, then cached. Also writes the
    autoencoder, with the scaling factor that gives these latents unit variance, into the model's folder in fp16."""
    kept = CACHE / "latents.pt"
    if kept.exists():
        return torch.load(kept, weights_only=True)
    prepare_device()
    vae = AutoencoderKL.from_pretrained(CACHE / "vae").to(DEVICE, memory_format=torch.channels_last)
    begun, latents = time.monotonic(), encode(vae, load_stills()[0])
    Log("latents", len(latents), LOG).write(len(latents), minutes=(time.monotonic() - begun) / 60)
    # The config must not hold the path of the cache.
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5), _name_or_path="")
    vae.cpu().half().save_pretrained(MODEL / "vae")
    torch.save(latents, kept)
    return latents
