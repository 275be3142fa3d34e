"""Zero-Shot Start: from a prompt to noisy latents that hold a motion, for the stock samplers to go on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ...tav_core.layouts import VAE_FACTOR
from ...tav_core.sampling.zero_shot.config import ZeroShotConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import check_samples
from ..sockets.widgets import CATEGORY, MotionFieldType, schema, seed_widget, widget

if TYPE_CHECKING:
    from ...tav_core.sampling.zero_shot.motion_field import MotionField


class ZeroShotStart(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVZeroShotStart",
            display_name="Zero-Shot Start",
            category=CATEGORY,
            advanced=("t0", "t1"),
            description=(
                "Begins a video from text (Text2Video-Zero): denoises the first frame for a few steps, moves it as the "
                "motion field says, and adds fresh noise to each frame. SamplerCustom goes on from there, with the "
                "sigmas that come with it and add_noise off."
            ),
            search_aliases=["text2video-zero", "text to video", "txt2vid", "zero-shot video"],
            inputs=[
                io.Model.Input("model", tooltip="From Cross-Frame Model."),
                io.Conditioning.Input("positive", tooltip="What the video shows."),
                io.Conditioning.Input("negative", tooltip="The empty prompt, or what should not appear."),
                io.Latent.Input(
                    "latent",
                    tooltip="Its size and number of frames are taken: Empty Latent Image, batch_size as the frames.",
                ),
                seed_widget(ZeroShotConfig, "start_seed", "Another seed gives another video."),
                widget(ZeroShotConfig, "num_steps", tooltip="Sampling steps of the whole video; 50 in the original."),
                widget(
                    ZeroShotConfig,
                    "guidance_scale",
                    id="cfg",
                    display_name="cfg",
                    min=1.0,
                    step=0.5,
                    tooltip="How strongly the video follows the prompt; give SamplerCustom the same.",
                ),
                widget(ZeroShotConfig, "t0", step=0.01),
                widget(ZeroShotConfig, "t1", step=0.01),
                MotionFieldType.Input(
                    "motion_field",
                    optional=True,
                    tooltip="From Motion Field. Without it, each frame starts from noise of its own.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="latent", tooltip="Noisy latents: for SamplerCustom with add_noise off."
                ),
                io.Sigmas.Output("sigmas", display_name="sigmas", tooltip="The sigmas of the steps that are left."),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        latent: dict[str, Any],
        start_seed: int,
        num_steps: int,
        cfg: float,
        t0: float,
        t1: float,
        motion_field: MotionField | None = None,
    ) -> io.NodeOutput:
        from ..core.cross_frame import check_looks_across_frames
        from ..core.zero_shot import begin

        check_looks_across_frames(model)
        samples = check_samples(latent)
        num_frames, _, height, width = samples.shape
        # Guidance is core's here, so the library's own is off.
        config = ZeroShotConfig(
            num_frames=num_frames,
            height=VAE_FACTOR * height,
            width=VAE_FACTOR * width,
            num_steps=num_steps,
            guidance_scale=1.0,
            seed=start_seed,
            t0=t0,
            t1=t1,
        )
        guided = {"positive": positive, "negative": negative, "guidance_scale": cfg}
        noisy, sigmas = begin(model, samples, config, motion_field, **guided)
        return io.NodeOutput({"samples": noisy}, sigmas)
