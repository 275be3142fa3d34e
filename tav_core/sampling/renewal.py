"""New noise inside a mask, so that an edit can add what the clip does not show: a hat, or a ball on an empty meadow.

The inverted noise holds the source. Where the source is empty, an edit under "with a ball" repeats the emptiness.
Inside the mask the start is therefore drawn anew, and the first steps are taken several times (`EditConfig.resample`),
so that what is new fits what is kept around it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..errors import ConfigError
from ..layouts import VAE_FACTOR, check_mask
from ..models.schedule import gaussian_noise
from .config import EXACT, EditConfig, LocalEditConfig
from .local_edit import latent_mask
from .trajectory import Trajectory


def renew_inside(
    start: Trajectory,
    mask: Tensor,
    *,
    share: float = 1.0,
    seed: int = EditConfig().seed,
    feather: int = LocalEditConfig().feather,
) -> Trajectory:
    """The start of an edit with new noise inside a mask: sqrt(1 - w) z + sqrt(w) n, with w the share times the mask.

    The new noise n is the same in all frames, so that they add the same thing. It is as strong as the inverted noise z
    is on average, because that of DDIM is weaker than one (0.7 on the demo's clips).

    Args:
        start: an inverted clip, on any device.
        mask: `f h w` or `1 h w` in [0, 1], in the clip's size.
        share: of the new noise inside the mask, by variance: 0 keeps the inverted noise, 1 takes none of it.
        seed: of the new noise.
        feather: in pixels, as for `keep_outside`.

    Raises:
        ConfigError: the share is outside [0, 1], or the inversion is an exact one.
        ClipError: the mask has another size, number of frames, rank or range.
    """
    check_renewal(start.method, LocalEditConfig(renew=share, feather=feather))
    noise = start.noise
    num_frames, height, width = noise.shape[2:]
    check_mask(mask, num_frames=num_frames, height=height * VAE_FACTOR, width=width * VAE_FACTOR)
    if share == 0:
        return start
    weights = share * rearrange(latent_mask(mask.float(), feather), "f h w -> 1 1 f h w").to(noise)
    # Apart from the noises that eta and a noise prior add, which have the same seed.
    word = int(np.random.SeedSequence((seed, 2)).generate_state(1)[0])
    new = noise.std() * gaussian_noise(noise[:, :, :1].shape, word).to(noise)
    mixed = (1 - weights).sqrt() * noise + weights.sqrt() * new
    return dataclasses.replace(start, latents=torch.cat([start.latents[:-1], mixed[None]]))


def check_renewal(method: str, config: LocalEditConfig) -> None:
    """Raises `ConfigError` if the start of an inversion by `method` cannot be renewed."""
    if config.renew and method in EXACT:
        raise ConfigError(
            got=f"renew {config.renew:g} for an inversion by {method}",
            expected="0, because an exact inversion can only be reversed from its own noise",
            mend="Use renew 0, or invert by ddim.",
        )
