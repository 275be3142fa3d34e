"""Clips made by the ffmpeg program, with numbered frames and clicks; and what it decodes of them."""

from __future__ import annotations

import shutil
import subprocess
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

WIDTH, HEIGHT, FRAMES = 64, 48, 24
CLICKS = (3, 16)
"""The frames with which a click sounds."""

FFMPEG = shutil.which("ffmpeg")
RATE = 48000
X264 = ["libx264", "-preset", "veryfast", "-g", "10"]
CODECS = {
    "h264": [*X264, "-bf", "0"],
    "h264 b": [*X264, "-bf", "3"],
    "h264 pyramid": ["libx264", "-x264-params", "keyint=30:bframes=5:b-adapt=0:b-pyramid=normal:ref=4"],
    "hevc b": ["libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=3:keyint=10"],
    "mpeg4": ["mpeg4", "-q:v", "2", "-g", "10"],
    "mpeg4 b": ["mpeg4", "-q:v", "2", "-g", "10", "-bf", "2"],
    "mpeg2": ["mpeg2video", "-q:v", "2", "-g", "10"],
    "mpeg2 b": ["mpeg2video", "-q:v", "2", "-g", "10", "-bf", "2"],
    "mpeg1 b": ["mpeg1video", "-q:v", "2", "-g", "10", "-bf", "2"],
    "wmv2": ["wmv2", "-q:v", "2"],
    "mjpeg": ["mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"],
    "flv1": ["flv1", "-q:v", "2"],
    "vp8": ["libvpx", "-b:v", "2M", "-auto-alt-ref", "1", "-lag-in-frames", "10"],
    "vp9": ["libvpx-vp9", "-b:v", "2M", "-cpu-used", "8", "-lag-in-frames", "10"],
    "prores": ["prores", "-pix_fmt", "yuv422p10le"],
    "ffv1": ["ffv1"],
}
SOUNDS = {"mp3": "libmp3lame", "pcm": "pcm_s16le", "opus": "libopus", "vorbis": "libvorbis", "wma": "wmav2"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A clip: `video_late` and `sound_late` in seconds, `thumbnail` for a small picture as the first video track."""

    codec: str
    ending: str
    sound: str | None = None
    rate: Fraction = Fraction(25)
    video_late: float = 0
    sound_late: float = 0
    offset: float = 0
    thumbnail: bool = False
    clicks: tuple[int, ...] = CLICKS

    def __str__(self) -> str:
        late = f"video +{self.video_late} sound +{self.sound_late} all +{self.offset}"
        return f"{self.codec}.{self.ending} {self.sound} {self.rate} {late}{' thumbnail' * self.thumbnail}"

    @property
    def clicks_heard(self) -> list[float]:
        """Seconds after the first frame at which a click sounds."""
        return [float(frame / self.rate) + self.sound_late - self.video_late for frame in self.clicks]


def numbered(number: int) -> np.ndarray:
    """A frame whose 4 x 3 blocks are the bits of `number`."""
    bits = np.array([number >> bit & 1 for bit in range(12)], np.uint8).reshape(3, 4) * 200 + 20
    return np.repeat(bits.repeat(16, 0).repeat(16, 1)[..., None], 3, axis=2)


def make(case: Case, folder: Path) -> Path:
    """Writes the clip; returns its path.

    Raises:
        LookupError: this ffmpeg does not have the codec.
    """
    frames, sound, path = folder / "frames.rgb", folder / "sound.wav", folder / f"clip.{case.ending}"
    np.stack([numbered(number) for number in range(FRAMES)]).tofile(frames)
    write_clicks(sound, case)
    inputs = ["-itsoffset", case.video_late, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}"]
    inputs += ["-framerate", case.rate, "-i", frames]
    maps, number = ["-map", "0:v"], int(case.thumbnail)
    codec, *options = CODECS[case.codec]
    options = options if "-pix_fmt" in options else ["-pix_fmt", "yuv420p", *options]
    # The options are for this track alone.
    options = [f"{part.removesuffix(':v')}:v:{number}" if part[0] == "-" else part for part in options]
    codecs = [f"-c:v:{number}", codec, *options]
    if case.sound:
        inputs += ["-itsoffset", case.sound_late, "-i", sound]
        maps += ["-map", "1:a"]
        codecs += ["-c:a", SOUNDS.get(case.sound, case.sound)]
    if case.thumbnail:
        inputs += ["-f", "lavfi", "-i", "color=red:size=32x24:rate=1:duration=1"]
        maps = ["-map", f"{1 + bool(case.sound)}:v", *maps]
        codecs += ["-c:v:0", "mjpeg", "-disposition:v:0", "0", "-disposition:v:1", "default"]
    run(*inputs, *maps, *codecs, "-vsync", "passthrough", "-output_ts_offset", case.offset, path)
    return path


def write_clicks(path: Path, case: Case) -> None:
    samples = np.zeros(int(FRAMES / case.rate * RATE), np.int16)
    tone = (20000 * np.sin(2 * np.pi * 1000 * np.arange(RATE * 3 // 100) / RATE)).astype(np.int16)
    for frame in case.clicks:
        start = round(frame / case.rate * RATE)
        samples[start : start + len(tone)] = tone[: len(samples) - start]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def run(*arguments: object) -> bytes:
    """Runs ffmpeg on one thread; returns what it writes to its standard output."""
    command = [str(FFMPEG), "-v", "error", "-y", "-threads", "1", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    if b"Unknown encoder" in done.stderr:
        raise LookupError(done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def decoded(path: Path, *, filters: str = "null", size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """`f h w 3` uint8: the frames that ffmpeg decodes from the track that it chooses, none repeated or left out."""
    pixels = run("-i", path, "-vf", filters, "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(pixels, np.uint8).reshape(-1, size[1], size[0], 3)
