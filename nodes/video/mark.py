"""Mark Video: a short text hidden in every frame, which says of a rendered video where it comes from."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..core.interrupt import interruptible
from ..sockets.bridge import check_images
from ..sockets.widgets import CATEGORY, schema


class MarkVideo(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVMarkVideo",
            display_name="Mark Video",
            category=CATEGORY,
            description=(
                "Hides a short text in every frame. It is not seen, and is still there when the video was encoded "
                "again. Needs the package invisible-watermark in ComfyUI's Python."
            ),
            search_aliases=["watermark", "invisible watermark", "provenance", "sign video", "ai label"],
            inputs=[
                io.Image.Input("frames", tooltip="The frames to mark, of 256x256 or more, just before they are saved."),
                io.String.Input(
                    "text", default="TAV", tooltip="Up to 6 bytes: letters, digits, or 2 Chinese characters."
                ),
            ],
            outputs=[io.Image.Output("frames", display_name="frames", tooltip="For Create Video.")],
        )

    @classmethod
    @interruptible
    def execute(cls, frames: Tensor, text: str) -> io.NodeOutput:
        from ...tav_core.video.watermark import mark_frames

        return io.NodeOutput(mark_frames(check_images(frames, "frames")[..., :3], text))
