"""Previews during tuning: inverts the clip and samples an edit in a few steps with the motion so far, and scores it."""

from __future__ import annotations

from collections.abc import Callable
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

# With so few steps, guidance must be lower than the paper's 12.5.
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
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Renders a preview: at most 8 evenly spaced frames of the edited clip, latents `1 c f h w`.

    Args:
        base: the UNet that the motion was tuned on.
        latents: the clip's latents, `1 c f h w`.
        source: the prompt that was tuned on, or its text embeddings `1 m d`; the clip is inverted under it.
        shown: the prompt to render, likewise.
        negative: the negative prompt, likewise; None for no guidance.
        on_step: called after each step of inversion and sampling with (steps done, steps in total).
    """
    tuned = UNetDenoiser(unet=motion.apply_to(base), schedule=schedule)
    total = 2 * NUM_STEPS
    start = invert(
        tuned, latents, source, num_steps=NUM_STEPS, keep="ends", on_step=lambda done, _: on_step(done, total)
    )
    guidance_scale = 1.0 if negative is None else GUIDANCE_SCALE
    config = EditConfig(num_steps=NUM_STEPS, guidance_scale=guidance_scale)
    video = edit(
        tuned,
        start,
        shown,
        shown if negative is None else negative,
        config=config,
        on_step=lambda done, *_: on_step(NUM_STEPS + done, total),
    )
    last = video.shape[2] - 1
    chosen = torch.linspace(0, last, min(NUM_FRAMES, last + 1), dtype=torch.float32, device="cpu").round().long()
    return video[:, :, chosen.to(video.device)]


def preview_score(frames: Tensor, clip: ClipEncoder, *, prompt: str, source_prompt: str) -> float:
    """How much more a preview looks like its own prompt than like the source's, by CLIP.

    The score is the mean over frames of the difference of two cosines, times 100. It is low for a preview that copies
    the source, and for one that shows neither prompt.

    Args:
        frames: `f h w 3` in [0, 1].
        prompt: the prompt that the preview was rendered under.
        source_prompt: the prompt that was tuned on.
    """
    from ..metrics import text_similarity

    embeddings = clip.encode_images(frames)
    towards, back = (text_similarity(embeddings, clip.encode_text(text)) for text in (prompt, source_prompt))
    return float((towards - back).mean())
