"""The base's first part: a small 2-D UNet learns stills from the demo's UNet, under LaVie's noise."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from ...creatures.trainers.device import DEVICE
from ...creatures.trainers.unet import add_noise, stratified_timesteps
from ...trainers.unet import snr_weights
from .course import AT_ONCE, Budget, Course, Recorded, pick, pick_texts, start, to_device
from .encode import embed_captions, encode_frames
from .nets import make_stills_unet, save_unet
from .schedules import linear_alphas, matching_timesteps
from .settings import CACHE, SD_MODEL, SEED, Amounts

Texts = tuple[Tensor, Tensor]
BATCH, PEAK_RATE = 32 * AT_ONCE, 8e-4
TRAINED = CACHE / "stills.safetensors"


def load_stills(amounts: Amounts) -> tuple[Tensor, Texts]:
    """Latents of the stills, float32 `n c h w`, and their texts."""
    latents = encode_frames("stills", amounts)[:, 0].float()
    return latents.to(DEVICE), to_device(*embed_captions("stills", amounts))


def load_teacher() -> UNet2DConditionModel:
    """The demo's UNet, frozen, on the trainers' device."""
    teacher = UNet2DConditionModel.from_pretrained(SD_MODEL / "unet").float()
    return teacher.requires_grad_(False).eval().to(DEVICE, memory_format=torch.channels_last)


@torch.no_grad()
def copy_what_fits(unet: UNet2DConditionModel, teacher: UNet2DConditionModel) -> UNet2DConditionModel:
    """Copies all weights of the teacher's that have a UNet's shapes into it, those of its first level above all."""
    theirs = teacher.state_dict()
    for name, own in unet.state_dict().items():
        if name in theirs and theirs[name].shape == own.shape:
            own.copy_(theirs[name])
    return unet


def train_stills(amounts: Amounts, budget: Budget, *, batch: int = BATCH) -> None:
    """Trains the 2-D UNet; the base starts from it."""
    course = stills_course(amounts, budget, batch)
    try:
        course.run()
    finally:
        save_unet(course.averaged(), TRAINED)


def trained_stills() -> UNet2DConditionModel:
    """The UNet that knows stills, as far as its training has come."""
    unet = make_stills_unet()
    unet.load_state_dict(load_file(TRAINED))
    return unet


def stills_course(amounts: Amounts, budget: Budget, batch: int = BATCH) -> Course:
    """The training on stills. What it should predict is what the teacher does where both schedules have as much noise,
    which varies less than the noise itself, and elsewhere the noise."""
    torch.manual_seed(SEED)
    (latents, texts), alphas, teacher = load_stills(amounts), linear_alphas(), load_teacher()
    unet = start(copy_what_fits(make_stills_unet(), teacher))
    weights, teachable = snr_weights(alphas), matching_timesteps(alphas)
    predict = Recorded(lambda *inputs: unet(*inputs, return_dict=False)[0], unet)

    def loss(step: int) -> Tensor:
        chosen, timesteps = pick(batch, len(latents)), stratified_timesteps(batch, DEVICE)
        clean = latents[chosen].contiguous(memory_format=torch.channels_last)
        noise, text = torch.randn_like(clean), pick_texts(texts, chosen, no_text=1)
        noisy, theirs = add_noise(clean, noise, alphas[timesteps]), teachable[timesteps]
        with torch.no_grad():
            taught = teacher(noisy, theirs.nan_to_num(0.0), text, return_dict=False)[0]
        target = torch.where(theirs.isnan().view(-1, 1, 1, 1), noise, taught)
        each = F.mse_loss(predict(noisy, timesteps, text), target, reduction="none").mean((1, 2, 3))
        return (each * weights[timesteps]).mean()

    return Course("lavie stills", unet, loss, budget=budget, peak=PEAK_RATE)
