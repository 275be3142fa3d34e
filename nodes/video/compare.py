"""Compare Videos: two to four videos side by side, each under its label."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...tav_core.cancelling import cancellable
from ..core.interrupt import interruptible
from ..sockets.bridge import check_images
from ..sockets.widgets import CATEGORY, schema

SLOTS = "abcd"
GAP = 4


class CompareVideos(io.ComfyNode):
    """See the module."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        images = [
            io.Image.Input(f"video_{slot}", optional=slot > "b", tooltip=f"Frames of the video under label {slot}.")
            for slot in SLOTS
        ]
        labels = [
            io.String.Input(f"label_{slot}", default=default, tooltip=f"Written above video {slot}.")
            for slot, default in zip(SLOTS, ("source", "edit", "", ""), strict=True)
        ]
        return schema(
            node_id="TAVCompareVideos",
            display_name="Compare Videos",
            category=CATEGORY,
            description="Lays two to four videos side by side, with labels. Shorter videos hold their last frame.",
            search_aliases=["side by side", "concat videos", "grid"],
            inputs=[*images, *labels],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="For Create Video or Save Animated WEBP.")
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, **given: Any) -> io.NodeOutput:
        slots = [slot for slot in SLOTS if given.get(f"video_{slot}") is not None]
        videos = [check_images(given[f"video_{slot}"], f"video_{slot}").float().cpu() for slot in slots]
        return io.NodeOutput(side_by_side(videos, [given.get(f"label_{slot}", "") for slot in slots]))


def side_by_side(videos: list[Tensor], labels: list[str]) -> Tensor:
    """Joins videos `f h w 3` in [0, 1] from left to right.

    All get the height of the first. A line of labels is drawn above them, unless all labels are empty.
    """
    from ..sockets.chart import draw_label

    longest, height = max(map(len, videos)), videos[0].shape[1]
    columns = []
    for video, label in zip(videos, labels, strict=True):
        held = torch.cat([video, video[-1:].expand(longest - len(video), -1, -1, -1)])
        fitted = fit_height(held, height)
        head = torch.from_numpy(draw_label(label, fitted.shape[2])).expand(longest, -1, -1, -1)
        columns += [torch.cat([head, fitted], dim=1) if any(labels) else fitted]
    gap = torch.ones(longest, columns[0].shape[1], GAP, 3, dtype=torch.float32, device="cpu")
    spaced = [part for column in columns for part in (gap, column)][1:]
    return torch.cat(spaced, dim=2)


def fit_height(video: Tensor, height: int) -> Tensor:
    """Frames `f h w c` scaled to a height; the aspect ratio is kept."""
    if video.shape[1] == height:
        return video
    width = max(1, round(video.shape[2] * height / video.shape[1]))
    scale = lambda frame: torch.nn.functional.interpolate(frame.movedim(-1, 1), (height, width), mode="area")  # noqa: E731
    return torch.cat([scale(frame) for frame in cancellable(video.split(1))]).movedim(1, -1)
