"""Injection (Plug-and-Play, arXiv 2211.12572): the edit takes its attention and features from the source.

The source's latents, as recorded by the inversion, run as an additional video at the front of each batch. In the
decoder, from `first_layer` on, all videos use the source's self-attention queries and keys; and in that first layer,
the ResNet residual of the source. So the edit keeps the source's layout and outlines, and takes its looks from the
prompt. The source's own output is dropped. After the last step that injects, the source leaves the batch.

The given UNet is not changed: a copy that shares its weights is patched.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..errors import ConfigError, LatentsError
from ..layouts import check_latents
from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from ..models.families import find_family
from ..models.inflation import FrameCount, recast
from ..models.schedule import NoiseSchedule
from .config import PAPER_LEVELS, InjectionConfig
from .trajectory import Trajectory, check_all_kept, check_inversion

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    from ..models.unet import InflatedUNet


class Switch:
    """Whether some layers currently give all videos the output of the first one.

    Another denoiser between the injection and the UNet may copy the UNet once more: its layers keep this switch.
    """

    def __init__(self) -> None:
        self.on = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Switch:
        return self


class FirstForAll(nn.Module):
    """A mixin for a layer that treats every frame separately: `(b f) ...` in and out.

    While the switch is on, all videos get the output of the first one.
    """

    frames: FrameCount
    switch: Switch

    def forward(self, folded: Tensor) -> Tensor:
        if not self.switch.on:
            return super().forward(folded)
        num_frames = self.frames.value
        first = super().forward(folded[:num_frames])
        return first.repeat(len(folded) // num_frames, *(1,) * (first.ndim - 1))


@cache
def first_for_all(layer: type[nn.Module]) -> type[nn.Module]:
    """A layer's class with `FirstForAll` mixed in."""
    return type(f"Shared{layer.__name__}", (FirstForAll, layer), {})


@dataclass(kw_only=True)
class InjectedDenoiser:
    """A denoiser that injects from a source's inversion; it runs another denoiser with one more video in the batch.

    Context windows belong inside: `InjectedDenoiser(denoiser=WindowedDenoiser(...), ...)`. So do controls, which then
    act on the source too: invert it under the same controls.

    Args:
        denoiser: a `UNetDenoiser`, or one that wraps it.
        trajectory: the source's inversion with all its steps, `keep="all"`, of one video.
        source_context: what the source was inverted under, or its text embeddings `1 m d` alone.
        config: see `InjectionConfig`.

    Raises:
        LatentsError: the trajectory holds only its two ends or several videos, or is not consistent.
        ConfigError: the denoiser has no UNet to patch, or the text is not that of one prompt for it.
    """

    denoiser: Denoiser
    trajectory: Trajectory
    source_context: Conditioning | Tensor
    config: InjectionConfig = field(default_factory=InjectionConfig)

    def __post_init__(self) -> None:
        check_source(self.trajectory)
        self.source_text = as_conditioning(self.source_context)
        self.attention, self.features = Switch(), Switch()
        self.inner = with_unet(self.denoiser, self.inject)

    def inject(self, unet: InflatedUNet) -> InflatedUNet:
        """A copy of a UNet with the same weights, whose layers share while switched on; checks the text first."""
        self.source_text.check(width=unet.config.cross_attention_dim, values=True)
        if len(self.source_text) != 1:
            raise ConfigError(
                got=f"the text of {len(self.source_text)} prompts for the source",
                expected="one, the prompt that it was inverted under",
                mend="Encode that prompt alone.",
            )
        return inject_unet(unet, self.config, self.attention, self.features)

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        """The noise in latents `b c f h w`, as a `Denoiser` gives it.

        Raises:
            LatentsError: the latents differ in size from the source's.
        """
        context = as_conditioning(context)
        injected = self.config.at(timestep, self.trajectory.timesteps)
        if not any(injected):
            return self.denoiser.epsilon(latents, timestep, context)
        check_latents(latents, channels=self.trajectory.latents.shape[2])
        mend = "Invert the clip that is edited; put context windows inside the injection, not around it."
        check_same_size(latents.shape[2:], self.trajectory.latents.shape[3:], mend=mend)
        alpha = self.schedule.alpha(timestep)
        source = source_at(self.trajectory, self.schedule, self.schedule.sigma(timestep)).to(latents) * alpha**0.5
        own = self.source_text.to(device=context.text.device, dtype=context.text.dtype)
        self.attention.on, self.features.on = injected
        try:
            return self.inner.epsilon(torch.cat([source, latents]), timestep, cat_videos([own, context]))[1:]
        finally:
            self.attention.on = self.features.on = False


def check_source(trajectory: Trajectory) -> None:
    """Checks that a trajectory can be a source.

    Raises:
        LatentsError: it is not consistent, lacks steps, or holds several videos.
    """
    check_inversion(trajectory)
    check_all_kept(trajectory, LatentsError)
    if trajectory.latents.shape[1] != 1:
        raise LatentsError(
            got=f"an inversion of {trajectory.latents.shape[1]} videos",
            expected="one, the source",
            mend="Invert the source alone.",
        )


def check_same_size(ours: Sequence[int], theirs: Sequence[int], *, mend: str) -> None:
    """Checks that a video has as many frames and the same size as its source: frames, height, width of the latents.

    Raises:
        LatentsError: they differ; the message ends with `mend`.
    """
    if tuple(ours) != tuple(theirs):
        raise LatentsError(
            got="{} frames of {}x{} latents for a source".format(ours[0], *reversed(ours[1:])),
            expected="the source's {} of {}x{}".format(theirs[0], *reversed(theirs[1:])),
            mend=mend,
        )


def source_at(trajectory: Trajectory, schedule: NoiseSchedule, sigma: float) -> Tensor:
    """The source at a noise level sigma = sqrt((1 - alpha) / alpha), as x_0 + sigma epsilon, `1 c f h w`.

    In these terms a DDIM step is a straight line, so that linear interpolation between two steps of the inversion is
    exact, and a sampler may use other steps. Outside the range of the steps, the line is extended.
    """
    num_steps = len(trajectory.timesteps)
    levels = [schedule.previous(trajectory.timesteps[0], num_steps), *trajectory.timesteps]
    alphas, sigmas = list(map(schedule.alpha, levels)), list(map(schedule.sigma, levels))
    above = min(max(bisect_left(sigmas, sigma), 1), num_steps)
    low, high = (trajectory.latents[i] / alphas[i] ** 0.5 for i in (above - 1, above))
    length = sigmas[above] - sigmas[above - 1]
    return torch.lerp(low, high, (sigma - sigmas[above - 1]) / length if length else 1.0)


def with_unet(denoiser: Any, change: Callable[[InflatedUNet], InflatedUNet]) -> Any:
    """A copy of a denoiser with its UNet changed, however many denoisers are around it.

    Raises:
        ConfigError: there is no UNet.
    """
    if isinstance(denoiser, UNetDenoiser):
        return dataclasses.replace(denoiser, unet=change(denoiser.unet))
    if not hasattr(denoiser, "denoiser"):
        raise ConfigError(
            got=f"{type(denoiser).__name__}, which has no UNet",
            expected="a UNetDenoiser, or one around it",
            mend="For a MODEL of ComfyUI, use the node Inject Source.",
        )
    return dataclasses.replace(denoiser, denoiser=with_unet(denoiser.denoiser, change))


def inject_unet(unet: InflatedUNet, config: InjectionConfig, attention: Switch, features: Switch) -> InflatedUNet:
    """A copy of a UNet with the same weights, whose chosen layers share while their switches are on."""
    # Imported here, because ComfyUI's host uses this module without diffusers.
    from ..models.shared_weights import copy_structure

    injected = copy_structure(unet)
    layers = decoder_layers(injected)
    # Small models of 1.x and 2.x with fewer levels scale the number; Stable Diffusion XL lacks the coarsest level.
    xl = find_family(unet.config).added_conditions
    first = config.first_of(len(layers), num_levels=len(unet.up_blocks) if xl else PAPER_LEVELS)
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
    transformers, resnets = getattr(block, "attentions", None), block.resnets
    assert isinstance(resnets, nn.ModuleList)
    for i, resnet in enumerate(resnets):
        yield resnet, [inner.attn1 for inner in transformers[i].transformer_blocks] if transformers else []


def share(owner: nn.Module, name: str, **attributes: Any) -> None:
    """Changes a layer's class in place, so that it can give the first video's output to all."""
    layer = owner.get_submodule(name)
    # mypy takes the hash of a class for that of its instances.
    shared = first_for_all(type(layer))  # type: ignore[arg-type]
    setattr(owner, name, recast(layer, shared, **attributes))
