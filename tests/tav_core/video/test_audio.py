"""tav_core/video/audio.py: the part of the sound that goes with the frames, and silence where there is none."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from tav_core.video.audio import read_audio

RATE = 16000


def write_clip(path, *, seconds=4.0, sound=True, codec="aac"):
    """A grey video whose sound is a tone that doubles its pitch each second: 250, 500, 1000, 2000 Hz."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("h264", rate=10)
        video.width = video.height = 32
        audio = container.add_stream(codec, rate=RATE, layout="mono") if sound else None
        for _ in range(int(seconds * 10)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8))))
        container.mux(video.encode(None))
        if audio:
            at = np.arange(int(seconds * RATE)) / RATE
            tone = (0.5 * np.sin(2 * np.pi * 250 * 2 ** np.floor(at) * at)).astype(np.float32)
            for start in range(0, len(tone), 1024):
                frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def pitch(waveform):
    """The strongest frequency, Hz."""
    spectrum = torch.fft.rfft(waveform[0, 0]).abs()
    return float(spectrum.argmax()) * RATE / waveform.shape[-1]


@pytest.mark.parametrize(("start", "hertz"), [(0.1, 250), (1.1, 500), (2.1, 1000), (3.1, 2000)])
def test_the_part_asked_for(tmp_path, start, hertz):
    audio = read_audio(write_clip(tmp_path / "clip.mp4"), start=start, duration=0.8)
    assert audio["sample_rate"] == RATE
    assert audio["waveform"].dtype == torch.float32
    assert audio["waveform"].shape == (1, 1, int(0.8 * RATE))
    assert pitch(audio["waveform"]) == pytest.approx(hertz, abs=5)
    assert 0.3 < audio["waveform"].abs().max() <= 1.0


def test_a_part_that_reaches_beyond_the_end_is_silent_there(tmp_path):
    audio = read_audio(write_clip(tmp_path / "clip.mp4"), start=3.5, duration=2.0)
    assert audio["waveform"].shape == (1, 1, 2 * RATE)
    loud = audio["waveform"][0, 0].reshape(-1, RATE // 100).abs().amax(1) > 0.1
    # AAC's blocks end up to 64 ms after the tone.
    assert loud[:45].all() and not loud[60:].any()


def test_no_sound(tmp_path):
    assert read_audio(write_clip(tmp_path / "clip.mp4", sound=False), start=0, duration=1) is None
    assert read_audio(write_clip(tmp_path / "clip2.mp4"), start=100, duration=1) is None
    assert read_audio(tmp_path, start=0, duration=1) is None


def test_what_cannot_be_read_is_silent(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    assert read_audio(tmp_path / "text.mp4", start=0, duration=1) is None
