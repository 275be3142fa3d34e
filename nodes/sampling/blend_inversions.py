"""Blend Inversions: the noises of two clips blended into one, for an edit between their motions or layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from einops import rearrange

from ..core.interrupt import interruptible
from ..sockets.bridge import TO_LATENTS, TO_SAMPLES, as_inverted, check_samples
from ..sockets.widgets import CATEGORY, Trajectory, schema

if TYPE_CHECKING:
    from ...tav_core.sampling import trajectory as trajectories


class BlendInversions(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVBlendInversions",
            display_name="Blend Inversions",
            category=CATEGORY,
            is_experimental=True,
            description=(
                "Blends the outputs of two DDIM Invert nodes, frame by frame along the arc between them (slerp), so "
                "that the noise keeps its strength; a plain average would look washed out. Both inversions need the "
                "same size, number of frames, number of steps and method."
            ),
            search_aliases=["slerp", "interpolate noise", "latent blend", "mix inversions"],
            inputs=[
                io.Latent.Input("latent", tooltip="The inverted latent of the first clip."),
                Trajectory.Input("trajectory", tooltip="The trajectory of the first clip's inversion."),
                io.Latent.Input("latent_2", tooltip="The inverted latent of the second clip."),
                Trajectory.Input("trajectory_2", tooltip="The trajectory of the second clip's inversion."),
                io.Float.Input(
                    "weight",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the second clip: 0 is the first clip alone, 1 the second clip alone.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="inverted latent", tooltip="The blended noise, for Sample Edit."
                ),
                Trajectory.Output(
                    "trajectory", display_name="trajectory", tooltip="The blend at every step, for Sample Edit."
                ),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        latent: dict[str, Any],
        trajectory: trajectories.Trajectory,
        latent_2: dict[str, Any],
        trajectory_2: trajectories.Trajectory,
        weight: float,
    ) -> io.NodeOutput:
        from ...tav_core.sampling.blend import blend, slerp

        pair = [check_samples(latent), check_samples(latent_2, "latent_2")]
        blended = blend(trajectory, trajectory_2, weight)
        samples = slerp(*(rearrange(samples, TO_LATENTS) for samples in pair), weight)
        return io.NodeOutput(as_inverted(rearrange(samples, TO_SAMPLES), blended), blended)
