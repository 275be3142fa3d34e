"""Context Windows: clips longer than memory allows, rendered a few frames at a time."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...tav_core.denoisers import windows
from ..core.interrupt import interruptible
from ..sockets.graph import QUEUED, explain, read_value
from ..sockets.widgets import CATEGORY, schema, widget


class ContextWindows(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVContextWindows",
            display_name="Context Windows",
            category=CATEGORY,
            description=(
                "For long clips: the MODEL denoises one window of frames at a time, so that memory does not grow with "
                "the clip. Neighbouring windows share frames, and all windows move from step to step and see the "
                "clip's first frame. Works with this pack's samplers and the stock ones. A clip that fits into one "
                "window is rendered exactly as without this node."
            ),
            search_aliases=["long video", "context options", "sliding window", "animatediff context"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="From Apply Motion or Load LaVie."),
                widget(
                    windows.ContextWindows,
                    "length",
                    tooltip="Frames per window: about as many as the motion was tuned on, or fewer to save memory.",
                ),
                widget(
                    windows.ContextWindows,
                    "overlap",
                    tooltip=(
                        "Frames that two neighbouring windows share, at least. More overlap hides the seams better "
                        "and takes longer."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model", display_name="model", tooltip="Connect this same MODEL to DDIM Invert and Sample Edit."
                )
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, model: Any, length: int, overlap: int) -> io.NodeOutput:
        from ..core.windows import add_windows

        return io.NodeOutput(add_windows(model, windows.ContextWindows(length=length, overlap=overlap)))

    @classmethod
    def validate_inputs(cls, overlap: Any = None) -> bool | str:
        length = read_value(QUEUED.get(), cls.hidden.unique_id, "length")
        if overlap is None or length is None:
            return True
        return explain(lambda: windows.ContextWindows(length=length, overlap=overlap))
