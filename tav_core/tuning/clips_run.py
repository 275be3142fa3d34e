"""A tuning on several clips, one motion: each step takes one of them.

Two uses. `learn_start`: what the temporal layers learn of many clips is a start for tunings of others. `tune_clips`: a
few clips of one motion, whose looks are kept apart (appearance.py), so that the motion is what they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..denoisers.denoiser import UNetDenoiser
from ..errors import ConfigError, explain_out_of_memory
from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from .appearance import ActiveClip, add_appearances, factors_of, frozen, is_appearance, without_time
from .config import APPEARANCE_RANK, SEVERAL, START, TuneConfig, check_has_steps
from .training_run import TuningRun, split_moments
from .tune import MEND, OnStep, run_to_the_end

if TYPE_CHECKING:
    from ..models.latents import LatentMoments
    from ..models.unet import InflatedUNet
    from ..video.config import ClipInfo
    from .motion import Motion

# MotionDirector's share of steps that leave appearances out.
WITHOUT = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipToLearn:
    """One of several clips.

    Args:
        latents: the VAE's posterior over the clip, or fixed latents, `1 c f h w`.
        context: its prompt as `encode_prompt` gives it, or its text embeddings alone, `1 m d`.
    """

    latents: LatentMoments | Tensor
    context: Conditioning | Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipsMotion:
    """What several clips have taught.

    Args:
        motion: how all of them move; it changes no queries.
        appearances: what each looks like, in the order of the clips, as `save_lora` takes it.
    """

    motion: Motion
    appearances: Sequence[Mapping[str, tuple[Tensor, Tensor]]]


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
        config: see `TuneConfig`. The default's steps and rate are our own.
        state_path, on_step: see `tune`.

    Returns:
        A motion that changes no queries, for `tune(..., start=...)`.

    Raises:
        ConfigError: the clips do not fit each other, and what `tune` raises.
        TuningDiverged, OutOfMemory, OutputError: see `tune`.
    """
    return run_clips(denoiser, clips, config, 0, state_path, on_step)[1]


def tune_clips(
    denoiser: UNetDenoiser,
    clips: Sequence[ClipToLearn],
    *,
    config: TuneConfig = SEVERAL,
    appearance_rank: int = APPEARANCE_RANK,
    about: ClipInfo | None = None,
    state_path: str | Path | None = None,
    on_step: OnStep | None = None,
) -> ClipsMotion:
    """Tunes on a few clips of one motion, and keeps what each looks like apart (MotionDirector, arXiv 2310.08465).

    Args:
        denoiser: an untuned model, which is not changed.
        clips: two or more, of one length and size.
        config: see `TuneConfig`; its `low_rank_learning_rate` is that of the appearances.
        appearance_rank: of each appearance.
        about: how all clips were read, which the motion records, so that others are read likewise.
        state_path, on_step: see `tune`.

    Returns:
        The motion, and the appearances.

    Raises:
        ConfigError: the clips do not fit each other, and what `tune` raises.
        TuningDiverged, OutOfMemory, OutputError: see `tune`.
    """
    if appearance_rank < 1:
        raise ConfigError(
            got=f"appearance_rank {appearance_rank}",
            expected="1 or more",
            mend=f"Use {APPEARANCE_RANK}, or learn_start, which keeps no appearances apart.",
        )
    run, motion = run_clips(denoiser, clips, config, appearance_rank, state_path, on_step, about)
    return ClipsMotion(motion=motion, appearances=[factors_of(run.trainable, at) for at in range(len(clips))])


def run_clips(
    denoiser: UNetDenoiser,
    clips: Sequence[ClipToLearn],
    config: TuneConfig,
    appearance_rank: int,
    state_path: str | Path | None,
    on_step: OnStep | None,
    about: ClipInfo | None = None,
) -> tuple[ClipsRun, Motion]:
    """A run on several clips to its end, and its motion."""
    check_has_steps(config.num_steps, starts=False)
    with torch.inference_mode(False), torch.enable_grad():
        with explain_out_of_memory("setting up the tuning", MEND):
            run = ClipsRun(denoiser, clips, config=config, appearance_rank=appearance_rank, about=about)
        return run, run_to_the_end(run, state_path, on_step=on_step)


class ClipsRun(TuningRun):
    """A tuning in progress whose steps take clips in random order.

    Args:
        appearance_rank: of each clip's appearance; 0 for none.
        about: see `tune_clips`.
        others: see `learn_start`.
    """

    def __init__(
        self,
        denoiser: UNetDenoiser,
        clips: Sequence[ClipToLearn],
        *,
        config: TuneConfig,
        appearance_rank: int = 0,
        about: ClipInfo | None = None,
    ) -> None:
        check_alike(clips)
        self.num_clips, self.appearance_rank = len(clips), appearance_rank
        self.active: ActiveClip | None = None
        super().__init__(denoiser, clips[0].latents, clips[0].context, config=config, about=about)
        channels = self.base.config.in_channels
        moments = [split_moments(clip.latents, self.base.device, channels=channels) for clip in clips]
        self.means, self.stds = (torch.cat(parts) for parts in zip(*moments, strict=True))
        contexts = [as_conditioning(clip.context).to(device=self.base.device) for clip in clips]
        # The first one's were filled in; others may be told sizes of their own.
        sizes = [self.context.size_ids if context.size_ids is None else context.size_ids for context in contexts]
        told = [replace(context, size_ids=ids) for context, ids in zip(contexts, sizes, strict=True)]
        self.contexts = cat_videos(told).map(lambda part: part.detach().clone())
        self.at = 0

    def copy_base(self) -> InflatedUNet:
        """The copy of the base that trains, with the appearances."""
        unet, rank, seed = super().copy_base(), self.appearance_rank, self.config.seed
        if rank:
            self.active = add_appearances(unet, self.num_clips, rank=rank, seed=seed)
        return unet

    @property
    def learned_from(self) -> tuple[Tensor, Tensor, Conditioning]:
        """All clips and prompts."""
        return self.means, self.stds, self.contexts

    @property
    def numbers(self) -> np.random.Generator:
        """Draws of the next step that other tunings do not have, from the seed and the step alone."""
        # One number more than the seed of the other draws has, so that these are independent of them.
        return np.random.default_rng((self.config.seed, self.step, 1))

    def draw(self) -> tuple[Tensor, Tensor, int]:
        """Draws the clip of the next step, and then what every tuning draws."""
        self.at = at = int(self.numbers.integers(self.num_clips))
        self.mean, self.std = self.means[at : at + 1], self.stds[at : at + 1]
        self.context = self.contexts[at : at + 1]
        return super().draw()

    def add_gradients(self, latents: Tensor, noise: Tensor, timestep: int) -> float:
        """One frame teaches its clip's appearance; with this on, the whole clip teaches the layers over time. In a
        fifth of the steps, there is no appearance.
        """
        numbers = self.numbers
        _, left_out, frame = numbers.integers(self.num_clips), numbers.random(), numbers.integers(latents.shape[2])
        if self.active is None or left_out < WITHOUT:
            return super().add_gradients(latents, noise, timestep)
        self.active.value = self.at
        one = slice(int(frame), int(frame) + 1)
        try:
            with without_time(self.unet):
                super().add_gradients(latents[:, :, one], noise[:, :, one], timestep)
            with frozen([parameter for name, parameter in self.trainable.items() if is_appearance(name)]):
                return super().add_gradients(latents, noise, timestep)
        finally:
            self.active.value = None


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
