"""How many evaluations of the UNet a recipe takes: counted from its settings, and, to check that, from its calls.

One evaluation is one prediction for one video of the clip's length and size. A guided step predicts twice. A tuning
step counts as three: its backward pass has about twice the operations of its forward pass. Steps on smaller frames
count by their share of the clip, and steps that reuse the deep layers (DeepCache) by the share of the operations that
they still do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor

from demo.study.variants import Variant
from demo.study.worlds import World
from tav_core.denoisers.deep_cache import LastLayer, outer_layers
from tav_core.models.conditioning import Conditioning
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig, InvertConfig
from tav_core.sampling.step_time import count_inversion

from .flops import count_flops

TUNING_STEP = 3


@dataclass(frozen=True, kw_only=True)
class Work:
    """Evaluations of the UNet, by stage; an edit is one prompt."""

    tuning: float
    inversion: float
    edit: float

    @property
    def first_edit(self) -> float:
        """From a clip to its first edit."""
        return self.tuning + self.inversion + self.edit


def plan_work(world: World, variant: Variant, schedule: NoiseSchedule, *, outer_share: float) -> Work:
    """The work of a variant, from its settings alone.

    Args:
        outer_share: see `measure_outer_share`.
    """
    assert variant.injection is None and not variant.led and not variant.drawn, "these do more than predict"
    tuning, sampling = replace(world.tuning, **variant.tuning), replace(world.sampling, **variant.sampling)
    assert not tuning.window, "a window's frames depend on what is drawn"
    inversion = InvertConfig(method=variant.method)
    per_step = TUNING_STEP * variant.tuned_at**2
    whole, outer = plan_edit(sampling, schedule)
    return Work(
        tuning=per_step * tuning.num_steps if variant.tuned else 0,
        inversion=count_inversion(inversion, sampling.num_steps)[False] if variant.inverted else 0,
        edit=whole + outer_share * outer,
    )


def plan_edit(config: EditConfig, schedule: NoiseSchedule) -> tuple[int, int]:
    """Evaluations of one edit from an inversion: of the whole UNet, and of its outer layers alone."""
    lowest = config.lowest_guided(schedule.num_train_timesteps)
    counts, videos, since = [0, 0], 0, 0
    for timestep in reversed(schedule.timesteps(config.num_steps)):
        guided = config.guidance_scale > 1 and timestep >= lowest
        needs_all = videos != 1 + guided or since == config.deep_every
        videos, since = 1 + guided, 1 if needs_all else since + 1
        counts[0 if needs_all else 1] += videos
    return counts[0], counts[1]


@torch.no_grad()
def measure_outer_share(unet: InflatedUNet, latents: Tensor, context: Conditioning) -> float:
    """The share of a prediction's operations that its outer layers do (see denoisers/deep_cache.py)."""
    outer = outer_layers(unet)
    layer = outer.up_blocks[0]
    assert isinstance(layer, LastLayer)
    hidden = layer.resnets[0].in_channels - unet.conv_in.out_channels
    layer.deep = latents.new_zeros(latents.shape[2], hidden, *latents.shape[-2:])
    alone, whole = (count_flops(lambda net=net: net(latents, 500, context)) for net in (outer, unet))
    return alone / whole


@dataclass(kw_only=True)
class Calls:
    """Predictions of inflated UNets, in videos of the clip's length and size."""

    frames: int
    pixels: int
    trained: float = 0.0
    whole: float = 0.0
    outer: float = 0.0

    def add(self, unet: InflatedUNet, latents: Tensor) -> None:
        videos, _, frames, height, width = latents.shape
        share = videos * frames / self.frames * height * width / self.pixels
        if torch.is_grad_enabled():
            self.trained += share
        elif isinstance(unet.up_blocks[0], LastLayer):
            self.outer += share
        else:
            self.whole += share

    def evaluations(self, outer_share: float) -> float:
        """All of them, counted as `plan_work` counts."""
        return TUNING_STEP * self.trained + self.whole + outer_share * self.outer


@contextmanager
def count_calls(latents: Tensor) -> Iterator[Calls]:
    """Counts all predictions of inflated UNets, against a clip's latents `1 c f h w`."""
    calls = Calls(frames=latents.shape[2], pixels=latents.shape[3] * latents.shape[4])
    forward = InflatedUNet.forward

    def counted(unet: InflatedUNet, latents: Tensor, *args, **kwargs) -> Tensor:
        calls.add(unet, latents)
        return forward(unet, latents, *args, **kwargs)

    with patch.object(InflatedUNet, "forward", counted):
        yield calls
