"""Which frames of a video Load Clip takes: in words, before it reads them, and whether they fit into memory."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...tav_core.errors import TavError
from ...tav_core.video.clip import as_rate, open_source, source_size
from ...tav_core.video.config import ClipConfig
from ...tav_core.video.sizes import size_inside
from ...tav_core.video.timeline import Timeline, pick_frames, shorten
from ..sockets.bridge import one_frame
from ..sockets.folders import fingerprint
from ..sockets.graph import explain, read_value

if TYPE_CHECKING:
    from fractions import Fraction

    from ...tav_core.video.clip import Source

# The times of all frames are read from the whole file. A larger one is looked at when the node runs.
LARGEST_LOOKED_AT = 2**29
# What is done with a video that has too few frames: the words of the widget.
REFUSE, TAKE_WHAT_IS_THERE = SHORT = ("refuse", "take what there is")
# The widgets besides the fields of `ClipConfig`.
OPTIONS = ("keep_aspect", "force_rate", "if_short")


@dataclass(frozen=True, kw_only=True)
class ClipChoice:
    """What the widgets of Load Clip ask for."""

    config: ClipConfig
    keep_aspect: bool = False
    force_rate: float = 0.0
    if_short: str = REFUSE

    @property
    def rate(self) -> Fraction | None:
        """Frames per second that the video is brought to; None for its own.

        Raises:
            ConfigError: no video can have this rate.
        """
        return as_rate(self.force_rate) if self.force_rate else None

    @property
    def may_be_short(self) -> bool:
        return self.if_short == TAKE_WHAT_IS_THERE

    def for_length(self, timeline: Timeline, name: str) -> ClipConfig:
        """The settings, with as many frames as there are if there may be fewer.

        Raises:
            ClipError: the video has too few frames, or is a picture.
            ConfigError: no video can have the rate.
        """
        if len(timeline) == 1 and self.config.num_frames > 1:
            raise one_frame(f"one frame in {name}")
        config = shorten(timeline, self.config, rate=self.rate) if self.may_be_short else self.config
        pick_frames(timeline, config, name=name, rate=self.rate)
        return config

    def for_source(self, source: Source, timeline: Timeline) -> ClipConfig:
        """The settings for a video: those for its length, and for its size if the aspect ratio is kept."""
        config = self.for_length(timeline, source.path.name)
        if not self.keep_aspect:
            return config
        width, height = size_inside(source_size(source), (config.width, config.height), source.pixel_aspect)
        return replace(config, width=width, height=height, fit="crop")


def read_choice(widgets: Mapping[str, Any]) -> ClipChoice:
    """The choice of widgets by name; those that are not there have their defaults.

    Raises:
        ConfigError: a value is out of its range.
    """
    names = [each.name for each in dataclasses.fields(ClipConfig)]
    config = ClipConfig(**{name: widgets[name] for name in names if name in widgets})
    return ClipChoice(config=config, **{name: widgets[name] for name in OPTIONS if name in widgets})


def describe_range(timeline: Timeline, config: ClipConfig, rate: Fraction | None) -> str:
    """For example "40 frames, 24 fps, taking 0-23, 1.0 s"; the frames are counted at a rate that is forced."""
    counted_at, total = rate or timeline.rate, len(timeline if rate is None else timeline.grid_at(rate))
    last = config.start + (config.num_frames - 1) * config.stride
    every = f" in steps of {config.stride}" if config.stride > 1 else ""
    frames = f"{total} frame{'s' * (total != 1)}, {float(counted_at):.6g} fps{' (forced)' * (rate is not None)}"
    seconds = float(config.num_frames * config.stride / counted_at)
    return f"{frames}, taking {config.start}-{last}{every}, {seconds:.1f} s, {config.width}x{config.height}"


def preview_range(path: Path, widgets: dict[str, Any]) -> str:
    """What `describe_range` will say of a video with the widgets as they are, or why it will be refused.

    Nothing is said of a video that takes long to look at.
    """
    if path.stat().st_size > LARGEST_LOOKED_AT:
        return ""
    try:
        choice = read_choice(widgets)
        timeline = read_timeline(path, fingerprint(path))
        fitted = choice.for_source(open_source(path), timeline) if choice.keep_aspect else None
        return describe_range(timeline, fitted or choice.for_length(timeline, path.name), choice.rate)
    except TavError as error:
        # Without what was expected: the node has room for two or three lines.
        return f"Got {error.got}. {error.mend}"


async def why_refused(path: Path, graph: Any, node: str | None) -> bool | str:
    """What `validate_inputs` of Load Clip gives: True, or why this video cannot give these frames.

    The file is looked at in a thread of its own, so that ComfyUI's server goes on answering.
    """
    said = {field.name: read_value(graph, node, field.name) for field in dataclasses.fields(ClipConfig)}
    if path.stat().st_size > LARGEST_LOOKED_AT or None in said.values():
        return True
    options = {name: read_value(graph, node, name) for name in OPTIONS}

    def check() -> None:
        given = {name: value for name, value in options.items() if value is not None}
        read_choice(said | given).for_length(read_timeline(path, fingerprint(path)), path.name)

    return await asyncio.to_thread(explain, check)


@lru_cache(maxsize=8)
def read_timeline(path: Path, version: str) -> Timeline:
    """When the frames of a file are shown; `version` is its fingerprint, so that a changed file is read again."""
    return open_source(path).timeline
