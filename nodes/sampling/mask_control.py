"""Mask Control: a ControlNet that holds one part of the clip, and leaves the rest to the edit."""

from __future__ import annotations

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ...tav_core.errors import ConfigError
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema

NO_NEGATIVE = ConfigError(
    got="nothing at negative in Mask Control",
    expected="a prompt, for what is connected to its negative output",
    mend="Connect the negative prompt from Apply ControlNet.",
)


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
                io.Conditioning.Input("negative", tooltip="From the same Apply ControlNet.", optional=True),
                io.Mask.Input("mask", tooltip="White where the control acts: one mask per frame, or one for all."),
            ],
            outputs=[
                io.Conditioning.Output("positive", display_name="positive", tooltip="For Sample Edit or KSampler."),
                io.Conditioning.Output("negative", display_name="negative", tooltip="Likewise."),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, positive: list, mask: Tensor, negative: list | None = None) -> io.NodeOutput:
        from ..core.control_mask import mask_controls
        from ..sockets.bridge import to_mask

        masked = mask_controls(to_mask(mask), positive, negative or [])
        return io.NodeOutput(masked[0], masked[1] or ExecutionBlocker(str(NO_NEGATIVE)))
