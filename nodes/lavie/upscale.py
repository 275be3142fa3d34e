"""Upscale Video: four times as wide and high, drawn by LaVie."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.sampling.lavie_config import UpscaleConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images
from ..sockets.graph import explain
from ..sockets.memory import memory_warning
from ..sockets.show_text import warn
from ..sockets.widgets import CATEGORY, schema, seed_widget, widget
from .files import file_fingerprint, file_input, find_file, why_refused


class UpscaleVideo(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVUpscaleVideo",
            display_name="Upscale Video",
            category=CATEGORY,
            advanced=("negative", "chunk", "chunk_overlap"),
            description=(
                "Makes a video four times as wide and high: LaVie's super-resolution, the x4 upscaler made temporal, "
                "draws details that stay the same from frame to frame. Long videos go through it in chunks that "
                "overlap, so that they blend into each other."
            ),
            search_aliases=["video upscaler", "super resolution", "vsr", "x4 upscaler", "enlarge video", "4x"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("images", tooltip="The frames of a video, one or more, of any size."),
                file_input("super_resolution"),
                io.Vae.Input("vae", tooltip="The VAE of the x4 upscaler's checkpoint, x4-upscaler-ema.safetensors."),
                io.Clip.Input("clip", tooltip="The CLIP of the x4 upscaler's checkpoint."),
                io.String.Input("prompt", multiline=True, default="", tooltip="What the video shows."),
                widget(UpscaleConfig, "num_steps"),
                widget(UpscaleConfig, "guidance_scale", id="cfg", display_name="cfg", step=0.5),
                widget(UpscaleConfig, "noise_level"),
                seed_widget(UpscaleConfig, "upscale_seed", "Another seed gives other details."),
                widget(UpscaleConfig, "negative"),
                widget(UpscaleConfig, "chunk"),
                widget(UpscaleConfig, "chunk_overlap"),
                io.Boolean.Input(
                    "keep_colors",
                    display_name="keep colors",
                    default=True,
                    optional=True,
                    tooltip="Gives the result the colors of the input; the model shifts them. Details stay as drawn.",
                ),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="As many frames, four times as large."),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        images: Tensor,
        model_name: str,
        vae: Any,
        clip: Any,
        prompt: str,
        num_steps: int,
        cfg: float,
        noise_level: int,
        upscale_seed: int,
        keep_colors: bool = True,
        **settings: Any,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.keep_colors import keep_colors as as_colored
        from ...tav_core.sampling.upscale import TIMES
        from ..core.lavie_host import upscale_frames
        from ..core.lavie_inputs import encode_text

        told = {"num_steps": num_steps, "guidance_scale": cfg, "noise_level": noise_level, "seed": upscale_seed}
        config, frames = UpscaleConfig(**told, **settings), check_images(images, "images")
        num_frames, height, width, _ = frames.shape
        if warning := memory_warning(num_frames, TIMES * width, TIMES * height):
            warn(cls, warning)
        prompts = encode_text(clip, prompt), encode_text(clip, config.negative)
        large = upscale_frames(find_file(model_name), vae, frames, prompts, config)
        return io.NodeOutput(as_colored(large, frames.clamp(0, 1)) if keep_colors else large)

    @classmethod
    def fingerprint_inputs(cls, model_name: Any, **others: Any) -> str:
        return file_fingerprint(model_name)

    @classmethod
    async def validate_inputs(cls, model_name: Any = None, chunk: Any = None, chunk_overlap: Any = None) -> bool | str:
        said = {"chunk": chunk, "chunk_overlap": chunk_overlap}
        settings = explain(lambda: UpscaleConfig(**said) if None not in said.values() else None)
        return await why_refused(model_name, "super_resolution") if settings is True else settings
