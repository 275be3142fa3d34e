"""Load Demo Model: everything that the quickstart needs, loaded from files that come with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.demo import load_demo, load_demo_clip, load_demo_mask
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema


class LoadDemoModel(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVLoadDemoModel",
            display_name="Load Demo Model",
            category=CATEGORY,
            description=(
                "Loads a tiny text-to-image model that comes with the pack, and a clip that the model has never seen. "
                "The whole way from tuning to the edit then takes minutes, even on a CPU. The model knows twelve "
                "animals and machines in seven places and four styles, at 128x128."
            ),
            search_aliases=["demo checkpoint", "example model", "quickstart"],
            inputs=[],
            outputs=[
                io.Model.Output("model", display_name="model", tooltip="For One-Shot Tune and Apply Motion."),
                io.Clip.Output("clip", display_name="clip", tooltip="The text model, for CLIP Text Encode."),
                io.Vae.Output("vae", display_name="vae", tooltip="For One-Shot Tune, VAE Encode and Decode."),
                io.Image.Output(
                    "frames", display_name="frames", tooltip="A bear that runs through the snow, 8 frames."
                ),
                io.Float.Output("fps", display_name="fps", tooltip="The clip's frames per second."),
                io.Mask.Output("mask", display_name="mask", tooltip="Where the bear is in each frame."),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls) -> io.NodeOutput:
        clip = load_demo_clip()
        return io.NodeOutput(*load_demo(), clip.frames, clip.fps, load_demo_mask())
