"""A tuning on many clips: each step takes one of them. What the temporal layers learn of all is a start for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..denoisers.denoiser import UNetDenoiser
from ..errors import ConfigError, explain_out_of_memory
from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from .config import START, TuneConfig, check_has_steps
from .training_run import TuningRun, split_moments
from .tune import MEND, OnStep, run_to_the_end

if TYPE_CHECKING:
    from ..models.latents import LatentMoments
    from .motion import Motion


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipToLearn:
    """One of several clips.

    Args:
        latents: the VAE's posterior over the clip, or fixed latents, `1 c f h w`.
        context: its prompt as `encode_prompt` gives it, or its text embeddings alone, `1 m d`.
    """

    latents: LatentMoments | Tensor
    context: Conditioning | Tensor


def learn_start(
    denoiser: UNetDenoiser,
    clips: Sequence[ClipToLearn],
    *,
    config: TuneConfig = START,
    state_path: str | Path | None = None,
    on_step: OnStep | None = None,
) -> Motion:
    """Tunes the temporal layers on many clips, so that a tuning on one more can start from them.

    Args:
        denoiser: an untuned model, which is not changed; the tuning that starts from the result needs one like it.
        clips: of one length and size.
        config: see `TuneConfig`. The default's steps and rate are our own, measured on the demo world.
        state_path, on_step: see `tune`.

    Returns:
        A motion that changes no queries, for `tune(..., start=...)`.

    Raises:
        ConfigError: the clips do not fit each other, and what `tune` raises.
        TuningDiverged, OutOfMemory, OutputError: see `tune`.
    """
    check_has_steps(config.num_steps, starts=False)
    with torch.inference_mode(False), torch.enable_grad():
        with explain_out_of_memory("setting up the tuning", MEND):
            run = ClipsRun(denoiser, clips, config=config)
        return run_to_the_end(run, state_path, on_step=on_step)


class ClipsRun(TuningRun):
    """A tuning in progress whose steps take clips in random order.

    Args:
        clips, config: see `learn_start`.
    """

    def __init__(self, denoiser: UNetDenoiser, clips: Sequence[ClipToLearn], *, config: TuneConfig) -> None:
        check_alike(clips)
        super().__init__(denoiser, clips[0].latents, clips[0].context, config=config)
        channels = self.base.config.in_channels
        moments = [split_moments(clip.latents, self.base.device, channels=channels) for clip in clips]
        self.means, self.stds = (torch.cat(parts) for parts in zip(*moments, strict=True))
        contexts = [as_conditioning(clip.context).to(device=self.base.device) for clip in clips]
        self.contexts = cat_videos([replace(context, size_ids=self.context.size_ids) for context in contexts]).map(
            lambda part: part.detach().clone()
        )

    @property
    def learned_from(self) -> tuple[Tensor, Tensor, Conditioning]:
        """All clips and prompts."""
        return self.means, self.stds, self.contexts

    def draw(self) -> tuple[Tensor, Tensor, int]:
        """Draws the clip of the next step, and then what every tuning draws, from the seed and the step alone."""
        # One number more than the other draws of a step have, so that it is independent of them.
        at = int(np.random.default_rng((self.config.seed, self.step, 1)).integers(len(self.means)))
        self.mean, self.std = self.means[at : at + 1], self.stds[at : at + 1]
        self.context = self.contexts[at : at + 1]
        return super().draw()


def check_alike(clips: Sequence[ClipToLearn]) -> None:
    """Raises `ConfigError` unless there are clips, of one shape."""
    means = [clip.latents if isinstance(clip.latents, Tensor) else clip.latents.mean for clip in clips]
    shapes = {tuple(mean.shape) for mean in means}
    if len(shapes) != 1:
        raise ConfigError(
            got=f"{len(clips)} clips, with latents of {sorted(shapes) or 'no'} shapes",
            expected="one clip or more, all of one length and size",
            mend="Read them with the same number of frames, width and height.",
        )
