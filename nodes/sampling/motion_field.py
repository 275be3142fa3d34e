"""Motion Field: how the camera of a video from text moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ...tav_core.errors import ConfigError
from ..core.interrupt import interruptible
from ..sockets.graph import explain
from ..sockets.widgets import CATEGORY, MotionFieldType, schema

if TYPE_CHECKING:
    from ...tav_core.sampling.zero_shot.motion_field import MotionField as Field


class MotionField(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        pixels = {"default": 12.0, "min": -512.0, "max": 512.0, "step": 0.5}
        return schema(
            node_id="TAVMotionField",
            display_name="Motion Field",
            category=CATEGORY,
            description=(
                "How the camera moves from frame to frame, for Zero-Shot Start. What it looks at moves the other way "
                "on the screen. The parts add up."
            ),
            search_aliases=["camera motion", "pan", "zoom", "text2video-zero"],
            inputs=[
                io.Float.Input("move_x", tooltip="Pixels per frame to the right; negative moves left.", **pixels),
                io.Float.Input("move_y", tooltip="Pixels per frame downwards; negative moves up.", **pixels),
                io.Float.Input(
                    "zoom",
                    default=1.0,
                    min=0.5,
                    max=2.0,
                    step=0.01,
                    tooltip="Factor per frame: above 1 comes nearer, below 1 goes back.",
                ),
                io.Float.Input(
                    "turn", default=0.0, min=-45.0, max=45.0, step=0.5, tooltip="Degrees per frame, clockwise."
                ),
                io.String.Input(
                    "path",
                    default="",
                    multiline=True,
                    tooltip=(
                        "Points in pixels that the camera passes, from the first frame to the last: one per line, "
                        "such as 40, -12. Empty for none."
                    ),
                ),
            ],
            outputs=[
                MotionFieldType.Output("motion_field", display_name="motion field", tooltip="For Zero-Shot Start.")
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, move_x: float, move_y: float, zoom: float, turn: float, path: str) -> io.NodeOutput:
        return io.NodeOutput(make_field(move_x, move_y, zoom, turn, path))

    @classmethod
    def validate_inputs(cls, path: str | None = None) -> bool | str:
        return path is None or explain(lambda: make_field(0.0, 0.0, 1.0, 0.0, path))


def make_field(move_x: float, move_y: float, zoom: float, turn: float, path: str) -> Field:
    """The field that the widgets describe.

    Raises:
        ConfigError: a line of the path is not two numbers, or there is only one.
    """
    from ...tav_core.sampling.zero_shot.motion_field import MotionField as Field

    return Field(move=(move_x, move_y), zoom=zoom, turn=turn, path=read_points(path))


def read_points(text: str) -> list[tuple[float, float]]:
    """The points of a path, one per line.

    Raises:
        ConfigError: a line is not two numbers.
    """
    points = []
    for line in filter(str.strip, text.splitlines()):
        try:
            x, y = (float(part) for part in line.replace(",", " ").split())
        except ValueError as error:
            raise ConfigError(
                got=f"the line {line.strip()!r} in the path",
                expected="two numbers, x and y in pixels, such as 40, -12",
                mend="Write one point per line, or leave the path empty.",
            ) from error
        points.append((x, y))
    return points
