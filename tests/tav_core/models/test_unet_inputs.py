"""tav_core/models/unet_inputs.py: what more than text reaches a UNet that knows it, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import UNet2DConditionModel

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.denoisers.guidance import guided
from tav_core.denoisers.windows import ContextWindows, WindowedDenoiser
from tav_core.errors import ConfigError, LatentsError
from tav_core.models.conditioning import Conditioning
from tav_core.models.unet import InflatedUNet

# Of each family: what its UNet has more than SD 1.x's, and which parts a conditioning for it holds.
FAMILIES = {
    "sdxl": (
        {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 16 + 6 * 8,
        },
        ("pooled_text", "size_ids"),
    ),
    "instruct_pix2pix": ({"in_channels": 8}, ("channels",)),
    "upscaler": ({"in_channels": 7, "num_class_embeds": 1000}, ("channels", "noise_level")),
}
FRAMES, SIDE = 5, 8


def told(parts, *, channels=4, seed=0):
    """A conditioning of one video that holds some parts."""
    generator = torch.Generator().manual_seed(seed)
    every = {
        "pooled_text": torch.randn((1, 16), generator=generator),
        "size_ids": torch.randint(0, 1025, (1, 6), generator=generator),
        "channels": torch.randn((1, channels, FRAMES, SIDE, SIDE), generator=generator),
        "noise_level": torch.randint(0, 1000, (1,), generator=generator),
    }
    text = torch.randn((1, 7, 32), generator=generator)
    return Conditioning(text=text, **{name: every[name] for name in parts})


def build(like, **config):
    """A frozen 2-D UNet of random weights like another, but for some of its settings."""
    kept = {name: value for name, value in like.config.items() if not name.startswith("_")}
    torch.manual_seed(3)
    return UNet2DConditionModel(**kept | config).requires_grad_(False).eval()


@pytest.fixture(params=FAMILIES)
def family(request, unet_2d):
    """A UNet of random weights, the parts that it takes, and a conditioning by seed."""
    config, parts = FAMILIES[request.param]
    unet = build(unet_2d, **config)
    return unet, parts, lambda seed=0: told(parts, channels=unet.config.in_channels - 4, seed=seed)


def as_diffusers_has_it(unet, latents, context):
    """One frame, `1 c h w`, by the 2-D UNet's own arguments."""
    arguments = {}
    if context.pooled_text is not None:
        arguments["added_cond_kwargs"] = {"text_embeds": context.pooled_text, "time_ids": context.size_ids}
    if context.noise_level is not None:
        arguments["class_labels"] = context.noise_level
    if context.channels is not None:
        latents = torch.cat([latents, context.channels[:, :, 0]], dim=1)
    return unet(latents, 481, context.text, **arguments).sample


def plain(unet, schedule):
    """A denoiser that treats each frame by itself."""
    return UNetDenoiser(unet=InflatedUNet.from_2d(unet, attention="spatial", group_norm="frame"), schedule=schedule)


def noisy(frames=FRAMES):
    return torch.randn((1, 4, frames, SIDE, SIDE), generator=torch.Generator().manual_seed(5))


def test_each_frame_is_what_the_2d_unet_gives(family, schedule, close):
    unet, _, make = family
    context, latents = make(), noisy()
    got = plain(unet, schedule).predict(latents, 481, context)
    for frame in range(FRAMES):
        expected = as_diffusers_has_it(unet, latents[:, :, frame], context.pick_frames([frame]))
        close(got[:, :, frame], expected, 1e-5)


def test_every_part_counts(family, schedule):
    unet, parts, make = family
    denoiser, latents, context = plain(unet, schedule), noisy(), make()
    before = denoiser.predict(latents, 481, context)
    for name in parts:
        changed = dataclasses.replace(context, **{name: make(seed=1).parts()[name]})
        assert (denoiser.predict(latents, 481, changed) - before).abs().max() > 1e-4, name


def test_guidance_in_one_batch_is_two_predictions(family, schedule, close):
    unet, _, make = family
    denoiser, latents, one, other = plain(unet, schedule), noisy(), make(), make(seed=1)
    positive, negative = (denoiser.epsilon(latents, 481, each) for each in (one, other))
    close(guided(denoiser, one, other, 3.0)(latents, 481), negative + 3 * (positive - negative), 1e-5)


def test_windows_take_the_channels_of_their_own_frames(family, schedule, close):
    unet, _, make = family
    denoiser, latents, context = plain(unet, schedule), noisy(), make()
    windowed = WindowedDenoiser(denoiser=denoiser, windows=ContextWindows(length=3, overlap=1))
    close(windowed.epsilon(latents, 481, context), denoiser.epsilon(latents, 481, context), 1e-5)


def test_a_unet_asks_for_what_it_lacks(family, schedule):
    unet, parts, make = family
    denoiser, context = plain(unet, schedule), make()
    # Sizes that are not given are the clip's.
    for name in (part for part in parts if part != "size_ids"):
        with pytest.raises((ConfigError, LatentsError), match=f"Expected.*({name}|channels)"):
            denoiser.predict(noisy(), 481, dataclasses.replace(context, **{name: None}))


def test_a_unet_refuses_what_it_does_not_know(family, untuned):
    _, parts, make = family
    with pytest.raises((ConfigError, LatentsError), match=parts[0]):
        untuned.predict(noisy(), 481, make())


@pytest.mark.parametrize("part", ["pooled_text", "size_ids", "noise_level"])
def test_sd_1_and_2_are_told_text_alone(untuned, part):
    with pytest.raises(ConfigError, match=f"a conditioning that has {part}[^|]*nothing else"):
        untuned.unet(noisy(), 481, told([part]))


@pytest.mark.parametrize("shape", [(1, 4, 1, SIDE, SIDE), (1, 4, FRAMES, SIDE, 4), (2, 4, FRAMES, SIDE, SIDE)])
def test_channels_are_of_the_latents_size(unet_2d, schedule, shape):
    denoiser = plain(build(unet_2d, in_channels=8), schedule)
    text = torch.zeros(shape[0], 7, 32)
    with pytest.raises(LatentsError, match=r"channels of shape .* of one size"):
        denoiser.predict(noisy(), 481, Conditioning(text=text, channels=torch.zeros(shape)))
