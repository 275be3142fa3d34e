"""Reading the frames of a video file (anything ffmpeg reads, GIF included) with PyAV: timing, colour, orientation."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
from PIL import Image

from ..cancelling import cancellable
from ..errors import ClipError
from .clock import Clock
from .deinterlace import Timed, deinterlaced
from .h264_fields import FieldPairs
from .stamps import SHORTEST, Stamps, decodable, first_time, frame_times
from .streams import SEEKABLE, opened, packets, video_stream
from .timeline import Timeline
from .to_rgb import WHITE, orientation, to_rgb

SEEK_WORTH = 100
"""Frames to be skipped before a seek beats decoding them."""

ONE_STAMP = ("avi", "asf")
"""Containers that stamp a packet once, as most programs do with its time of decoding."""

FIRST_FRAMES = 8
"""So many frames show whether the stamps of decoded frames can be right."""

INTRA = 1
"""AV_PICTURE_TYPE_I; PyAV gives a number or an enumeration."""


class StampsGoBackError(Exception):
    """The stamps of decoded frames are not in their order, so that they cannot be right."""


class VideoFile:
    """A video file. Opening it reads the time of every frame (without decoding any); `images` decodes.

    Attributes:
        timeline: when each frame is shown; frame counts stand in for times where the file has none.
        pixel_aspect: width of a pixel over its height, as displayed; known once the first frame is decoded.
        rotation: degrees clockwise that the file asks players to turn its frames; known likewise.
        frames_decoded: how many frames have been decoded so far.
        behind: the colour behind transparent pixels.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.behind = path, WHITE
        self.pixel_aspect, self.rotation, self.frames_decoded = 1.0, 0, 0
        self._turn: Image.Transpose | None = None
        with self._opened() as (container, stream):
            clock = Clock(container, stream)
            scanned = _scan(container, stream, clock)
            found, avi = decodable(scanned), container.format.name == "avi"
            if container.format.name in ONE_STAMP:
                found = [packet._replace(pts=None) for packet in found]
            shown, reorders = sum(packet.is_shown for packet in found), bool(stream.codec_context.has_b_frames)
            if not shown:
                raise self._refusal("no frame", "a video with at least one frame", "Copy or download the file again.")
            ticks, self._in_order = frame_times(found, stream.time_base, reorders=reorders)
            self._cut, self.shifts = len(found) < len(scanned), tuple(clock.shifts)
            self._keyframes = sorted(packet.pts for packet in found if packet.is_keyframe and packet.pts is not None)
            self._seekable = container.format.name in SEEKABLE and not self._in_order and not self.shifts
            self._first = first_time(found) * stream.time_base
            # AVI cannot say that the sound begins before the first picture, so both begin together.
            self._late = reorders and self._in_order and not avi
            rates = _stated_rates(stream)
            tick = stream.time_base if ticks else 1 / (*rates, Fraction(25))[0]
        self.timeline = Timeline(ticks=ticks or range(shown), tick=tick, stated_rates=rates)

    def start_time(self) -> Fraction:
        """When the first frame is shown, in seconds on the clock of the file's sound; may decode some frames."""
        if not self._late:
            return self._first
        with closing(self._decode()) as decoded:
            stamps = [(frame.pts, frame.dts, frame.time_base) for _, frame in islice(decoded, FIRST_FRAMES)]
        if not stamps:
            return self._first
        times, (pts, dts, tick) = [time for time, _, _ in stamps], stamps[0]
        # Else they are times of decoding: the first frame comes out when the packet with its time has gone in.
        right = None not in times and all(earlier < later for earlier, later in pairwise(times))
        start = pts if right else dts
        return self._first if start is None else start * tick

    def images(self, positions: Sequence[int]) -> Generator[Image.Image, None, None]:
        """Yields the upright RGB picture at each position of the timeline (not decreasing); decodes no further.

        Raises:
            ClipError: the file is damaged before the last position.
            StampsGoBackError: the timeline is wrong; `distrust_stamps` gives a better one.
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

    def distrust_stamps(self) -> None:
        """From now on, frames are told by their order alone, and follow each other at the stated rate."""
        self._in_order, self._seekable = True, False
        rates = self.timeline.stated_rates
        ticks, tick = range(len(self.timeline)), 1 / (*rates, Fraction(25))[0]
        self.timeline = Timeline(ticks=ticks, tick=tick, stated_rates=rates)

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
            count, before = 0, None
            for packet in cancellable(map(clock.mend, packets(container, stream))):
                for frame in _decoded(decoder, packet, lenient=count == 0):
                    self.frames_decoded += 1
                    if not count and self._in_order and self._cut and not frame.key_frame:
                        continue
                    if not count:
                        self._look_at(stream, frame)
                    time = self._time(frame, count)
                    if before is not None and time <= before and not self._in_order:
                        raise StampsGoBackError
                    yield time, frame
                    count, before = count + 1, time

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
        image = to_rgb(frame, self.behind)
        return image if self._turn is None else image.transpose(self._turn)

    def _refusal(self, found: str, expected: str, mend: str) -> ClipError:
        return ClipError(got=f"{found} in {self.path}", expected=expected, mend=mend)


def _scan(container: av.container.InputContainer, stream: av.VideoStream, clock: Clock) -> list[Stamps]:
    hidden = _hidden(stream.codec_context)
    return [
        Stamps(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard)
        for packet in cancellable(map(clock.mend, packets(container, stream)))
        if packet.size and not hidden(packet)
    ]


def _hidden(codec: av.VideoCodecContext) -> Callable[[av.Packet], bool]:
    """A function that tells the packets, given one after the other, that do not become frames of their own."""
    if codec.name == "vp8":
        # VP8 stores its hidden reference pictures as packets of their own (RFC 6386, 9.1: the show_frame bit).
        return lambda packet: not bytes(packet)[0] & 0x10
    pairs = FieldPairs(codec.extradata if codec.name == "h264" else None)
    return lambda packet: pairs.possible and pairs.completes(bytes(packet))


def _stated_rates(stream: av.VideoStream) -> tuple[Fraction, ...]:
    stated = (stream.average_rate, stream.guessed_rate, stream.codec_context.framerate)
    return tuple(Fraction(rate) for rate in stated if rate and rate <= 1 / SHORTEST)


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
