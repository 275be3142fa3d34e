"""Cross-Frame Model: frames of a batch attend to each other, on a MODEL that was never tuned."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...tav_core.models.attention_modes import MODES
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema


class CrossFrameModel(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVCrossFrameModel",
            display_name="Cross-Frame Model",
            category=CATEGORY,
            description=(
                "Lets the frames of a batch attend to each other, so that they show the same things, with any "
                "checkpoint and nothing tuned. A batch of latents is then one video, for the stock samplers too. The "
                "MODEL that comes in is not changed."
            ),
            search_aliases=[
                "text2video-zero",
                "cross-frame attention",
                "consistent frames",
                "zero-shot video",
                "instruct pix2pix video",
            ],
            inputs=[
                io.Model.Input(
                    "model", tooltip="Stable Diffusion 1.x, 2.x or XL, or InstructPix2Pix, with or without LoRAs."
                ),
                io.Combo.Input(
                    "attention",
                    options=list(MODES),
                    default="first",
                    tooltip="Which frames each frame attends to; first is Text2Video-Zero's.",
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
    def execute(cls, model: Any, attention: str) -> io.NodeOutput:
        from ..core.cross_frame import look_across_frames

        return io.NodeOutput(look_across_frames(model, attention=attention))
