"""The base: a UNet learns stills, and then with layers over time clips and stills together (LaVie, section 3.2)."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from tav_core.models.conditioning import Conditioning
from tav_core.models.lavie.schedules import lavie_schedule

from ...creatures.trainers.device import DEVICE
from ...creatures.trainers.unet import add_noise, stratified_timesteps
from ...trainers.unet import snr_weights
from ..moving_scenes import NUM_DENSE, NUM_FRAMES
from .course import Budget, Course, Recorded, noise_for, pick, pick_texts, start, to_device
from .encode import embed_captions, encode_frames
from .nets import make_base, make_stills_unet, save_unet
from .settings import CACHE, MODEL, SEED, Amounts

Texts = tuple[Tensor, Tensor]
STILLS_BATCH, VIDEOS, IMAGES = 128, 10, 4
STILLS_RATE, PEAK_RATE = 8e-4, 5e-4
# How much the pictures' loss counts beside the clips'.
IMAGE_WEIGHT = 0.5


def linear_alphas(name: str = "base") -> Tensor:
    """Cumulative alphas of LaVie's schedules, float32 on the device."""
    schedule = lavie_schedule(name)
    return torch.tensor([schedule.alpha(step) for step in range(schedule.num_train_timesteps)], device=DEVICE)


def load_stills(amounts: Amounts) -> tuple[Tensor, Texts]:
    """Latents of the stills, float32 `n c h w`, and their texts."""
    latents = encode_frames("stills", amounts)[:, 0].float()
    return latents.to(DEVICE), to_device(*embed_captions("stills", amounts))


def load_clips(amounts: Amounts) -> tuple[Tensor, Texts]:
    """Latents of all clips of 16 frames, float16 `n f c h w`, also those within the dense clips, and their texts."""
    dense = encode_frames("dense", amounts)[:, :: (NUM_DENSE - 1) // (NUM_FRAMES - 1)]
    latents = torch.cat([encode_frames("clips", amounts), dense])
    (table, rows), (more, more_rows) = (embed_captions(kind, amounts) for kind in ("clips", "dense"))
    texts = torch.cat([table, more]), torch.cat([rows, more_rows + len(table)])
    return latents.to(DEVICE), to_device(*texts)


def train_stills(amounts: Amounts, budget: Budget, *, batch: int = STILLS_BATCH) -> None:
    """Trains a 2-D UNet on stills, under LaVie's noise; the base starts from it."""
    course = stills_course(amounts, budget, batch)
    try:
        course.run()
    finally:
        save_unet(course.averaged(), CACHE / "stills.safetensors")


def stills_course(amounts: Amounts, budget: Budget, batch: int = STILLS_BATCH) -> Course:
    """The training on stills."""
    torch.manual_seed(SEED)
    (latents, texts), alphas, unet = load_stills(amounts), linear_alphas(), start(make_stills_unet())
    weights = snr_weights(alphas)
    predict = Recorded(lambda *inputs: unet(*inputs, return_dict=False)[0], unet)

    def loss(step: int) -> Tensor:
        chosen, timesteps = pick(batch, len(latents)), stratified_timesteps(batch, DEVICE)
        clean = latents[chosen].contiguous(memory_format=torch.channels_last)
        noise, text = noise_for(clean), pick_texts(texts, chosen, no_text=1)
        predicted = predict(add_noise(clean, noise, alphas[timesteps]), timesteps, text)
        each = F.mse_loss(predicted, noise, reduction="none").mean((1, 2, 3))
        return (each * weights[timesteps]).mean()

    return Course("lavie stills", unet, loss, budget=budget, peak=STILLS_RATE)


def train_base(
    amounts: Amounts, budget: Budget, *, videos: int = VIDEOS, images: int = IMAGES, batch: int = STILLS_BATCH
) -> None:
    """Trains the base on clips and stills together, and saves it."""
    stills = stills_course(amounts, Budget(steps=1, seconds=1.0), batch).averaged()
    course = base_course(amounts, budget, stills, videos=videos, images=images)
    try:
        course.run()
    finally:
        save_unet(course.averaged(), MODEL / "base.safetensors")


def base_course(
    amounts: Amounts, budget: Budget, stills: UNet2DConditionModel, *, videos: int = VIDEOS, images: int = IMAGES
) -> Course:
    """The training on clips and stills, from a UNet that knows stills."""
    torch.manual_seed(SEED)
    clips, clip_texts = load_clips(amounts)
    pictures, picture_texts = load_stills(amounts)
    unet, alphas = start(make_base(stills)), linear_alphas()
    weights = snr_weights(alphas)

    def call(noisy: Tensor, timesteps: Tensor, text: Tensor, image_text: Tensor) -> Tensor:
        return unet(noisy, timesteps, Conditioning(text=text, image_text=image_text))

    predict = Recorded(call, unet)

    def loss(step: int) -> Tensor:
        chosen, others = pick(videos, len(clips)), pick(videos * images, len(pictures))
        timesteps = stratified_timesteps(videos, DEVICE)
        clean = torch.cat([clips[chosen].float(), pictures[others].unflatten(0, (videos, images))], dim=1).transpose(
            1, 2
        )
        text = pick_texts(clip_texts, chosen, no_text=1)
        image_text = pick_texts(picture_texts, others, no_text=1).unflatten(0, (videos, images))
        noise = noise_for(clean)
        predicted = predict(add_noise(clean, noise, alphas[timesteps]), timesteps, text, image_text)
        each = F.mse_loss(predicted, noise, reduction="none").mean((1, 3, 4)) * weights[timesteps, None]
        return each[:, :-images].mean() + IMAGE_WEIGHT * each[:, -images:].mean()

    return Course("lavie base", unet, loss, budget=budget, peak=PEAK_RATE)
