"""Mask Control: a ControlNet that holds one part of the clip, and leaves the rest to the edit."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema


class MaskControl(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVMaskControl",
            display_name="Mask Control",
            category=CATEGORY,
            description=(
                "Lets the ControlNet or T2I-Adapter before it act inside a mask alone. Edges and depth of the whole "
                "clip hold its place, too, which an edit of the place has to leave; with a mask of the subject, they "
                "hold the subject's motion, and the place is free."
            ),
            search_aliases=["controlnet mask", "mask controlnet", "regional controlnet", "attention mask"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="From Apply ControlNet."),
                io.Conditioning.Input("negative", tooltip="From the same Apply ControlNet."),
                io.Mask.Input("mask", tooltip="White where the control acts: one mask per frame, or one for all."),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive", tooltip="For Sample Edit or KSampler."),
                io.Conditioning.Output("negative", display_name="negative", tooltip="Likewise."),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, positive: list, negative: list, mask: Tensor) -> io.NodeOutput:
        from ..core.control_mask import mask_controls
        from ..sockets.bridge import to_mask

        return io.NodeOutput(*mask_controls(to_mask(mask), positive, negative))
