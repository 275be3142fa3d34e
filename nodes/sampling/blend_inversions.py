"""Blend Inversions: two clips' noises in one, for an edit between their motions or layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from einops import rearrange

from ..sockets.bridge import TO_LATENTS, TO_SAMPLES, as_inverted, check_samples
from ..sockets.widgets import CATEGORY, Trajectory, schema

if TYPE_CHECKING:
    from ...tav_core import invert


class BlendInversions(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVBlendInversions",
            display_name="Blend Inversions (Tune-A-Video)",
            category=CATEGORY,
            description=(
                "Blends what two DDIM Invert nodes gave, frame by frame on the arc between them, so that the noise "
                "keeps its strength; a plain mix would come out washed out. Both need the same size, frames, steps and "
                "method."
            ),
            search_aliases=["slerp", "interpolate noise", "latent blend", "mix inversions"],
            inputs=[
                io.Latent.Input("latent", tooltip="The inverted latent of the first clip."),
                Trajectory.Input("trajectory", tooltip="Of the first clip's inversion."),
                io.Latent.Input("latent_2", tooltip="The inverted latent of the second clip."),
                Trajectory.Input("trajectory_2", tooltip="Of the second clip's inversion."),
                io.Float.Input(
                    "weight",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the second: 0 is the first alone, 1 the second alone.",
                ),
            ],
            outputs=[
                io.Latent.Output("latent", display_name="inverted latent", tooltip="For Sample Edit."),
                Trajectory.Output("trajectory", display_name="trajectory", tooltip="For Sample Edit."),
            ],
        )

    @classmethod
    def execute(
        cls,
        latent: dict[str, Any],
        trajectory: invert.Trajectory,
        latent_2: dict[str, Any],
        trajectory_2: invert.Trajectory,
        weight: float,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.blend import blend, slerp

        pair = [check_samples(latent), check_samples(latent_2, "latent_2")]
        blended = blend(trajectory, trajectory_2, weight)
        samples = slerp(*(rearrange(samples, TO_LATENTS) for samples in pair), weight)
        return io.NodeOutput(as_inverted(rearrange(samples, TO_SAMPLES), blended), blended)
