"""tav_core/denoisers/deep_cache.py: which steps run whole, and that the others are the UNet on kept features."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from tav_core.denoisers.deep_cache import DeepCacheDenoiser, outer_layers, reuse_deep
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError
from tav_core.models.conditioning import Conditioning
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit


def make_denoiser(parts, **modes):
    unet = InflatedUNet.from_2d(parts.unet, **modes)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in unet.temporal_state().values():
            tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    return UNetDenoiser(unet=unet, schedule=NoiseSchedule.from_config(parts.scheduler))


def inputs(family, videos=1, size=16):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    pooled = draw(videos, 96) if family == "sdxl" else None
    width = 128 if family == "sdxl" else 64
    return draw(videos, 4, 3, size, size), Conditioning(text=draw(videos, 7, width), pooled_text=pooled)


@pytest.mark.parametrize("group_norm", ["frame", "clip"])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@torch.no_grad()
def test_on_the_features_of_the_same_step_the_outer_layers_give_what_the_unet_gives(request, family, group_norm):
    denoiser = make_denoiser(request.getfixturevalue(family), group_norm=group_norm)
    latents, context = inputs(family, videos=2)
    reusing = reuse_deep(denoiser, 2)
    whole, reused = (reusing.epsilon(latents, 481, context) for _ in range(2))
    assert torch.equal(whole, denoiser.epsilon(latents, 481, context))
    assert torch.equal(whole, reused)
    moved = latents + 0.1
    assert not torch.allclose(reusing.epsilon(moved, 461, context), reusing.epsilon(latents, 441, context))
    assert torch.equal(
        denoiser.epsilon(moved, 461, context),
        DeepCacheDenoiser(denoiser=denoiser, every=9).epsilon(moved, 461, context),
    )


@torch.no_grad()
def test_sizes_that_do_not_divide_evenly_fit_too(sd1):
    denoiser, (latents, context) = make_denoiser(sd1), inputs("sd1", size=18)
    reusing = reuse_deep(denoiser, 2)
    assert torch.equal(reusing.epsilon(latents, 481, context), reusing.epsilon(latents, 481, context))


def test_the_outer_layers_are_the_unets_own(sd1):
    unet = make_denoiser(sd1).unet
    outer = outer_layers(unet)
    own = {id(parameter) for parameter in unet.parameters()}
    assert {id(parameter) for parameter in outer.parameters()} < own
    assert len(unet.down_blocks) == 3 and unet.mid_block is not None, "the UNet itself is left as it is"
    assert sum(p.numel() for p in outer.parameters()) < sum(p.numel() for p in unet.parameters()) / 3


@dataclasses.dataclass
class Marked:
    """A denoiser that notes its calls in a list, under a name."""

    name: str
    calls: list
    unet: object = None
    schedule: object = None

    def epsilon(self, latents, timestep, context):
        self.calls.append((self.name, len(latents)))
        return latents


def test_every_nth_step_runs_whole_and_so_does_the_first_one_after_guidance(sd1):
    calls = []
    reusing = reuse_deep(make_denoiser(sd1), 3)
    reusing.outer = Marked("outer", calls)
    reusing.denoiser = Marked("whole", calls, unet=reusing.denoiser.unet)
    for videos in (2, 2, 2, 2, 2, 1, 1, 1, 1):
        reusing.epsilon(torch.zeros(videos, 4, 1, 8, 8), 1, None)
    assert [name for name, _ in calls] == [
        "whole",
        "outer",
        "outer",
        "whole",
        "outer",
        *["whole", "outer", "outer"],
        "whole",
    ]


def test_an_edit_reuses_within_a_prompt_alone(denoiser, clip_latents, context):
    prompts = torch.cat([context, -context])
    config = EditConfig(num_steps=4, guidance_scale=3.0, deep_every=2)
    both = edit(denoiser, clip_latents, prompts, 0 * context, config=config)
    second = edit(denoiser, clip_latents, -context, 0 * context, config=config)
    assert torch.equal(both[1:], second)
    plain = edit(denoiser, clip_latents, prompts, 0 * context, config=dataclasses.replace(config, deep_every=1))
    assert both.isfinite().all() and not torch.allclose(both, plain)
    assert not denoiser.unet.up_blocks[-1].resnets[-1]._forward_pre_hooks, "no hook is left behind"


def test_a_step_that_fails_leaves_no_hook(sd1):
    denoiser, (latents, context) = make_denoiser(sd1), inputs("sd1")
    reusing = reuse_deep(denoiser, 2)
    with pytest.raises(ConfigError):
        reusing.epsilon(latents, 481, Conditioning(text=context.text[..., :8]))
    assert not denoiser.unet.up_blocks[-1].resnets[-1]._forward_pre_hooks


def test_what_needs_every_layer_is_refused_before_the_first_step(denoiser, clip_latents, context):
    assert reuse_deep(denoiser, 1) is denoiser
    windowed = WindowedDenoiser(denoiser=denoiser, windows=ContextWindows())
    controlled = dataclasses.replace(denoiser, controls=(SimpleNamespace(),))
    config = EditConfig(num_steps=2, deep_every=2)
    for wrong, named in ((windowed, "WindowedDenoiser"), (controlled, "a ControlNet or T2I-Adapter")):
        with pytest.raises(ConfigError, match=f"deep_every 2 with {named}.*Set deep_every to 1"):
            edit(wrong, clip_latents, context, context, config=config)
    with pytest.raises(ConfigError, match="deep_every"):
        EditConfig(deep_every=0)
