"""Reading the frames of a video file (anything ffmpeg reads, GIF included) with PyAV: timing, colour, orientation."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import NamedTuple

import av
from PIL import Image

from ..errors import ClipError
from .deinterlace import Timed, deinterlaced
from .streams import SEEKABLE, Clock, opened, video_stream
from .timeline import Timeline
from .to_rgb import orientation, to_rgb

SEEK_WORTH = 100
"""Frames to be skipped before a seek beats decoding them."""

ONE_STAMP = ("avi", "asf")
"""Containers that stamp a packet once, as most programs do with its time of decoding."""

INTRA = 1
"""AV_PICTURE_TYPE_I; PyAV gives a number or an enumeration."""


class Stamps(NamedTuple):
    """What is known of a packet before it is decoded, in ticks of its track."""

    pts: int | None
    dts: int | None
    is_keyframe: bool
    is_shown: bool


class VideoFile:
    """A video file. Opening it reads the time of every frame (without decoding any); `images` decodes.

    Attributes:
        timeline: when each frame is shown; frame counts stand in for times where the file has none.
        pixel_aspect: width of a pixel over its height, as displayed; known once the first frame is decoded.
        rotation: degrees clockwise that the file asks players to turn its frames; known likewise.
        frames_decoded: how many frames have been decoded so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pixel_aspect, self.rotation, self.frames_decoded = 1.0, 0, 0
        self._turn: Image.Transpose | None = None
        with self._opened() as (container, stream):
            clock = Clock(container, stream)
            scanned = _scan(container, stream, clock)
            packets = _from_keyframe(scanned)
            self._cut = len(packets) < len(scanned)
            if container.format.name in ONE_STAMP:
                packets = [packet._replace(pts=None) for packet in packets]
            self._keyframes = sorted(p.pts for p in packets if p.is_keyframe and p.pts is not None)
            reorders = bool(stream.codec_context.has_b_frames)
            ticks, self._in_order = _times(packets, reorders=reorders)
            # AVI cannot say that the sound begins before the first picture: it is shown at its time of decoding.
            self._delayed = bool(self._in_order and ticks) and reorders and container.format.name != "avi"
            rates = tuple(Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate)
            tick = stream.time_base if ticks else 1 / (rates or [Fraction(25)])[0]
            self._seekable = container.format.name in SEEKABLE and not self._in_order and not clock.shifts
        shown = sum(packet.is_shown for packet in packets)
        if not shown:
            raise self._refusal("no frame", "a video with at least one frame", "Copy or download the file again.")
        self.shifts = tuple(clock.shifts)
        self.timeline = Timeline(ticks=ticks or range(shown), tick=tick, stated_rates=rates)

    @property
    def start_time(self) -> Fraction:
        """When the first frame is shown, in seconds on the clock that the file's sound goes by."""
        if self._delayed:
            with closing(self._decode()) as frames:
                first = next(frames, (0, None))[1]
            if first is not None and first.dts is not None:
                return first.dts * self.timeline.tick
        return self.timeline.ticks[0] * self.timeline.tick

    def images(self, positions: Sequence[int]) -> Generator[Image.Image, None, None]:
        """Yields the upright RGB picture at each position of the timeline (not decreasing); decodes no further.

        Raises:
            ClipError: the file is damaged before the last position.
        """
        ticks = [self.timeline.ticks[position] for position in positions]
        taken = 0
        with closing(deinterlaced(self._frames_from(ticks[0]))) as frames:
            for time, frame in frames:
                if time < ticks[taken]:
                    continue
                image = self._upright(frame)
                while taken < len(ticks) and ticks[taken] <= time:
                    yield image
                    taken += 1
                if taken == len(ticks):
                    return
        raise self._refusal(
            f"only {taken} of the {len(ticks)} requested frames before the data ends",
            "an undamaged video",
            "Copy or convert it again, or take frames before the damage.",
        )

    @contextmanager
    def _opened(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        with opened(self.path) as container:
            stream = video_stream(container)
            if stream is None:
                kinds = {stream.type for stream in container.streams if stream.type != "video"}
                found = f"{', '.join(sorted(kinds)) or 'nothing'} but no video that can be decoded"
                raise self._refusal(found, "a video stream", "Choose a video file.")
            yield container, stream

    def _frames_from(self, first: int) -> Generator[Timed, None, None]:
        """Decodes from the start, or from a keyframe if that is far into the file and can be decoded by itself."""
        keyframe = self._keyframe_before(first)
        if keyframe is not None:
            frames = self._decode(keyframe)
            opening = next(frames, None)
            # With x264's intra-refresh, a frame marked as keyframe is a P frame, and incomplete without earlier frames.
            if opening is not None and opening[0] <= first and int(opening[1].pict_type) == INTRA:
                yield opening
                yield from frames
                return
            frames.close()
        yield from self._decode()

    def _keyframe_before(self, first: int) -> int | None:
        keyframe = max((time for time in self._keyframes if time < first), default=None)
        if not self._seekable or keyframe is None:
            return None
        skipped = sum(time < keyframe for time in self.timeline.ticks)
        return keyframe if skipped >= SEEK_WORTH else None

    def _decode(self, keyframe: int | None = None) -> Generator[Timed, None, None]:
        with self._opened() as (container, stream):
            decoder, clock = _decoder(stream), Clock(container, stream)
            if keyframe is not None:
                container.seek(keyframe, stream=stream)
            count = 0
            for packet in map(clock.mend, container.demux(stream)):
                for frame in _decoded(decoder, packet, lenient=count == 0):
                    self.frames_decoded += 1
                    if not count and self._in_order and self._cut and not frame.key_frame:
                        continue
                    if not count:
                        self._look_at(stream, frame)
                    yield self._time(frame, count), frame
                    count += 1

    def _time(self, frame: av.VideoFrame, count: int) -> int:
        """When a decoded frame is shown; `count` frames were decoded before it."""
        ticks = self.timeline.ticks
        if self._in_order or frame.pts is None:
            return ticks[min(count, len(ticks) - 1)]
        return frame.pts

    def _look_at(self, stream: av.VideoStream, frame: av.VideoFrame) -> None:
        # Once per file: reading a PyAV frame's side data puts it in a reference cycle, and an 8K frame is 50 MB.
        self._turn, self.rotation = orientation(frame)
        aspect = float(stream.sample_aspect_ratio or 1)
        self.pixel_aspect = 1 / aspect if self.rotation in (90, 270) else aspect

    def _upright(self, frame: av.VideoFrame) -> Image.Image:
        image = to_rgb(frame)
        return image if self._turn is None else image.transpose(self._turn)

    def _refusal(self, found: str, expected: str, mend: str) -> ClipError:
        return ClipError(got=f"{found} in {self.path}", expected=expected, mend=mend)


def _scan(container: av.container.InputContainer, stream: av.VideoStream, clock: Clock) -> list[Stamps]:
    return [
        Stamps(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard)
        for packet in map(clock.mend, container.demux(stream))
        if packet.size and _is_shown(packet, stream.codec_context.name)
    ]


def _from_keyframe(packets: Sequence[Stamps]) -> Sequence[Stamps]:
    """If a recording starts between keyframes, the first packets cannot be decoded correctly."""
    return list(dropwhile(lambda packet: not packet.is_keyframe, packets)) or packets


def _times(packets: Sequence[Stamps], *, reorders: bool) -> tuple[list[int], bool]:
    """When each frame is shown, in ticks, or [] if no stamp can be used; and whether only the order can be trusted.

    Decoded frames always come in the order in which they are shown. Their own stamps are wrong where the container
    knows none but those of decoding (AVI, ASF): then pictures that the decoder reorders lie in the file in the order
    of their stamps.
    """
    # An MP4 edit list may say that the first frames are decoded but not shown.
    shown = [packet for packet in packets if packet.is_shown]
    times, decoding = [packet.pts for packet in shown], [packet.dts for packet in shown]
    if None not in times and len(set(times)) == len(times):
        return sorted(times), reorders and _rises(times)
    usable = None not in decoding and len(set(decoding)) == len(decoding)
    return (sorted(decoding) if usable else []), True


def _rises(times: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(times))


def _is_shown(packet: av.Packet, codec: str) -> bool:
    # VP8 stores its hidden reference pictures as packets of their own (RFC 6386, 9.1: the show_frame bit).
    return codec != "vp8" or bool(bytes(packet)[0] & 0x10)


def _decoded(decoder: av.VideoCodecContext, packet: av.Packet, *, lenient: bool) -> list[av.VideoFrame]:
    try:
        return decoder.decode(packet)
    except av.error.InvalidDataError:
        # Recordings cut between keyframes may begin with packets that nothing can decode.
        if lenient:
            return []
        raise


def _decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    """The stream's own decoder, or libvpx if a WebM has transparency, which ffmpeg's own VP8 and VP9 decoders drop."""
    library = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if stream.metadata.get("alpha_mode") == "1" and library in av.codecs_available:
        return av.CodecContext.create(library, "r")
    # Decoding on all cores holds one frame per core, which is too much for frames above 4K.
    if stream.codec_context.width * stream.codec_context.height <= 4096 * 2304:
        stream.thread_type = "AUTO"
    return stream.codec_context
