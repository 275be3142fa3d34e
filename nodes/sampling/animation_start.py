"""Animation Start: from a crude animation to noisy latents that hold its motion, for Sample Edit or a stock sampler."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...tav_core.errors import ConfigError
from ...tav_core.sampling.config import AnimationConfig, EditConfig
from ..core.interrupt import interruptible
from ..sockets.bridge import begun_from, check_samples, to_mask
from ..sockets.widgets import CATEGORY, schema, seed_widget, widget


class AnimationStart(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVAnimationStart",
            display_name="Animation Start",
            category=CATEGORY,
            description=(
                "Starts a video from a crude animation (Time-to-Move): noises it from below the top, with the same "
                "noise in all frames, so that its motion is still in it. Connect Sample Edit; or SamplerCustom, with "
                "the sigmas that come with it and add_noise off."
            ),
            search_aliases=["time-to-move", "ttm", "sdedit", "drag", "cut and drag", "motion control", "denoise video"],
            inputs=[
                io.Model.Input("model", tooltip="From Apply Motion or Cross-Frame Model, whose batches are videos."),
                io.Latent.Input("latent", tooltip="The frames of Animate, by VAE Encode."),
                widget(
                    EditConfig,
                    "num_steps",
                    tooltip="Sampling steps from pure noise; Sample Edit needs the same number.",
                ),
                widget(
                    AnimationConfig,
                    "strength",
                    tooltip=(
                        "How much noise the animation starts with, as a share of the steps that are taken: lower stays "
                        "nearer to the animation, higher follows the prompt more."
                    ),
                ),
                widget(
                    AnimationConfig,
                    "hold",
                    tooltip=(
                        "Share of those steps, from the first on, that keep the animation inside the mask; 0 is off, "
                        "and without a mask nothing is kept."
                    ),
                ),
                seed_widget(EditConfig, "start_seed", "Another seed gives another video."),
                io.Mask.Input(
                    "mask", optional=True, tooltip="The mask of Animate: where the animation is held. None: nowhere."
                ),
            ],
            outputs=[
                io.Model.Output("model", display_name="model", tooltip="The MODEL that holds the animation."),
                io.Latent.Output(
                    "latent", display_name="latent", tooltip="For Sample Edit, or SamplerCustom with add_noise off."
                ),
                io.Sigmas.Output(
                    "sigmas", display_name="sigmas", tooltip="For SamplerCustom: the steps that are left."
                ),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        model: Any,
        latent: dict[str, Any],
        num_steps: int,
        strength: float,
        hold: float,
        start_seed: int,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        from ..core import animation
        from ..core.cross_frame import check_looks_across_frames

        check_looks_across_frames(model)
        samples = check_samples(latent)
        config = EditConfig(num_steps=num_steps, seed=start_seed)
        start = AnimationConfig(begin="noised", strength=strength, hold=hold)
        if len(samples) < 2:
            raise ConfigError(
                got="an animation of one frame",
                expected="all of its frames in one LATENT",
                mend="Connect the frames of Animate to VAE Encode.",
            )
        held = model if mask is None else animation.hold(model, samples, to_mask(mask), start, num_steps=num_steps)
        begun, sigmas = animation.begin(model, samples, start, config)
        return io.NodeOutput(held, begun_from(begun, num_steps=num_steps, steps=start.steps_of(num_steps)), sigmas)
