"""Load Demo Cascade: what the bundled small LaVie needs beside its three files."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema


class LoadDemoCascade(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLoadDemoCascade",
            display_name="Load Demo Cascade",
            category=CATEGORY,
            description=(
                "Loads CLIP and VAEs for the tiny LaVie that comes with the pack; its three files are called "
                "tiny_lavie in the lists of LaVie's nodes. They draw moving shapes at 96x96, such as "
                '"a red star moving right on a blue background".'
            ),
            search_aliases=["demo lavie", "tiny lavie", "example video model", "text to video"],
            inputs=[],
            outputs=[
                io.Clip.Output("clip", display_name="clip", tooltip="The text model of all three."),
                io.Vae.Output("vae", display_name="vae", tooltip="For VAE Decode and Interpolate Frames."),
                io.Vae.Output("upscaler_vae", display_name="upscaler vae", tooltip="For Upscale Video."),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls) -> io.NodeOutput:
        from ..core.demo_cascade import load_cascade_parts

        return io.NodeOutput(*load_cascade_parts())
