"""Previews during a run: the clip rendered with what was learned so far, decoded by ComfyUI's VAE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...tav_core.denoisers.denoiser import UNetDenoiser
from ...tav_core.evaluation.preview import render_preview
from ...tav_core.models.unet_inputs import fill_size_ids
from ...tav_core.tuning.motion import Motion
from ..sockets.bridge import to_latent
from .frames import decode_frames

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.models.conditioning import Conditioning


class Prompts(NamedTuple):
    """One prompt each: of the clip, of the previews if they show something else, and the negative one."""

    source: Conditioning
    preview: Conditioning | None
    negative: Conditioning | None

    def outside_inference(self) -> Prompts:
        """Copies in float32 that can be trained on; ComfyUI makes text in inference mode. Call it outside that mode."""
        return Prompts(*(None if each is None else each.map(Tensor.clone).to(dtype=torch.float32) for each in self))


@dataclass
class Preview:
    """Renders the clip with a motion, as `render_preview` does.

    Args:
        vae, model: ComfyUI's VAE and MODEL, for decoding.
        prompts: what the clip shows, and what to render.
    """

    vae: Any
    model: ModelPatcher
    prompts: Prompts

    def render(
        self,
        motion: Motion,
        untuned: UNetDenoiser,
        base: Any,
        latents: Tensor,
        *,
        on_step: Callable[[int, int], None],
    ) -> np.ndarray:
        """A few frames at even distances in the clip, `f h w 3` in [0, 1].

        Args:
            on_step: called after each step with (steps done, steps in total).
        """
        # Of prompts in one batch, all or none have sizes.
        told = [
            each and fill_size_ids(each.to(device=latents.device), latents, motion.info.size_ids)
            for each in self.prompts.outside_inference()
        ]
        source, shown, negative = told
        shown = source if shown is None else shown
        asked = {"source": source, "shown": shown, "negative": negative}
        video = render_preview(motion, base, untuned.schedule, latents, **asked, on_step=on_step)
        with torch.inference_mode():
            return decode_frames(self.vae, to_latent(video, self.model)["samples"]).numpy()
