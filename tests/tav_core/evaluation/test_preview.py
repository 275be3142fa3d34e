"""tav_core/evaluation/preview.py: what a preview shows, and of which frames."""

from __future__ import annotations

import pytest
import torch

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.evaluation.preview import GUIDANCE_SCALE, NUM_FRAMES, NUM_STEPS, render_preview
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.tune import tune


@pytest.fixture
def motion(untuned, clip_latents, context):
    config = TuneConfig(num_steps=3, learning_rate=1e-2, memory="speed", save_every=0)
    return tune(untuned, clip_latents, context, config=config)


@pytest.fixture
def previewed(motion, unet_2d, untuned, context):
    """A preview of a clip under another prompt, and all frames of the edit that it is of."""
    tuned = UNetDenoiser(unet=motion.apply_to(unet_2d), schedule=untuned.schedule)
    shown, empty = context.flip(1), context * 0

    def render(latents, *, guided):
        prompts = {"source": context, "shown": shown, "negative": empty if guided else None}
        config = EditConfig(num_steps=NUM_STEPS, guidance_scale=GUIDANCE_SCALE if guided else 1.0)
        start = invert(tuned, latents, context, num_steps=NUM_STEPS)
        whole = edit(tuned, start, shown, empty, config=config)
        return render_preview(motion, unet_2d, untuned.schedule, latents, **prompts), whole

    return render


@pytest.mark.parametrize("guided", [True, False])
def test_a_preview_is_an_edit_of_few_steps(previewed, clip_latents, guided):
    preview, whole = previewed(clip_latents, guided=guided)
    assert torch.equal(preview, whole)


def test_a_long_clip_shows_its_ends_and_frames_evenly_between(previewed):
    noise = torch.randn(1, 4, 2 * NUM_FRAMES - 1, 8, 8, generator=torch.Generator().manual_seed(4))
    preview, whole = previewed(noise, guided=True)
    assert torch.equal(preview, whole[:, :, ::2])
