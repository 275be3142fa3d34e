"""The upscaler's autoencoder (f = 4, four latent channels), trained on crops of sharp frames and on small ones."""

from __future__ import annotations

import shutil

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from ...creatures.trainers.device import DEVICE
from ...creatures.trainers.vae import has_fast_bfloat16, reconstruction_loss
from ...trainers.vae import to_input
from ...trainers.vae_start import start_linear
from ...world.world import SIZE
from .course import AT_ONCE, Budget, Course, pick, start
from .nets import FACTOR, make_autoencoder
from .render import load_parts
from .settings import CACHE, SD_MODEL, SEED, UPSCALER_FOLDER, Amounts

BATCH, SIDE, PEAK_RATE = 32 * AT_ONCE, 64, 8e-4
# Small, because the upscaler's latents hold 12 numbers of a picture each.
KL_WEIGHT = 1e-4
NUM_MEASURED = 48


def load_pictures(amounts: Amounts) -> Tensor:
    """Crops of sharp frames and small frames, uint8 `n h w 3`, on the device."""
    crops = load_parts("sharp", "crops", amounts)[:, :, ::2].reshape(-1, SIZE, SIZE, 3)
    stills = load_parts("stills", "frames", amounts)[: max(len(crops) // 2, 1), 0]
    order = np.random.default_rng(SEED).permutation(len(crops) + len(stills))
    return torch.from_numpy(np.concatenate([crops, stills])[order]).to(DEVICE)


def loss_of(vae: AutoencoderKL, target: Tensor) -> Tensor:
    """The reconstruction loss and a little of the KL divergence."""
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=has_fast_bfloat16()):
        posterior = vae.encode(target).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        sample = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        output = vae.decode(sample).sample
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
    return reconstruction_loss(output.float(), target) + KL_WEIGHT * kl


def train_vae(amounts: Amounts, budget: Budget) -> None:
    """Trains the autoencoder and saves it in fp16."""
    pictures = load_pictures(amounts)
    held, pictures = pictures[:NUM_MEASURED], pictures[min(NUM_MEASURED, len(pictures) // 4) :]
    torch.manual_seed(SEED)
    vae = make_autoencoder()
    start_linear(vae, to_input(pictures[:24].cpu()))
    vae = start(vae)

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([SEED, step])
        top, left = rng.integers(0, pictures.shape[1] - SIDE + 1, 2)
        chosen = pick(BATCH, len(pictures))
        return loss_of(vae, to_input(pictures[chosen, top : top + SIDE, left : left + SIDE]))

    course = Course("lavie vae", vae, loss, budget=budget, peak=PEAK_RATE)
    print(f"lavie vae starts at {decibels(vae, held):.2f} dB", flush=True)
    course.run()
    trained = course.averaged()
    print(f"lavie vae ends at {decibels(trained, held):.2f} dB", flush=True)
    rescale(trained, pictures[:200])
    print(f"lavie vae, scaled, {decibels(trained, held):.2f} dB", flush=True)
    trained.register_to_config(_name_or_path="")
    trained.float().cpu().save_pretrained(CACHE / "vae")
    save_upscaler_folder(trained)


def save_upscaler_folder(vae: AutoencoderKL) -> None:
    """Writes what the upscaler needs beside its UNet: the autoencoder in fp16, and the demo's text model."""
    vae.half().save_pretrained(UPSCALER_FOLDER / "vae")
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(SD_MODEL / part, UPSCALER_FOLDER / part, dirs_exist_ok=True)


@torch.no_grad()
def decibels(vae: AutoencoderKL, pictures: Tensor) -> float:
    """The signal-to-noise ratio of what the autoencoder makes of pictures, uint8 `n h w 3`."""
    target = to_input(pictures)
    restored = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in target.split(8)])
    error = ((restored.clamp(-1, 1) - target) / 2) ** 2
    return float(-10 * error.mean((1, 2, 3)).log10().mean())


@torch.no_grad()
def rescale(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Scales the latents in place so that `FACTOR` gives them unit variance, without changing what comes out."""
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in to_input(pictures).split(8)])
    scale = float(1 / (FACTOR * latents.std()))
    channels = vae.config.latent_channels
    vae.quant_conv.weight[:channels] *= scale
    vae.quant_conv.bias[:channels] *= scale
    # The second half is the logarithm of the variance.
    vae.quant_conv.bias[channels:] += 2 * float(np.log(scale))
    vae.post_quant_conv.weight /= scale
