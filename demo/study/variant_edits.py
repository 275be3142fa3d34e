"""Renders a clip's edits as a variant says: tuned or not, inverted or not, led, masked, injected."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from tav_core import (
    Checkpoint,
    ClipInfo,
    ControlConfig,
    FlowGuidedDenoiser,
    InflatedUNet,
    InjectedDenoiser,
    LocalPrompt,
    Motion,
    Trajectory,
    UNetDenoiser,
    composite,
    decode_latents,
    edit,
    encode_frames,
    encode_prompt,
    gaussian_noise,
    invert,
    keep_outside,
    token_paths,
    tune,
)
from tav_core.sampling.local_edit import latent_mask

from .drawn import draw_edits
from .variants import PLAIN, Variant
from .worlds import World

FEATHER = 4


def tuned_denoiser(
    world: World, checkpoint: Checkpoint, clip: Any, seed: int, out: Path, variant: Variant
) -> UNetDenoiser:
    """The variant's model, tuned on the clip; a fitting motion that another variant left in `out` is reused."""
    untuned = UNetDenoiser(
        unet=InflatedUNet.from_2d(checkpoint.unet, **variant.modes, seed=seed), schedule=checkpoint.schedule
    )
    if not variant.tuned:
        return untuned
    kept = out / f"motion_{clip.name}_{seed}_{variant.motion_name}.safetensors"
    if not kept.exists():
        latents = encode_frames(checkpoint.vae, scale_frames(torch.from_numpy(clip.frames()), variant.tuned_at))
        # A GPU would choose half precision.
        config = dataclasses.replace(world.tuning, seed=seed, precision="fp32", **variant.tuning)
        about = ClipInfo(prompt=clip.prompt)
        start = Motion.load(world.model / "start.safetensors") if variant.started else None
        prompt = encode_prompt(checkpoint, clip.prompt)
        motion = tune(untuned, latents, prompt, config=config, about=about, start=start)
        motion.save(kept, dtype=torch.float32)
    return UNetDenoiser(unet=Motion.load(kept).apply_to(checkpoint.unet), schedule=checkpoint.schedule)


def scale_frames(frames: Tensor, share: float) -> Tensor:
    """Frames `f h w c` with sides of a share of their length."""
    if share == 1:
        return frames
    scaled = F.interpolate(rearrange(frames, "f h w c -> f c h w"), scale_factor=share, mode="area")
    return rearrange(scaled, "f c h w -> f h w c")


def render_edits(world: World, checkpoint: Checkpoint, clip: Any, seed: int, out: Path, variant: Variant) -> np.ndarray:
    """All edits of a clip under a variant: `edits f h w 3` in [0, 1]."""
    if variant.drawn:
        return draw_edits(world, checkpoint, clip)
    denoiser = tuned_denoiser(world, checkpoint, clip, seed, out, variant)
    makers, videos = [variant.making(world.changed_parts(clip, each)) for each in clip.edits], {}
    for maker in {id(each): each for each in makers}.values():
        places = [place for place, each in enumerate(makers) if each is maker]
        edits = [clip.edits[place] for place in places]
        rendered = render_with(world, denoiser, checkpoint, clip, seed, maker, edits=edits)
        videos |= dict(zip(places, rendered, strict=True))
    return np.stack([videos[place] for place in range(len(makers))])


@torch.no_grad()
def render_with(
    world: World,
    denoiser: UNetDenoiser,
    checkpoint: Checkpoint,
    clip: Any,
    seed: int = 0,
    variant: Variant = PLAIN,
    *,
    edits: Sequence[Any] | None = None,
) -> np.ndarray:
    """All edits of a clip, or some of them, with a given model, inverted and edited as the variant says: `edits f h w
    3` in [0, 1]."""
    config = dataclasses.replace(world.sampling, **variant.sampling)
    frames = torch.from_numpy(clip.frames())
    latents = encode_frames(checkpoint.vae, frames).mean
    empty, source = encode_prompt(checkpoint, ""), encode_prompt(checkpoint, clip.prompt)
    inverted_under = source if variant.source_prompt else empty
    if variant.led:
        control = ControlConfig(end=variant.led, scale=variant.led_scale)
        denoiser = world.lead(denoiser, clip, control, around_subject=variant.led_around)
    guided = denoiser
    if variant.flow is not None:
        guided = FlowGuidedDenoiser(denoiser=denoiser, paths=token_paths(frames), config=variant.flow)
    if variant.inverted:
        start = invert(
            guided if variant.flow_inverted else denoiser,
            latents,
            inverted_under,
            num_steps=config.num_steps,
            method=variant.method,
        )
    else:
        start = gaussian_noise(latents.shape, seed)
    injected = None
    if variant.injection is not None:
        source_of = {"trajectory": start, "source_context": inverted_under}
        injected = InjectedDenoiser(denoiser=guided, **source_of, config=variant.injection)
    negative, videos = source if variant.negative_source else empty, []
    for each in clip.edits if edits is None else edits:
        mask = world.mask_of(clip, each) if variant.masked else None
        correct = None if mask is None else keep_outside(start, mask, feather=FEATHER)
        keeps_layout = set(world.changed_parts(clip, each)) <= set(world.layout_parts)
        model = injected if injected and (keeps_layout or not variant.layout_only) else guided
        prompt = encode_prompt(checkpoint, each.prompt)
        begun, sampling = start, config
        if mask is not None and world.adds(clip, each):
            begun = renew_inside(start, mask, variant.renewed, seed)
            sampling = dataclasses.replace(config, **variant.adding)
        local = [
            LocalPrompt(context=encode_prompt(checkpoint, words), mask=where)
            for words, where in (world.local_prompts(clip, each) if variant.local else ())
        ]
        how = {"config": sampling, "correct": correct, "local": local}
        video = decode_latents(checkpoint.vae, edit(model, begun, prompt, negative, **how))[0]
        videos.append(video if mask is None else composite(frames, video, mask, feather=FEATHER))
    return torch.stack(videos).numpy()


def renew_inside(start: Trajectory, mask: Tensor, share: float, seed: int) -> Trajectory:
    """The start of an edit with new noise inside a mask, where nothing of the source is to stay.

    The inverted noise holds the source, so that an edit repeats an empty meadow where it should add a ball. The new
    noise is the same in all frames, so that they add the same ball. Both noises
    add up by their squares, which leaves the variance as it is.

    Args:
        start: an inverted clip.
        mask: `f h w` in {0, 1}, in the clip's size.
        share: of the new noise's square, 0 to 1.
        seed: of the new noise.
    """
    inside = share * rearrange(latent_mask(mask, FEATHER), "f h w -> 1 1 f h w").to(start.noise)
    one = gaussian_noise(start.noise[:, :, :1].shape, seed).to(start.noise)
    noise = one.expand_as(start.noise)
    mixed = (1 - inside).sqrt() * start.noise + inside.sqrt() * noise
    return dataclasses.replace(start, latents=torch.cat([start.latents[:-1], mixed[None]]))
