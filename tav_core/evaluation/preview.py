"""Previews of a tuning: the clip with what was learned so far, inverted and sampled in a few steps, and their score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..denoisers.denoiser import UNetDenoiser
from ..sampling.config import EditConfig
from ..sampling.edit import edit
from ..sampling.invert import invert
from ..tuning.motion import Motion

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from ..metrics import ClipEncoder
    from ..models.conditioning import Conditioning
    from ..models.schedule import NoiseSchedule

# So few steps ask for less guidance than the paper's 12.5.
NUM_STEPS, NUM_FRAMES, GUIDANCE_SCALE = 10, 8, 7.5


def render_preview(
    motion: Motion,
    base: UNet2DConditionModel,
    schedule: NoiseSchedule,
    latents: Tensor,
    *,
    source: Conditioning | Tensor,
    shown: Conditioning | Tensor,
    negative: Conditioning | Tensor | None,
) -> Tensor:
    """At most 8 frames, evenly taken from the edited clip: latents `1 c f h w`.

    Args:
        base: that the motion was tuned on.
        latents: of the clip, `1 c f h w`.
        source: the prompt that was tuned on, or its text embeddings `1 m d`; the clip is inverted under it.
        shown: what to render, alike.
        negative: what guidance leads away from, alike; None for no guidance.
    """
    tuned = UNetDenoiser(unet=motion.apply_to(base), schedule=schedule)
    start = invert(tuned, latents, source, num_steps=NUM_STEPS, keep="ends")
    guidance_scale = 1.0 if negative is None else GUIDANCE_SCALE
    config = EditConfig(num_steps=NUM_STEPS, guidance_scale=guidance_scale)
    video = edit(tuned, start, shown, shown if negative is None else negative, config=config)
    last = video.shape[2] - 1
    chosen = torch.linspace(0, last, min(NUM_FRAMES, last + 1)).round().long()
    return video[:, :, chosen.to(video.device)]


def preview_score(frames: Tensor, clip: ClipEncoder, *, prompt: str, source_prompt: str) -> float:
    """How much more a preview looks like its own prompt than like the source's, by CLIP.

    The mean over frames of the difference of two cosines, times 100. A preview that copies the source scores low, and
    so does one that shows nothing of either.

    Args:
        frames: `f h w 3` in [0, 1].
        prompt: what it was rendered under.
        source_prompt: what was tuned on.
    """
    from ..metrics import text_similarity

    embeddings = clip.encode_images(frames)
    towards, back = (text_similarity(embeddings, clip.encode_text(text)) for text in (prompt, source_prompt))
    return float((towards - back).mean())
