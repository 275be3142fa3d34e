"""Opening a media file with PyAV, and choosing its tracks as ffmpeg does."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from ..errors import ClipError

# Containers whose seeks land on the keyframe before the time asked for.
SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")

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


def packets(container: av.container.InputContainer, stream: av.stream.Stream) -> Generator[av.Packet, None, None]:
    """Yields the packets of a track in the order of the file, up to where it is damaged; then the one that flushes.

    Raises:
        av.FFmpegError: there is not a single packet before the damage.
    """
    read = False
    try:
        for packet in container.demux(stream):
            yield packet
            read = True
    except av.error.FFmpegError:
        if not read:
            raise
        yield av.Packet()


def _rank(track: av.stream.Stream) -> int:
    return DEFAULT_TRACK * _has(track, "default") + TRACK_WITH_PACKETS * (track.start_time is not None)


def _has(track: av.stream.Stream, flag: str) -> bool:
    # PyAV before 14 does not tell a track's flags.
    disposition = getattr(track, "disposition", None)
    return disposition is not None and bool(disposition & getattr(type(disposition), flag))
