"""The interpolation: every frame between key frames, from noise and the latents of the keys."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tav_core.models.conditioning import Conditioning
from tav_core.sampling.interpolate import FACTOR, interpolated_length, key_of_each

from ...creatures.trainers.device import DEVICE
from ...creatures.trainers.unet import add_noise, stratified_timesteps
from .course import AT_ONCE, Budget, Course, Recorded, error_of, in_turn, noise_for, pick, pick_texts, start, to_device
from .encode import NO_PROMPT, SUFFIX, embed_captions, encode_frames
from .nets import make_interpolation, save_unet
from .schedules import linear_alphas, loss_weights
from .settings import FILES, SEED, Amounts
from .stills import trained_stills

# Key frames of a window, clips of a step, and how often of eight steps.
WINDOWS = ((5, 4, 5), (9, 2, 2), (16, 1, 1))
PEAK_RATE = 8e-4


def train_interpolation(amounts: Amounts, budget: Budget) -> None:
    """Trains the interpolation and saves it."""
    course = interpolation_course(amounts, budget, trained_stills())
    try:
        course.run()
    finally:
        save_unet(course.averaged(), FILES["interpolation"])


def interpolation_course(amounts: Amounts, budget: Budget, stills: UNet2DConditionModel) -> Course:
    """The training on windows of dense clips, from a UNet that knows stills."""
    torch.manual_seed(SEED)
    latents = encode_frames("dense", amounts).to(DEVICE)
    texts = to_device(*embed_captions("dense", amounts, others=("", NO_PROMPT), suffix=SUFFIX))
    unet, alphas = start(make_interpolation(stills)), linear_alphas("interpolation")
    weights = loss_weights(alphas)

    def call(noisy: Tensor, timesteps: Tensor, text: Tensor, keys: Tensor) -> Tensor:
        return unet(noisy, timesteps, Conditioning(text=text, channels=keys))

    predict = Recorded(call, unet)
    given = {keys: FACTOR * torch.tensor(key_of_each(keys), device=DEVICE) for keys, _, _ in WINDOWS}
    spans = {keys: torch.arange(interpolated_length(keys), device=DEVICE) for keys in given}

    def loss(step: int) -> Tensor:
        num_keys, count = in_turn(step, WINDOWS)
        count *= AT_ONCE
        chosen, first = pick(count, len(latents)), pick(count, latents.shape[1] - len(spans[num_keys]) + 1)
        timesteps = stratified_timesteps(count, DEVICE)
        clean = latents[chosen[:, None], first[:, None] + spans[num_keys]].float().transpose(1, 2)
        backwards = pick(count, 2).bool()
        clean = torch.where(backwards.view(-1, 1, 1, 1, 1), clean.flip(2), clean)
        keys = clean.index_select(2, given[num_keys])
        noise, text = noise_for(clean), pick_texts(texts, chosen, no_text=2, backwards=backwards)
        predicted = predict(add_noise(clean, noise, alphas[timesteps]), timesteps, text, keys)
        return error_of(predicted, noise, weights, timesteps).mean()

    return Course("lavie interpolation", unet, loss, budget=budget, peak=PEAK_RATE)
