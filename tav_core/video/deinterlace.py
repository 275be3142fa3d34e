"""Interlaced frames, two half pictures taken at different times, become whole pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable

import av
import av.filter

Timed = tuple[int, av.VideoFrame]


def deinterlaced(frames: Iterable[Timed]) -> Generator[Timed, None, None]:
    """Passes frames on with their times; those that say they are interlaced as their first field, filled up.

    ffmpeg's bwdif ("Bob Weaver deinterlacing filter") makes one frame from each, and leaves frames that are not marked
    as interlaced as they are. Nothing is filtered, or decoded ahead, before the first interlaced frame.
    """
    graph: _Graph | None = None
    for time, frame in frames:
        if graph is not None and not graph.fits(frame):
            yield from graph.rest()
            graph = None
        if graph is None and frame.interlaced_frame:
            graph = _Graph(frame)
        if graph is None:
            yield time, frame
        else:
            yield from graph.push(time, frame)
    if graph is not None:
        yield from graph.rest()


class _Graph:
    """A filter graph for frames of one size and format; each frame comes out when the one after it has come in."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self._kind = _kind(frame)
        self._times: deque[int] = deque()
        self._graph = av.filter.Graph()
        width, height, pixel_format = self._kind
        source = self._graph.add_buffer(width=width, height=height, format=pixel_format, time_base=frame.time_base)
        filtered = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        source.link_to(filtered)
        filtered.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def fits(self, frame: av.VideoFrame) -> bool:
        return _kind(frame) == self._kind

    def push(self, time: int, frame: av.VideoFrame) -> Generator[Timed, None, None]:
        # The filter reckons in half ticks, so the times wait here.
        self._times.append(time)
        self._graph.push(frame)
        yield from self._pull()

    def rest(self) -> Generator[Timed, None, None]:
        self._graph.push(None)
        yield from self._pull()

    def _pull(self) -> Generator[Timed, None, None]:
        while self._times:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield self._times.popleft(), frame


def _kind(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
