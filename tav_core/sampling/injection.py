"""Injection (Plug-and-Play, arXiv 2211.12572): an edit that looks where the source looks.

The source's latents, as the inversion went through them, run as one more video at the front of each batch. In the
decoder, from `first_layer` on, its self-attention's queries and keys are every video's, and so is the residual of that
first layer's ResNet: so the edit keeps the source's layout and outlines, and takes its looks from the prompt. The
source's own output is dropped. When the schedule is over, the source is no longer in the batch.

The given UNet stays as it is: what is patched is a copy that shares its weights.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..errors import ConfigError, LatentsError
from ..layouts import check_latents
from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from ..models.inflation import FrameCount, recast
from ..models.schedule import NoiseSchedule
from .config import InjectionConfig
from .trajectory import Trajectory, check_inversion

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    from ..models.unet import InflatedUNet


class Switch:
    """Whether some layers share at the moment what the first video gives them."""

    def __init__(self) -> None:
        self.on = False


class FirstForAll:
    """Stands before the class of a layer that treats every frame by itself: `(b f) ...` in and out.

    While the switch is on, the first video's output is every video's.
    """

    frames: FrameCount
    switch: Switch

    def forward(self, folded: Tensor) -> Tensor:
        if not self.switch.on:
            return super().forward(folded)
        num_frames = self.frames.value
        first = super().forward(folded[:num_frames])
        return first.repeat(len(folded) // num_frames, *(1,) * (first.ndim - 1))


@lru_cache
def first_for_all(layer: type[nn.Module]) -> type[nn.Module]:
    """A layer's class with the first video's output for all."""
    return type(f"Shared{layer.__name__}", (FirstForAll, layer), {})


@dataclass(kw_only=True)
class InjectedDenoiser:
    """A denoiser that takes from a source's inversion; another one, with one more video in its batch.

    Context windows belong inside: `InjectedDenoiser(denoiser=WindowedDenoiser(...), ...)`. So do controls, which then
    hold for the source too: invert it under the same ones.

    Args:
        denoiser: a `UNetDenoiser`, or one that wraps it.
        trajectory: the source's inversion with all its steps, `keep="all"`, of one video.
        source_context: what the source was inverted under, or its text embeddings `1 m d` alone.
        config: see `InjectionConfig`.

    Raises:
        LatentsError: a trajectory of the two ends alone, of several videos, or that does not hold together.
        ConfigError: a denoiser without a UNet to patch, or a text that is not one prompt for it.
    """

    denoiser: Denoiser
    trajectory: Trajectory
    source_context: Conditioning | Tensor
    config: InjectionConfig = field(default_factory=InjectionConfig)

    def __post_init__(self) -> None:
        check_source(self.trajectory)
        self.source_context = as_conditioning(self.source_context)
        self.attention, self.features = Switch(), Switch()
        self.inner = with_unet(self.denoiser, self.inject)

    def inject(self, unet: InflatedUNet) -> InflatedUNet:
        """A copy of a UNet, on the same weights, that shares when told to; its text is checked first."""
        self.source_context.check(width=unet.config.cross_attention_dim, values=True)
        if len(self.source_context) != 1:
            raise ConfigError(
                got=f"the text of {len(self.source_context)} prompts for the source",
                expected="the one that it was inverted under",
                mend="Encode that prompt alone.",
            )
        return inject_unet(unet, self.config, self.attention, self.features)

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: int, context: Conditioning | Tensor) -> Tensor:
        """The noise in latents `b c f h w`, as a `Denoiser` gives it.

        Raises:
            LatentsError: latents of another size than the source's.
        """
        injected = self.config.at(timestep, self.trajectory.timesteps)
        if not any(injected):
            return self.denoiser.epsilon(latents, timestep, context)
        check_latents(latents, channels=self.trajectory.latents.shape[2])
        mend = "Invert the clip that is edited; put context windows inside the injection, not around it."
        check_same_size(latents.shape[2:], self.trajectory.latents.shape[3:], mend=mend)
        alpha = self.schedule.alpha(timestep)
        source = source_at(self.trajectory, self.schedule, ((1 - alpha) / alpha) ** 0.5).to(latents) * alpha**0.5
        context = as_conditioning(context)
        own = self.source_context.to(device=context.text.device, dtype=context.text.dtype)
        self.attention.on, self.features.on = injected
        try:
            return self.inner.epsilon(torch.cat([source, latents]), timestep, cat_videos([own, context]))[1:]
        finally:
            self.attention.on = self.features.on = False


def check_source(trajectory: Trajectory) -> None:
    """Checks that a trajectory can be a source.

    Raises:
        LatentsError: it does not hold together, steps are missing, or there are several videos.
    """
    check_inversion(trajectory)
    if len(trajectory.latents) != len(trajectory.timesteps) + 1:
        raise LatentsError(
            got=f"an inversion that kept {len(trajectory.latents)} of {len(trajectory.timesteps) + 1} steps",
            expected="all of them: each step takes from its own",
            mend='Invert again with keep="all".',
        )
    if trajectory.latents.shape[1] != 1:
        raise LatentsError(
            got=f"an inversion of {trajectory.latents.shape[1]} videos",
            expected="one, the source",
            mend="Invert the source alone.",
        )


def check_same_size(ours: Sequence[int], theirs: Sequence[int], *, mend: str) -> None:
    """Checks that a video has the frames and the size of its source: both as frames, height, width of the latents.

    Raises:
        LatentsError: it has others; ends with `mend`.
    """
    if tuple(ours) != tuple(theirs):
        raise LatentsError(
            got="{} frames of {}x{} latents for a source".format(ours[0], *reversed(ours[1:])),
            expected="the source's {} of {}x{}".format(theirs[0], *reversed(theirs[1:])),
            mend=mend,
        )


def source_at(trajectory: Trajectory, schedule: NoiseSchedule, sigma: float) -> Tensor:
    """The source at a noise level sigma = sqrt((1 - alpha) / alpha), as x_0 + sigma epsilon, `1 c f h w`.

    In these terms a DDIM step is a straight line, so between two steps of the inversion this is the very way it went,
    and a sampler may have steps of its own. Beyond its ends the line goes on.
    """
    num_steps = len(trajectory.timesteps)
    alphas = [schedule.alpha(schedule.previous(trajectory.timesteps[0], num_steps))]
    alphas += [schedule.alpha(timestep) for timestep in trajectory.timesteps]
    sigmas = [((1 - alpha) / alpha) ** 0.5 for alpha in alphas]
    above = min(max(bisect_left(sigmas, sigma), 1), num_steps)
    low, high = (trajectory.latents[i] / alphas[i] ** 0.5 for i in (above - 1, above))
    length = sigmas[above] - sigmas[above - 1]
    return torch.lerp(low, high, (sigma - sigmas[above - 1]) / length if length else 1.0)


def with_unet(denoiser: Any, change: Callable[[InflatedUNet], InflatedUNet]) -> Any:
    """A denoiser like another, its UNet changed, however deep it lies.

    Raises:
        ConfigError: there is none.
    """
    if isinstance(denoiser, UNetDenoiser):
        return dataclasses.replace(denoiser, unet=change(denoiser.unet))
    if not hasattr(denoiser, "denoiser"):
        raise ConfigError(
            got=f"{type(denoiser).__name__}, which has no UNet",
            expected="a UNetDenoiser, or one around it",
            mend="On ComfyUI's MODEL use its node.",
        )
    return dataclasses.replace(denoiser, denoiser=with_unet(denoiser.denoiser, change))


def inject_unet(unet: InflatedUNet, config: InjectionConfig, attention: Switch, features: Switch) -> InflatedUNet:
    """A copy of a UNet, on the same weights, whose chosen layers share while their switches are on."""
    # ComfyUI's host shares this module, and needs no diffusers for it.
    from ..models.unet import copy_structure

    injected = copy_structure(unet)
    layers = decoder_layers(injected)
    first = config.first_of(len(layers))
    share(layers[first][0], "conv2", frames=injected.frames, switch=features)
    for _, attentions in layers[first:]:
        for attn1 in attentions:
            for name in ("to_q", "to_k"):
                share(attn1, name, frames=injected.frames, switch=attention)
    return injected


def decoder_layers(unet: InflatedUNet) -> list[tuple[ResnetBlock2D, list[Attention]]]:
    """The decoder's layers from coarse to fine: each a ResNet and the self-attentions after it, if any."""
    return [layer for block in unet.up_blocks for layer in block_layers(block)]


def block_layers(block: nn.Module) -> Iterator[tuple[ResnetBlock2D, list[Attention]]]:
    transformers = getattr(block, "attentions", None)
    for i, resnet in enumerate(block.resnets):
        yield resnet, [inner.attn1 for inner in transformers[i].transformer_blocks] if transformers else []


def share(owner: nn.Module, name: str, **attributes: Any) -> None:
    """Re-casts a layer in place, so that it can give the first video's output to all."""
    layer = getattr(owner, name)
    setattr(owner, name, recast(layer, first_for_all(type(layer)), **attributes))
