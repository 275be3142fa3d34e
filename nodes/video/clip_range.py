"""Which frames of a video Load Clip takes: in words, before it reads them, and whether they fit into memory."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tav_core.video.clip import as_rate, open_source
from ...tav_core.video.config import ClipConfig
from ...tav_core.video.timeline import Timeline, pick_frames, shorten
from ..sockets.bridge import one_frame
from ..sockets.folders import fingerprint
from ..sockets.graph import explain, read_value

if TYPE_CHECKING:
    from ...tav_core.video.clip import VideoClip

# The times of all frames are read from the whole file. A larger one is looked at when the node runs.
LARGEST_LOOKED_AT = 2**29
# What is done with a video that has too few frames: the words of the widget.
REFUSE, TAKE_WHAT_IS_THERE = SHORT = ("refuse", "take what there is")


def describe_range(timeline: Timeline, clip: VideoClip) -> str:
    """For example "40 frames, 24 fps, taking 0-23, 1.0 s"; the frames are counted at a rate that was forced."""
    config, rate = clip.config, clip.source_fps
    forced = rate != float(timeline.rate)
    total = len(timeline.grid_at(as_rate(rate))) if forced else len(timeline)
    last = config.start + (clip.num_frames - 1) * config.stride
    every = f" in steps of {config.stride}" if config.stride > 1 else ""
    frames = f"{total} frame{'s' * (total != 1)}, {rate:.6g} fps{' (forced)' * forced}"
    size = f"{clip.frames.shape[2]}x{clip.frames.shape[1]}"
    return f"{frames}, taking {config.start}-{last}{every}, {clip.num_frames / clip.fps:.1f} s, {size}"


def check_length(
    timeline: Timeline, config: ClipConfig, name: str, *, rate: float | None, may_be_short: bool
) -> ClipConfig:
    """Checks that a video has the frames that are asked for.

    Returns:
        The settings, with as many frames as there are if there may be fewer.

    Raises:
        ClipError: the video has too few frames, or is a picture.
        ConfigError: no video can have this rate.
    """
    forced = None if rate is None else as_rate(rate)
    if len(timeline) == 1 and config.num_frames > 1:
        raise one_frame(f"one frame in {name}")
    if may_be_short:
        config = shorten(timeline, config, rate=forced)
    pick_frames(timeline, config, name=name, rate=forced)
    return config


async def why_refused(path: Path, graph: Any, node: str | None) -> bool | str:
    """What `validate_inputs` of Load Clip gives: True, or why this video cannot give these frames.

    The file is looked at in a thread of its own, so that ComfyUI's server goes on answering.
    """
    said = {field.name: read_value(graph, node, field.name) for field in dataclasses.fields(ClipConfig)}
    if path.stat().st_size > LARGEST_LOOKED_AT or None in said.values():
        return True
    extra = {name: read_value(graph, node, name) for name in ("force_rate", "if_short")}

    def check() -> None:
        config = ClipConfig(**said)
        timeline = read_timeline(path, fingerprint(path))
        may_be_short = extra["if_short"] == TAKE_WHAT_IS_THERE
        check_length(timeline, config, path.name, rate=extra["force_rate"] or None, may_be_short=may_be_short)

    return await asyncio.to_thread(explain, check)


@lru_cache(maxsize=8)
def read_timeline(path: Path, version: str) -> Timeline:
    """When the frames of a file are shown; `version` is its fingerprint, so that a changed file is read again."""
    return open_source(path).timeline
