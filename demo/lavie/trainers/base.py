"""The base: a UNet that knows stills learns clips, by layers over time, and more stills beside (LaVie, section 3.2)."""

from __future__ import annotations

import copy
import dataclasses

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tav_core.models.conditioning import Conditioning

from ...creatures.trainers.device import DEVICE
from ...creatures.trainers.unet import add_noise, stratified_timesteps
from ..moving_scenes import NUM_DENSE, NUM_FRAMES
from .course import AT_ONCE, Budget, Course, Recorded, error_of, in_turn, noise_for, pick, pick_texts, start, to_device
from .encode import embed_captions, encode_frames
from .nets import make_base, save_unet
from .schedules import linear_alphas, loss_weights
from .settings import FILES, SEED, Amounts
from .stills import Texts, load_stills, trained_stills

PEAK_RATE = 5e-4
# Neighbouring frames of a clip, clips of a step, and how often of three steps.
WINDOWS = ((8, 8, 2), (NUM_FRAMES, 4, 1))
# How much the pictures' loss counts beside the clips'.
IMAGE_WEIGHT = 0.5
# A clip of 16 frames is every fourth, third or second frame of a dense clip.
STRIDES = (4, 3, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lesson:
    """How a base is taught.

    Args:
        images: stills beside each clip; without any, the base learns from clips alone.
        positions: what its temporal attention knows of a frame's place, see `inflate_base`.
        seed: of all draws.
        name: of the course's state and in the log.
    """

    images: int = 2
    positions: str = "lavie"
    seed: int = SEED
    name: str = "lavie base"


@dataclasses.dataclass(frozen=True)
class Clips:
    """Latents of clips that are kept in files, float16 `n f c h w`, and their texts, for both directions of time."""

    whole: Tensor
    dense: Tensor
    texts: Texts

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Random clips, half of them backwards.

        Returns:
            latents, float32 `count 16 c h w`; which clips these are, as rows of `texts`; which are backwards.
        """
        chosen, backwards = pick(count, len(self.whole) + len(self.dense)), pick(count, 2).bool()
        strides, starts = pick(count, len(STRIDES)), torch.rand(count, device=DEVICE)
        short = chosen < len(self.whole)
        strides = torch.where(short, 1, torch.tensor(STRIDES, device=DEVICE)[strides])
        firsts = (starts * (torch.where(short, NUM_FRAMES, NUM_DENSE) - strides * (NUM_FRAMES - 1))).long()
        at = firsts[:, None] + strides[:, None] * torch.arange(NUM_FRAMES, device=DEVICE)
        # Each index is right for one of the two, which is taken.
        whole = self.whole[chosen.clamp(max=len(self.whole) - 1)]
        dense = self.dense[(chosen - len(self.whole)).clamp(min=0)[:, None], at]
        clean = torch.where(short.view(-1, 1, 1, 1, 1), whole, dense).float()
        return torch.where(backwards.view(-1, 1, 1, 1, 1), clean.flip(1), clean), chosen, backwards


def load_clips(amounts: Amounts) -> Clips:
    """All clips and dense clips, on the device."""
    (table, rows), (more, more_rows) = (embed_captions(kind, amounts) for kind in ("clips", "dense"))
    texts = torch.cat([table, more]), torch.cat([rows, more_rows + len(table)])
    return Clips(*to_device(encode_frames("clips", amounts), encode_frames("dense", amounts)), to_device(*texts))


def train_base(amounts: Amounts, budget: Budget, lesson: Lesson | None = None) -> None:
    """Trains the base on clips and stills together, and saves it."""
    course = base_course(amounts, budget, trained_stills(), lesson or Lesson())
    try:
        course.run()
    finally:
        save_unet(course.averaged(), FILES["base"])


def base_course(amounts: Amounts, budget: Budget, stills: UNet2DConditionModel, lesson: Lesson) -> Course:
    """The training on clips and stills, from a UNet that knows stills."""
    torch.manual_seed(lesson.seed)
    images = lesson.images
    clips, (pictures, picture_texts) = load_clips(amounts), load_stills(amounts)
    # A copy, because the inflated UNet shares its weights.
    unet, alphas = start(make_base(copy.deepcopy(stills), positions=lesson.positions)), linear_alphas()
    weights = loss_weights(alphas)

    def call(noisy: Tensor, timesteps: Tensor, text: Tensor, *image_text: Tensor) -> Tensor:
        return unet(noisy, timesteps, Conditioning(text=text, image_text=image_text[0] if images else None))

    predict = Recorded(call, unet)

    def loss(step: int) -> Tensor:
        num_frames, videos = in_turn(step, WINDOWS)
        videos *= AT_ONCE
        clean, chosen, backwards = clips.draw(videos)
        first = int(torch.randint(NUM_FRAMES - num_frames + 1, ()))
        clean = clean[:, first : first + num_frames]
        texts = [pick_texts(clips.texts, chosen, no_text=1, backwards=backwards)]
        if images:
            others = pick(videos * images, len(pictures))
            clean = torch.cat([clean, pictures[others].unflatten(0, (videos, images))], dim=1)
            texts.append(pick_texts(picture_texts, others, no_text=1).unflatten(0, (videos, images)))
        clean, timesteps = clean.transpose(1, 2), stratified_timesteps(videos, DEVICE)
        # The stills have the clip's errors, too: no layer looks from one to the other.
        noise = noise_for(clean)
        predicted = predict(add_noise(clean, noise, alphas[timesteps]), timesteps, *texts)
        each = error_of(predicted, noise, weights, timesteps)
        moving, still = each[:, :num_frames].mean(), each[:, num_frames:]
        return moving + IMAGE_WEIGHT * still.mean() if images else moving

    return Course(lesson.name, unet, loss, budget=budget, peak=PEAK_RATE, seed=lesson.seed)
