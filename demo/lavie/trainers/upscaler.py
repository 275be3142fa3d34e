"""The upscaler: sharp latents from noise and a low-resolution video with a little noise on it."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from tav_core.models.conditioning import Conditioning

from ...creatures.trainers.device import DEVICE
from ...creatures.trainers.unet import add_noise, stratified_timesteps
from ...trainers.common import save_state
from ...trainers.unet import SNR_CEILING
from ...trainers.vae import to_input
from .course import AT_ONCE, Budget, Course, Recorded, noise_for, pick, pick_texts, start, to_device
from .encode import BAD, BATCH, embed_captions, restored, sd_autoencoder
from .nets import make_upscaler, save_unet
from .render import SCALE, chunk_paths
from .schedules import linear_alphas
from .settings import CACHE, FILES, SEED, Amounts

VIDEOS, PEAK_RATE = 8 * AT_ONCE, 8e-4
# The highest level of noise on the low resolution; most are far lower.
HIGHEST_LEVEL = 350


@torch.no_grad()
def load_pairs(amounts: Amounts) -> tuple[Tensor, Tensor]:
    """Latents of crops, float16 `n k f c h w`, and the low resolution of each, twice: as rendered, and as blurred as
    generated frames, uint8 `2 n k f h w 3`. Computed once, then kept."""
    kept = CACHE / "sharp_pairs.pt"
    if not kept.exists():
        pairs = (torch.cat(parts, dim=axis) for axis, parts in zip((0, 1), make_pairs(amounts), strict=True))
        save_state(kept, tuple(pairs))
    return torch.load(kept, weights_only=True)


def make_pairs(amounts: Amounts) -> tuple[list[Tensor], list[Tensor]]:
    """The parts of `load_pairs`, file by file."""
    own = AutoencoderKL.from_pretrained(CACHE / "vae").eval().to(DEVICE)
    sd, sharp, low = sd_autoencoder(), [], []
    for path, _ in chunk_paths("sharp", amounts):
        with np.load(path) as parts:
            crops, frames, corners = parts["crops"], parts["frames"], parts["corners"]
        flat = torch.from_numpy(crops.reshape(-1, *crops.shape[3:]))
        means = [own.encode(to_input(part.to(DEVICE))).latent_dist.mean.cpu() for part in flat.split(BATCH)]
        sharp.append((torch.cat(means).unflatten(0, crops.shape[:3]) * own.config.scaling_factor).half())
        side = crops.shape[3] // SCALE
        seen = [cut(each, corners, side) for each in (frames, restored(sd, frames))]
        low.append(torch.from_numpy(np.stack(seen)))
    return sharp, low


def cut(frames: np.ndarray, corners: np.ndarray, side: int) -> np.ndarray:
    """Crops of frames `n f h w 3` at corners `n k 2`: `n k f side side 3`."""
    return np.stack(
        [
            np.stack([clip[:, y : y + side, x : x + side] for y, x in places])
            for clip, places in zip(frames, corners, strict=True)
        ]
    )


def train_upscaler(amounts: Amounts, budget: Budget, *, videos: int = VIDEOS) -> None:
    """Trains the upscaler and saves it."""
    course = upscaler_course(amounts, budget, videos)
    try:
        course.run()
    finally:
        save_unet(course.averaged(), FILES["super_resolution"])


def upscaler_course(amounts: Amounts, budget: Budget, videos: int = VIDEOS) -> Course:
    """The training on crops of sharp clips, from the noise of LaVie's schedule, to the velocity."""
    torch.manual_seed(SEED)
    sharp, low = to_device(*load_pairs(amounts))
    texts = to_device(*embed_captions("sharp", amounts, others=("", BAD)))
    unet, alphas = start(make_upscaler()), linear_alphas("super_resolution")
    low_alphas = linear_alphas("low_resolution")
    snr = alphas / (1 - alphas)
    weights = snr.clamp(max=SNR_CEILING) / (snr + 1)

    def call(noisy: Tensor, timesteps: Tensor, text: Tensor, small: Tensor, levels: Tensor) -> Tensor:
        return unet(noisy, timesteps, Conditioning(text=text, channels=small, noise_level=levels))

    predict = Recorded(call, unet)

    def loss(step: int) -> Tensor:
        chosen, crop, blurred = pick(videos, len(sharp)), pick(videos, sharp.shape[1]), pick(videos, 2)
        timesteps = stratified_timesteps(videos, DEVICE)
        levels = (HIGHEST_LEVEL * torch.rand(videos, device=DEVICE) ** 2).long()
        clean = sharp[chosen, crop].float().transpose(1, 2)
        small = rearrange(low[blurred, chosen, crop].float() / 127.5 - 1, "b f h w c -> b c f h w")
        small = add_noise(small, torch.randn_like(small), low_alphas[levels])
        noise, text = noise_for(clean), pick_texts(texts, chosen, no_text=2)
        alpha = alphas[timesteps].view(-1, 1, 1, 1, 1)
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        predicted = predict(add_noise(clean, noise, alphas[timesteps]), timesteps, text, small, levels)
        each = F.mse_loss(predicted, velocity, reduction="none").mean((1, 2, 3, 4))
        return (each * weights[timesteps]).mean()

    return Course("lavie upscaler", unet, loss, budget=budget, peak=PEAK_RATE)
