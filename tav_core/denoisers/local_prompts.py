"""Local prompts: parts of the picture have prompts of their own, so that a model need not sort out who is what.

A model that is told "a red circle and a blue square" mixes the two. With local prompts, the noise is predicted under
the whole prompt and under each local one; each cell of the latents takes the prediction of the prompt whose mask holds
it (MultiDiffusion, arXiv 2302.08113, with masks in place of crops). Where one object hides another, so should its mask:
that says who is in front. Each local prompt costs one more prediction in each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor

from ..errors import ConfigError
from ..layouts import VAE_FACTOR, check_mask
from ..models.conditioning import Conditioning, as_conditioning
from .denoiser import Denoiser


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalPrompt:
    """A prompt for a part of the picture.

    Args:
        context: the text of one prompt, as `encode_prompt` gives it, or its embeddings alone, `1 m d`.
        mask: `f h w` or, for all frames, `1 h w` in [0, 1], in the clip's size in pixels; 1 is where it holds.

    Raises:
        ConfigError: the text is that of several prompts.
    """

    context: Conditioning | Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        if len(as_conditioning(self.context)) != 1:
            raise ConfigError(
                got=f"the text of {len(as_conditioning(self.context))} prompts for one mask",
                expected="one prompt for each mask",
                mend="Make a LocalPrompt for each of them.",
            )


def local_weights(local: Sequence[LocalPrompt], latents: Tensor) -> Tensor:
    """How much each local prompt counts in each cell of latents `b c f h w`: `p f h w`, on their device.

    A cell on the edge of a mask counts by its share inside. Where masks overlap, they share what there is; what is left
    to 1 belongs to the whole prompt.

    Raises:
        ClipError: a mask has another size, number of frames, rank or range.
    """
    _, _, num_frames, height, width = latents.shape
    cells = []
    for one in local:
        check_mask(one.mask, num_frames=num_frames, height=height * VAE_FACTOR, width=width * VAE_FACTOR)
        shares = reduce(one.mask.float(), "f (h y) (w x) -> f h w", "mean", y=VAE_FACTOR, x=VAE_FACTOR)
        cells.append(shares.expand(num_frames, -1, -1))
    weights = torch.stack(cells).to(latents)
    return weights / weights.sum(0).clamp(min=1)


Placed = Sequence[tuple[Conditioning, Tensor]]


def place_prompts(local: Sequence[LocalPrompt], latents: Tensor) -> Placed:
    """The text of each local prompt and its weights `1 1 f h w`, on the device of latents `1 c f h w`.

    Raises:
        ClipError: see `local_weights`.
    """
    if not local:
        return ()
    weights = rearrange(local_weights(local, latents), "p f h w -> p 1 1 f h w")
    texts = [as_conditioning(one.context).to(device=latents.device) for one in local]
    return tuple(zip(texts, weights, strict=True))


def epsilon_under(
    denoiser: Denoiser, latents: Tensor, timestep: float, context: Conditioning | Tensor, local: Placed
) -> Tensor:
    """The noise in latents `1 c f h w` under a whole prompt and local ones. They are predicted one after the other, so
    that no more memory is needed than without."""
    predicted = denoiser.epsilon(latents, timestep, as_conditioning(context))
    if not local:
        return predicted
    mixed = (1 - torch.stack([weight for _, weight in local]).sum(0)) * predicted
    for text, weight in local:
        mixed = mixed + weight * denoiser.epsilon(latents, timestep, text)
    return mixed
