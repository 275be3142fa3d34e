"""Stretch Inversion: the motion of an inverted clip, slower or faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from einops import rearrange

from ...tav_core.errors import ClipError
from ..core.interrupt import interruptible
from ..sockets.bridge import TO_LATENTS, TO_SAMPLES, as_inverted, check_images, check_samples
from ..sockets.widgets import CATEGORY, Trajectory, schema

if TYPE_CHECKING:
    from torch import Tensor

    from ...tav_core.sampling import trajectory as trajectories

UNCONNECTED = "Connect frames to Stretch Inversion, too: its output frames has those that are nearest in time."


class StretchInversion(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="TAVStretchInversion",
            display_name="Stretch Inversion",
            category=CATEGORY,
            is_experimental=True,
            description=(
                "Slows down or speeds up the motion of an inverted clip: frames between two are blends of their "
                "inverted noises (slerp), so that Sample Edit renders a frame there and not a double exposure."
            ),
            search_aliases=["slow motion", "speed", "time stretch", "frame interpolation", "retime"],
            inputs=[
                io.Latent.Input("latent", tooltip="The inverted latent from DDIM Invert."),
                Trajectory.Input("trajectory", tooltip="The trajectory of the same DDIM Invert."),
                io.Float.Input(
                    "speed",
                    default=0.5,
                    min=0.125,
                    max=8.0,
                    step=0.125,
                    tooltip="0.5 is half as fast, with nearly twice as many frames; 2 takes every other frame.",
                ),
                io.Image.Input(
                    "frames",
                    optional=True,
                    tooltip="What goes with the clip frame by frame, such as the edges that Apply ControlNet shows.",
                ),
            ],
            outputs=[
                io.Latent.Output("latent", display_name="inverted latent", tooltip="The noise, for Sample Edit."),
                Trajectory.Output("trajectory", display_name="trajectory", tooltip="Every step, for Sample Edit."),
                io.Image.Output(
                    "frames", display_name="frames", tooltip="Those given that are nearest, one per new frame."
                ),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        latent: dict[str, Any],
        trajectory: trajectories.Trajectory,
        speed: float,
        frames: Tensor | None = None,
    ) -> io.NodeOutput:
        from ...tav_core.layouts import check_num_frames
        from ...tav_core.sampling.stretch import find_times, nearest_frames, stretch, stretch_frames

        samples = rearrange(check_samples(latent), TO_LATENTS)
        check_num_frames(samples, trajectory.num_frames)
        times, picked = find_times(trajectory.num_frames, speed), ExecutionBlocker(UNCONNECTED)
        if frames is not None:
            picked = check_pictures(frames, trajectory.num_frames)[nearest_frames(len(times), speed)]
        made = stretch(trajectory, speed)
        return io.NodeOutput(as_inverted(rearrange(stretch_frames(samples, times), TO_SAMPLES), made), made, picked)


def check_pictures(frames: Tensor, num_frames: int) -> Tensor:
    """The pictures that go with a clip, one per frame.

    ComfyUI's ControlNets repeat hints of another number from the first on, and say nothing.

    Raises:
        ClipError: they are not one per frame of the inversion.
    """
    frames = check_images(frames, "frames")
    if len(frames) != num_frames:
        raise ClipError(
            got=f"{len(frames)} frames for an inversion of {num_frames}",
            expected="one per frame of the inverted clip",
            mend="Make them from the frames that were encoded and inverted.",
        )
    return frames
