"""Animate: an object moved along a path that is drawn on the node, and the camera moved."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ...tav_core.video.config import AnimateConfig, CameraConfig
from ...tav_core.video.motion_path import check_path, parse_path
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images, to_mask
from ..sockets.graph import explain
from ..sockets.widgets import CATEGORY, schema, widget

# What the node tells its drawing of: the picture to draw on, see web/motion_path.js.
PICTURE = "tav_picture"


class Animate(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        signed = {"step": 0.05}
        return schema(
            node_id="TAVAnimate",
            display_name="Animate",
            category=CATEGORY,
            # So that it can be run alone, to see the picture that is to be drawn on.
            is_output_node=True,
            advanced=("begin", "margin", "feather", "own_scale", "follows"),
            description=(
                "Draw a motion: cuts the object in the mask from a picture or clip, fills its place, and moves it "
                "along the path that you draw below. The camera can pan, zoom and turn. The result is crude: Animation "
                "Start or DDIM Invert make a video of it."
            ),
            search_aliases=[
                "motion path",
                "draw motion",
                "trajectory",
                "spline editor",
                "drag",
                "cut and drag",
                "time-to-move",
                "camera motion",
                "pan zoom",
                "scale motion",
                "image to video",
            ],
            inputs=[
                io.Image.Input("frames", tooltip="A picture, or the frames of a clip."),
                io.String.Input(
                    "path",
                    default="",
                    tooltip=(
                        "Points that the object passes, in fractions of the frame, as you draw them: [[0.2, 0.5], "
                        "[0.8, 0.5]] or 0.2,0.5 0.8,0.5. Empty: the object keeps its own motion, times scale."
                    ),
                ),
                widget(AnimateConfig, "num_frames"),
                widget(AnimateConfig, "still"),
                widget(AnimateConfig, "scale", min=-10.0, **signed),
                widget(CameraConfig, "pan_x", min=-4.0, **signed),
                widget(CameraConfig, "pan_y", min=-4.0, **signed),
                widget(CameraConfig, "zoom", **signed),
                widget(CameraConfig, "turn", min=-360.0, step=1.0),
                widget(AnimateConfig, "begin"),
                widget(AnimateConfig, "margin"),
                widget(AnimateConfig, "feather"),
                widget(CameraConfig, "own_scale", min=-10.0, **signed),
                widget(CameraConfig, "follows"),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "The object, in white: one mask, or one per frame of a clip. Take its shadow in, or the shadow "
                        "stays behind. Without a mask, only the camera moves."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="The animation, for VAE Encode."),
                io.Mask.Output("mask", display_name="mask", tooltip="Where the object is in each frame."),
            ],
        )

    @classmethod
    @interruptible
    def execute(
        cls,
        frames: Tensor,
        path: str,
        num_frames: int,
        still: bool,
        scale: float,
        pan_x: float,
        pan_y: float,
        zoom: float,
        turn: float,
        begin: str,
        margin: int,
        feather: int,
        own_scale: float,
        follows: bool,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        from ...tav_core.metrics.drift import measure_drift
        from ...tav_core.video.animate import animate

        config = AnimateConfig(
            num_frames=num_frames, still=still, scale=scale, begin=begin, margin=margin, feather=feather
        )
        camera = CameraConfig(pan_x=pan_x, pan_y=pan_y, zoom=zoom, turn=turn, own_scale=own_scale, follows=follows)
        pictures = check_images(frames, "frames")
        own = None if mask is None else to_mask(mask)
        made = animate(pictures, own, read_path(path), config=config, camera=camera, measure=measure_drift)
        shown = {PICTURE: ui.PreviewImage(pictures[:1], cls=cls).values}
        return io.NodeOutput(made.frames, made.mask, ui=shown)

    @classmethod
    def validate_inputs(cls, path: Any = "") -> bool | str:
        return explain(lambda: read_path(path)) if isinstance(path, str) else True


def read_path(text: str) -> list[tuple[float, float]]:
    """The points of the widget, none or a whole path."""
    points = parse_path(text)
    return check_path(points) if points else []
