"""Compare Videos: videos side by side, each under its label. A socket takes one video or a list of them."""

from __future__ import annotations

import math
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
# More videos than this are laid in rows of equal length.
MOST_IN_A_ROW = 4


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
            description=(
                "Lays videos side by side, with labels. A list of videos, such as the edits of Prompts, takes one "
                "place per video. Shorter videos hold their last frame."
            ),
            is_input_list=True,
            search_aliases=["side by side", "concat videos", "grid"],
            inputs=[*images, *labels],
            outputs=[
                io.Image.Output("frames", display_name="frames", tooltip="For Create Video or Save Animated WEBP.")
            ],
        )

    @classmethod
    @interruptible
    def execute(cls, **given: Any) -> io.NodeOutput:
        shown = [pair for slot in SLOTS for pair in labelled(given, slot)]
        return io.NodeOutput(lay_out([video for video, _ in shown], [label for _, label in shown]))


def labelled(given: dict[str, Any], slot: str) -> list[tuple[Tensor, str]]:
    """The videos of one socket with their labels; where there are fewer labels, the last one stands above the rest."""
    name, labels = f"video_{slot}", given.get(f"label_{slot}") or [""]
    videos = [check_images(video, name).float().cpu() for video in given.get(name) or []]
    return [(video, labels[min(i, len(labels) - 1)] or "") for i, video in enumerate(videos)]


def lay_out(videos: list[Tensor], labels: list[str]) -> Tensor:
    """Joins videos `f h w 3` in [0, 1], in rows from left to right; no row is longer than `MOST_IN_A_ROW`.

    All videos get the height of the first, and hold their last frame until the longest ends. Lines of labels are drawn
    above them, unless all labels are empty.
    """
    longest, height = max(map(len, videos)), videos[0].shape[1]
    held = [torch.cat([video, video[-1:].expand(longest - len(video), -1, -1, -1)]) for video in videos]
    columns = put_labels([fit_height(video, height) for video in held], labels)
    per_row = math.ceil(len(columns) / math.ceil(len(columns) / MOST_IN_A_ROW))
    rows = [join(columns[at : at + per_row], axis=2) for at in range(0, len(columns), per_row)]
    widest = max(row.shape[2] for row in rows)
    return join([fill(row, widest) for row in rows], axis=1)


def put_labels(videos: list[Tensor], labels: list[str]) -> list[Tensor]:
    """Videos of one height with their labels above them; a long label is broken into lines."""
    from ..sockets.chart import break_label, draw_label

    if not any(labels):
        return videos
    pairs = list(zip(videos, labels, strict=True))
    most = max(len(break_label(label, video.shape[2])) for video, label in pairs)
    heads = [torch.from_numpy(draw_label(label, video.shape[2], most=most)) for video, label in pairs]
    return [
        torch.cat([head.expand(len(video), -1, -1, -1), video], dim=1)
        for head, video in zip(heads, videos, strict=True)
    ]


def join(videos: list[Tensor], *, axis: int) -> Tensor:
    """Videos of one length in a row (axis 2) or in a column (axis 1), with white gaps between them."""
    shape = list(videos[0].shape)
    shape[axis] = GAP
    return torch.cat([part for video in videos for part in (white(*shape), video)][1:], dim=axis)


def fill(video: Tensor, width: int) -> Tensor:
    """A video, with white at its right up to a width."""
    length, height, missing = *video.shape[:2], width - video.shape[2]
    return torch.cat([video, white(length, height, missing, 3)], dim=2)


def white(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float32, device="cpu")


def fit_height(video: Tensor, height: int) -> Tensor:
    """Frames `f h w c` scaled to a height; the aspect ratio is kept."""
    if video.shape[1] == height:
        return video
    width = max(1, round(video.shape[2] * height / video.shape[1]))
    scale = lambda frame: torch.nn.functional.interpolate(frame.movedim(-1, 1), (height, width), mode="area")  # noqa: E731
    return torch.cat([scale(frame) for frame in cancellable(video.split(1))]).movedim(1, -1)
