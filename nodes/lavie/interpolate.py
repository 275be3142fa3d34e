"""Interpolate Frames: three more frames between each two, drawn by LaVie."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.sampling.lavie_config import InterpolateConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images
from ..sockets.graph import explain
from ..sockets.widgets import CATEGORY, schema, seed_widget, widget
from .files import file_fingerprint, file_input, find_file, why_refused


class InterpolateFrames(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVInterpolateFrames",
            display_name="Interpolate Frames",
            category=CATEGORY,
            advanced=("negative", "prompt_suffix", "window", "window_overlap"),
            description=(
                "Makes a video smoother: LaVie's interpolation draws three more frames between each two, so that k "
                "frames become 4k - 3. It draws the given frames anew as well. Any video will do: an edit, a clip, or "
                "what LaVie's base made."
            ),
            search_aliases=["frame interpolation", "smooth video", "slow motion", "vfi", "more frames", "fps"],
            inputs=[
                io.Image.Input("images", tooltip="The frames of a video, two or more, of any size."),
                file_input("interpolation"),
                io.Vae.Input("vae", tooltip="The VAE of a Stable Diffusion 1.x checkpoint."),
                io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.x checkpoint."),
                io.String.Input("prompt", multiline=True, default="", tooltip="What the video shows."),
                widget(InterpolateConfig, "num_steps"),
                widget(InterpolateConfig, "guidance_scale", id="cfg", display_name="cfg", step=0.5),
                seed_widget(InterpolateConfig, "interpolate_seed", "Another seed gives other frames."),
                io.Float.Input(
                    "fps",
                    default=8.0,
                    min=0.01,
                    max=1000.0,
                    step=1.0,
                    tooltip="Frames per second of the video that comes in; four times as many go out.",
                ),
                widget(InterpolateConfig, "negative"),
                widget(InterpolateConfig, "prompt_suffix"),
                widget(InterpolateConfig, "window"),
                widget(InterpolateConfig, "window_overlap"),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="4k - 3 frames, of the same size."),
                io.Float.Output("fps", display_name="fps", tooltip="Four times the frames per second that came in."),
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
        interpolate_seed: int,
        fps: float,
        **settings: Any,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.interpolate import FACTOR
        from ..core.lavie_host import interpolate_frames
        from ..core.lavie_inputs import encode_text

        config = InterpolateConfig(num_steps=num_steps, guidance_scale=cfg, seed=interpolate_seed, **settings)
        frames = check_several(check_images(images, "images"))
        prompts = encode_text(clip, prompt + config.prompt_suffix), encode_text(clip, config.negative)
        return io.NodeOutput(interpolate_frames(find_file(model_name), vae, frames, prompts, config), FACTOR * fps)

    @classmethod
    def fingerprint_inputs(cls, model_name: Any, **others: Any) -> str:
        return file_fingerprint(model_name)

    @classmethod
    async def validate_inputs(
        cls, model_name: Any = None, window: Any = None, window_overlap: Any = None
    ) -> bool | str:
        said = {"window": window, "window_overlap": window_overlap}
        settings = explain(lambda: InterpolateConfig(**said) if None not in said.values() else None)
        return await why_refused(model_name, "interpolation") if settings is True else settings


def check_several(frames: Tensor) -> Tensor:
    """Frames, of which there are two or more.

    Raises:
        ClipError: there is one.
    """
    from ...tav_core.errors import ClipError

    if len(frames) < 2:
        raise ClipError(
            got="one frame",
            expected="the frames of a video, two or more: there is nothing between a frame and itself",
            mend="Connect Load Clip or VAE Decode.",
        )
    return frames
