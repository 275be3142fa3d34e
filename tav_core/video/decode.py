"""Reading the frames of a video file (anything ffmpeg reads, GIF included) with PyAV: timing, colour, orientation."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from itertools import dropwhile
from pathlib import Path

import av
from PIL import Image

from ..cancelling import cancellable
from ..errors import ClipError
from .timeline import Timeline
from .to_rgb import orientation, to_rgb

SEEK_WORTH = 100
"""Frames to be skipped before a seek beats decoding them."""

INTRA = 1
"""AV_PICTURE_TYPE_I; PyAV gives a number or an enumeration."""

# Containers whose seeks land on the keyframe before the time asked for.
SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


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
        self._keyframes: list[int] = []
        with self._opened() as (container, stream):
            self._timed, ticks = self._scan(container, stream)
            rates = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
            tick = stream.time_base if self._timed else 1 / (rates or [Fraction(25)])[0]
            self._seekable = self._timed and container.format.name in SEEKABLE
        if not ticks:
            raise self._refusal("no frame", "a video with at least one frame", "Copy or download the file again.")
        self.timeline = Timeline(ticks=ticks, tick=tick, stated_rates=tuple(rates))

    def images(self, positions: Sequence[int]) -> Generator[Image.Image, None, None]:
        """Yields the upright RGB picture at each position of the timeline (not decreasing); decodes no further.

        Raises:
            ClipError: the file is damaged before the last position.
        """
        ticks = [self.timeline.ticks[position] for position in positions]
        taken = 0
        with closing(self._frames_from(ticks[0])) as frames:
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
        """Opens the container and its first video stream; turns PyAV's errors into `ClipError`."""
        try:
            # Absolute, so that a colon in a relative name is not taken for a protocol.
            with av.open(str(self.path.resolve())) as container:
                yield container, self._video_stream(container)
        except av.error.FFmpegError as error:
            raise ClipError(
                got=f"{self.path}, which cannot be read as a video ({error.strerror})",
                expected="a whole video or animated image",
                mend="Check that it plays; copy it again, or convert it to .mp4.",
            ) from error

    def _video_stream(self, container: av.container.InputContainer) -> av.VideoStream:
        # ffmpeg would draw a text file as on a terminal and call that a video.
        for stream in container.streams.video if container.format.name != "tty" else ():
            if stream.codec_context and not _is_cover(stream):
                return stream
        kinds = ", ".join(sorted({stream.type for stream in container.streams if stream.type != "video"})) or "nothing"
        raise self._refusal(f"{kinds} but no video that can be decoded", "a video stream", "Choose a video file.")

    def _scan(self, container: av.container.InputContainer, stream: av.VideoStream) -> tuple[bool, Sequence[int]]:
        packets = [
            (packet.pts, packet.is_keyframe, packet.is_discard)
            for packet in cancellable(container.demux(stream))
            if packet.size and _is_shown(packet, stream.codec_context.name)
        ]
        if any(key for _, key, _ in packets):
            # If a recording starts between keyframes, the first packets cannot be decoded correctly.
            packets = list(dropwhile(lambda packet: not packet[1], packets))
        # An MP4 edit list may say that the first frames are decoded but not shown.
        times = [time for time, _, discarded in packets if not discarded]
        if None in times:
            return False, range(len(times))
        self._keyframes = sorted(time for time, key, _ in packets if key)
        return True, sorted(set(times))

    def _frames_from(self, first: int) -> Generator[tuple[int, av.VideoFrame], None, None]:
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
        keyframe = max((time for time in self._keyframes if time <= first), default=None)
        if not self._seekable or keyframe is None:
            return None
        skipped = sum(time < keyframe for time in self.timeline.ticks)
        return keyframe if skipped >= SEEK_WORTH else None

    def _decode(self, keyframe: int | None = None) -> Generator[tuple[int, av.VideoFrame], None, None]:
        with self._opened() as (container, stream):
            decoder = _decoder(stream)
            if keyframe is not None:
                container.seek(keyframe, stream=stream)
            count = 0
            for packet in cancellable(container.demux(stream)):
                for frame in _decoded(decoder, packet, lenient=count == 0):
                    self.frames_decoded += 1
                    if not count:
                        self._look_at(stream, frame)
                    yield (frame.pts if self._timed else count), frame
                    count += 1

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


def _is_cover(stream: av.VideoStream) -> bool:
    # The cover picture of a music file; PyAV before 14 cannot tell it from a video of one frame.
    disposition = getattr(stream, "disposition", None)
    return disposition is not None and bool(disposition & type(disposition).attached_pic)


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
