"""Smooth Background: outside a mask, frames take the background of the moved first frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...tav_core.errors import ClipError
from ...tav_core.sampling.zero_shot.config import ZeroShotConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import TO_LATENTS, TO_SAMPLES, check_samples, to_mask
from ..sockets.widgets import CATEGORY, MotionFieldType, schema, widget

if TYPE_CHECKING:
    from ...tav_core.sampling.zero_shot.motion_field import MotionField


class SmoothBackground(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVSmoothBackground",
            display_name="Smooth Background",
            category=CATEGORY,
            is_experimental=True,
            description=(
                "Between Zero-Shot Start and SamplerCustom: what lies outside the mask comes from the moved first "
                "frame, so that the background flickers less. Make the mask from a first result."
            ),
            search_aliases=["background smoothing", "text2video-zero", "flicker"],
            inputs=[
                io.Latent.Input("latent", tooltip="From Zero-Shot Start."),
                io.Mask.Input("foreground", tooltip="What moves by itself, in white: one mask per frame."),
                widget(ZeroShotConfig, "smoothing"),
                MotionFieldType.Input(
                    "motion_field", optional=True, tooltip="The same as for Zero-Shot Start, if it had one."
                ),
            ],
            outputs=[
                io.Latent.Output("latent", display_name="latent", tooltip="For SamplerCustom, as from the start.")
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        latent: dict[str, Any],
        foreground: Tensor,
        smoothing: float,
        motion_field: MotionField | None = None,
    ) -> io.NodeOutput:
        return io.NodeOutput({"samples": smooth(check_samples(latent), to_mask(foreground), smoothing, motion_field)})


def smooth(samples: Tensor, mask: Tensor, strength: float, motion: MotionField | None) -> Tensor:
    """Smoothed samples, `f c h w`.

    Raises:
        ClipError: there is not one mask per frame.
    """
    from einops import rearrange

    from ...tav_core.sampling.zero_shot.motion_field import MotionField
    from ...tav_core.sampling.zero_shot.smoothing import latent_foreground, smooth_background

    num_frames, _, height, width = samples.shape
    if len(mask) not in (1, num_frames):
        raise ClipError(
            got=f"{len(mask)} masks for {num_frames} frames",
            expected="one mask per frame, or one for all",
            mend="Make the masks from the frames of a first result.",
        )
    small = latent_foreground(mask.expand(num_frames, -1, -1), height=height, width=width)
    frames = range(1, num_frames)
    places = (motion or MotionField()).places(frames, num_frames=num_frames, height=height, width=width)
    latents = rearrange(samples, TO_LATENTS)
    others = smooth_background(latents[:, :, 1:], latents[:, :, :1], small, places, strength=strength)
    return rearrange(torch.cat([latents[:, :, :1], others], dim=2), TO_SAMPLES)
