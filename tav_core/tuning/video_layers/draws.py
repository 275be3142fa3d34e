"""What a step of a training on clips and pictures draws: all of it comes from the seed, the step and the row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...models.conditioning import Conditioning
from ...models.schedule import draw_noise
from .captioned_latents import Captioned, CaptionedLatents
from .config import VideoLayersConfig

# What tells the order of clips from that of pictures.
CLIPS, PICTURES = 0, 1


class Row(NamedTuple):
    """What a step learns from one clip and the pictures behind it.

    Args:
        latents, noise: `1 c (f i) h w`, float32: the clip's frames, then i pictures.
        timestep: of all of them.
        context: the clip's text, and the pictures'.
    """

    latents: Tensor
    noise: Tensor
    timestep: int
    context: Conditioning


def draw_row(data: CaptionedLatents, config: VideoLayersConfig, step: int, row: int, num_timesteps: int) -> Row:
    """Draws one clip and its pictures, with their noise and captions; everything else of the step is left alone.

    Args:
        step: counted from 0.
        row: which of the step's clips, counted from 0.
        num_timesteps: timesteps are drawn from 0 to below it.
    """
    number, images = step * config.clips_per_step + row, config.images_per_clip
    generator = torch.Generator("cpu").manual_seed(seed_of(config.seed, step, row))
    clip = pick(data.clips, number, (config.seed, CLIPS))
    pictures = [pick(data.pictures, number * images + place, (config.seed, PICTURES)) for place in range(images)]
    timestep = int(torch.randint(num_timesteps, (1,), generator=generator, device="cpu"))
    latents = torch.cat([one.latents.sample(generator).float() for one in (clip, *pictures)], dim=2)
    noise = draw_noise(latents.shape, generator)
    text, *others = (draw_text(data, config, one, generator) for one in (clip, *pictures))
    context = Conditioning(text=text, image_text=torch.stack(others, dim=1) if others else None)
    return Row(latents, noise, timestep, context)


def draw_text(data: CaptionedLatents, config: VideoLayersConfig, one: Captioned, generator: torch.Generator) -> Tensor:
    """The embeddings of a caption, `1 m d`, or now and then those of ""."""
    drops = torch.rand((), generator=generator, dtype=torch.float32, device="cpu") < config.text_dropout
    return data.no_text if bool(drops) else one.text


def seed_of(*parts: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def pick(among: Sequence[Captioned], number: int, entropy: tuple[int, int]) -> Captioned:
    """The example with a running number: all come once, in an order of their own, before any comes again."""
    round_, place = divmod(number, len(among))
    order = np.random.default_rng((*entropy, round_)).permutation(len(among))
    return among[int(order[place])]
