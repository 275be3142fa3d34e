"""The sound that goes with the frames of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cancelling import cancellable


def read_audio(path: str | Path, *, start: float, duration: float) -> dict[str, Any] | None:
    """Reads a part of a video's first sound track.

    Args:
        path: a video, GIF or folder that `read_clip` has read.
        start, duration: where the part begins and how long it is, in seconds.

    Returns:
        {"waveform": float32 `1 channels samples` in [-1, 1], "sample_rate": int}, the format of ComfyUI's AUDIO; None
        if there is no sound in that part, or none that can be decoded.
    """
    import av

    if Path(path).is_dir():
        return None
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                return None
            stream = container.streams.audio[0]
            return _decode(container, stream, start, start + duration)
    except (av.FFmpegError, OSError):
        # The frames could be read, so a broken sound track must not stop the user.
        return None


def _decode(container: Any, stream: Any, start: float, end: float) -> dict[str, Any] | None:
    import av

    resampler = av.AudioResampler(format="fltp", rate=stream.rate)
    container.seek(int(max(start - 1.0, 0) / stream.time_base), stream=stream)
    chunks, first = [], None
    for frame in cancellable(container.decode(stream)):
        if frame.time is None or frame.time >= end:
            break
        if frame.time + frame.samples / frame.sample_rate <= start:
            continue
        first = frame.time if first is None else first
        chunks += [part.to_ndarray() for part in resampler.resample(frame)]
    if first is None:
        return None
    samples = np.concatenate(chunks, axis=1)
    skipped = max(0, round((start - first) * stream.rate))
    part = samples[:, skipped : skipped + round((end - start) * stream.rate)]
    return {"waveform": torch.from_numpy(part.astype(np.float32))[None], "sample_rate": stream.rate}
