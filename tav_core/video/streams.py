"""Opening a media file with PyAV, choosing its tracks as ffmpeg does, and making its time stamps continuous."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from ..errors import ClipError

# Containers whose seeks land on the keyframe before the time asked for.
SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")

TS_DISCONT = 0x200
"""AVFMT_TS_DISCONT: a kind of container whose time stamps may jump, such as a transport stream."""

BACKWARDS, FORWARDS = Fraction(1, 10), Fraction(10)
"""Seconds from which on ffmpeg takes a jump of the time stamps for the start of another recording."""

FAR_BACKWARDS = Fraction(1)
"""The same where jumps are not expected; ffmpeg then takes the stamps as they are."""

DEFAULT_TRACK, TRACK_WITH_PACKETS = 5_000_000, 100_000_000
"""What a track's flag and its packets count for beside its pixels or channels, when ffmpeg chooses among tracks."""


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """Opens a container; turns PyAV's errors into `ClipError`."""
    try:
        # Absolute, so that a colon in a relative name is not taken for a protocol.
        with av.open(str(path.resolve())) as container:
            yield container
    except av.error.FFmpegError as error:
        raise ClipError(
            got=f"{path}, which cannot be read as a video ({error.strerror})",
            expected="a whole video or animated image",
            mend="Check that it plays; copy it again, or convert it to .mp4.",
        ) from error


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The video track that ffmpeg would choose: the largest picture, where the default flag counts for 5 megapixels.

    The rule is `map_auto_video` in fftools/ffmpeg_mux_init.c. Cover pictures are left out.
    """
    # ffmpeg would draw a text file as on a terminal and call that a video.
    tracks = container.streams.video if container.format.name != "tty" else ()
    tracks = [track for track in tracks if track.codec_context and not _has(track, "attached_pic")]
    return max(
        tracks, key=lambda track: track.codec_context.width * track.codec_context.height + _rank(track), default=None
    )


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The sound track that ffmpeg would choose: the most channels among the tracks with the default flag."""
    tracks = [track for track in container.streams.audio if track.codec_context]
    return max(tracks, key=lambda track: len(track.codec_context.layout.channels) + _rank(track), default=None)


class Clock:
    """Makes the time stamps of one track continuous where recordings were joined, as ffmpeg does.

    A stamp that jumps back by more than 0.1 s or ahead by more than 10 s, in a container that allows such jumps,
    continues where the packet before it ends. In other containers it must jump back by more than a second.

    Args:
        stream: the track.
        shifts: what to add after each jump, in seconds, as another track's clock found it; None: find it here.

    Attributes:
        shifts: what was added after each jump, in seconds.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.stream.Stream, shifts: Sequence[Fraction] | None = None
    ):
        self.shifts: list[Fraction] = []
        self._given = None if shifts is None else iter(shifts)
        self._tick = stream.time_base
        self._gaps = bool(int(container.format.flags) & TS_DISCONT)
        self._back = int((BACKWARDS if self._gaps else FAR_BACKWARDS) / self._tick)
        self._ahead = int(FORWARDS / self._tick)
        self._shift, self._last, self._next = 0, None, 0

    def mend(self, packet: av.Packet) -> av.Packet:
        """Shifts the stamps of the next packet in the order of the file; returns the packet."""
        # Times of display may go back; times of decoding only do where a recording ends.
        if packet.dts is not None:
            if self._last is not None and self._jumps(packet.dts + self._shift):
                self._restart(packet.dts)
            self._last = packet.dts + self._shift
            self._next = self._last + (packet.duration or 0)
        if self._shift:
            packet.pts, packet.dts = (None if old is None else old + self._shift for old in (packet.pts, packet.dts))
        return packet

    def _jumps(self, stamp: int) -> bool:
        return stamp < self._last - self._back or (self._gaps and stamp > self._next + self._ahead)

    def _restart(self, stamp: int) -> None:
        shift = (self._next - stamp) * self._tick if self._given is None else next(self._given, None)
        if shift is not None:
            self.shifts.append(shift)
            self._shift = round(shift / self._tick)


def _rank(track: av.stream.Stream) -> int:
    return DEFAULT_TRACK * _has(track, "default") + TRACK_WITH_PACKETS * (track.start_time is not None)


def _has(track: av.stream.Stream, flag: str) -> bool:
    # PyAV before 14 does not tell a track's flags.
    disposition = getattr(track, "disposition", None)
    return disposition is not None and bool(disposition & getattr(type(disposition), flag))
