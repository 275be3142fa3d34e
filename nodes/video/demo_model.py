"""Load Demo Model: everything that the quickstart needs, loaded from files that come with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ...tav_core.video.clip import read_clip
from ..core.demo import CLIP, load_demo
from ..core.interrupt import interruptible
from ..sockets.widgets import CATEGORY, schema

NUM_FRAMES, SIZE = 8, 96


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
                "The whole way from tuning to the edit then takes minutes, even on a CPU. The model knows circles, "
                "squares, triangles and stars in six colours on six backgrounds, at 96x96."
            ),
            search_aliases=["demo checkpoint", "example model", "quickstart"],
            inputs=[],
            outputs=[
                io.Model.Output("model", display_name="model", tooltip="For One-Shot Tune and Apply Motion."),
                io.Clip.Output("clip", display_name="clip", tooltip="The text model, for CLIP Text Encode."),
                io.Vae.Output("vae", display_name="vae", tooltip="For One-Shot Tune, VAE Encode and Decode."),
                io.Image.Output(
                    "frames", display_name="frames", tooltip="A red circle on a blue background, 8 frames."
                ),
                io.Float.Output("fps", display_name="fps", tooltip="The clip's frames per second."),
            ],
        )

    @classmethod
    @interruptible
    def execute(cls) -> io.NodeOutput:
        clip = read_clip(CLIP, num_frames=NUM_FRAMES, width=SIZE, height=SIZE)
        return io.NodeOutput(*load_demo(), clip.frames, clip.fps)
