"""The sound that goes with the frames of a clip."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from ..cancelling import cancellable
from ..errors import ClipError
from .clock import Clock
from .decode import VideoFile
from .streams import SEEKABLE, audio_stream, opened, packets

ROLL = 1
"""Seconds that are decoded before the part asked for, since a decoder's first samples may be incomplete."""

JITTER = 0.03
"""Seconds by which stamps may be off, as rounded ones are, before the sound is set where they say."""


def read_audio(
    path: str | Path, *, start: float, duration: float, video: VideoFile | None = None
) -> dict[str, Any] | None:
    """Reads a part of a video's sound track; where there is more than one, the track that ffmpeg would choose.

    Args:
        path: a video, GIF or folder that `read_clip` has read.
        start: where the part begins, in seconds after the first frame of the video is shown.
        duration: how long the part is, in seconds.
        video: the file, if it has been opened already: to open it reads it from end to end.

    Returns:
        {"waveform": float32 `1 channels samples` in [-1, 1], "sample_rate": int}, the format of ComfyUI's AUDIO. It is
        as long as asked for, and silent where there is no sound, in front, between and behind. None if there is no
        sound in that part, or none that can be decoded.
    """
    path = Path(path)
    if path.is_dir():
        return None
    try:
        with opened(path) as container:
            stream = audio_stream(container)
            if stream is None:
                return None
            video = video or VideoFile(path)
            begin = video.start_time() + Fraction(start)
            return _part(_decoded(container, stream, video, begin), stream, float(begin), duration)
    except (av.FFmpegError, ClipError, OSError):
        # The frames could be read, so a broken sound track must not stop the user.
        return None


def _part(frames: Generator[av.AudioFrame, None, None], stream: av.AudioStream, begin: float, duration: float) -> Any:
    """Sets the sound of each frame at the time that it is stamped with."""
    rate, length = stream.rate, round(duration * stream.rate)
    waveform, heard, place = np.zeros((len(stream.layout.channels), length), np.float32), False, None
    resample = _Resampler(stream)
    for frame in frames:
        stamped = place if frame.time is None else round((frame.time - begin) * rate)
        if stamped is None:
            continue
        if place is None or abs(stamped - place) > JITTER * rate:
            place = stamped
        if place >= length:
            break
        samples = resample(frame)
        first, last = max(place, 0), min(place + samples.shape[1], length)
        if first < last:
            waveform[:, first:last] = samples[:, first - place : last - place]
            heard = True
        place += samples.shape[1]
    return {"waveform": torch.from_numpy(waveform)[None], "sample_rate": rate} if heard else None


def _decoded(
    container: av.container.InputContainer, stream: av.AudioStream, video: VideoFile, begin: Fraction
) -> Generator[av.AudioFrame, None, None]:
    """Decodes from shortly before `begin`, a time in seconds on the video's clock."""
    clock = Clock(container, stream, video.shifts)
    from_tick = int((begin - ROLL) / stream.time_base)
    if container.format.name in SEEKABLE and not video.shifts and from_tick > (stream.start_time or 0):
        container.seek(from_tick, stream=stream)
    for packet in cancellable(map(clock.mend, packets(container, stream))):
        if packet.pts is not None and packet.pts + (packet.duration or 0) < from_tick:
            continue
        try:
            yield from stream.codec_context.decode(packet)
        except av.error.InvalidDataError:
            # A recording may begin or be joined within a packet.
            continue


class _Resampler:
    """Brings frames to the rate and channels of the track, which may change on the way, as floats."""

    def __init__(self, stream: av.AudioStream) -> None:
        self._target = {"format": "fltp", "layout": stream.layout.name, "rate": stream.rate}
        self._kind: tuple[str, str, int] | None = None

    def __call__(self, frame: av.AudioFrame) -> np.ndarray:
        """Returns `channels samples`."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if kind != self._kind:
            self._kind, self._resampler = kind, av.AudioResampler(**self._target)
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(frame.layout.channels), 0), np.float32)
