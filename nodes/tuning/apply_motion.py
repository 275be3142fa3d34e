"""Apply Motion: a tuned motion on a MODEL, which then renders batches of frames as one video."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ...tav_core.models.attention_modes import MODES
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, Motion, schema

if TYPE_CHECKING:
    from ...tav_core.tuning import motion as motions

AS_TUNED = "as tuned"


class ApplyMotion(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        factor = {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05}
        return schema(
            node_id="TAVApplyMotion",
            display_name="Apply Motion",
            category=CATEGORY,
            advanced=("attention",),
            description=(
                "Puts a tuned motion on a MODEL: the checkpoint it was tuned on, or any DreamBooth or fine-tuned "
                "checkpoint of the same family. LoRAs may come before or after this node. A batch of latents is then "
                "one video, for this pack's samplers and the stock ones. The MODEL that comes in is not changed."
            ),
            search_aliases=["tune a video", "video lora", "motion model", "dreambooth"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="Stable Diffusion 1.x, 2.x or XL: the same family that the motion was tuned on."
                ),
                Motion.Input("motion", tooltip="From One-Shot Tune, Load Motion or Import Original."),
                io.Float.Input(
                    "strength",
                    tooltip="How much of the tuned change in the weights is applied; 1 is as tuned, 0 is none of it.",
                    **factor,
                ),
                io.Float.Input(
                    "temporal_strength",
                    tooltip="How much the temporal attention between frames adds; 1 is as tuned, 0 turns it off.",
                    **factor,
                ),
                io.Combo.Input(
                    "attention",
                    options=[AS_TUNED, *MODES],
                    default=AS_TUNED,
                    tooltip="Which frames each frame attends to: as tuned, or another mode. Rarely needs changing.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model", display_name="model", tooltip="For any sampler: a batch of latents is one video."
                )
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls, model: Any, motion: motions.Motion, strength: float, temporal_strength: float, attention: str
    ) -> io.NodeOutput:
        from ..core.motion import apply_motion, same_base

        modes = {} if attention == AS_TUNED else {"attention": attention}
        patched = apply_motion(model, motion, strength=strength, temporal_strength=temporal_strength, **modes)
        if not same_base(model, motion):
            logging.info(
                "Apply Motion: the motion was tuned on other weights than the MODEL's, as a DreamBooth swap intends."
            )
        return io.NodeOutput(patched)
