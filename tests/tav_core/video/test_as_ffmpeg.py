"""`read_clip` and `read_audio` give what the ffmpeg program decodes: codec x container x B-frames x times x tracks."""

from __future__ import annotations

from fractions import Fraction
from itertools import cycle

import numpy as np
import pytest

from tav_core.video.audio import read_audio
from tav_core.video.clip import read_clip
from tests.tav_core.video.made_with_ffmpeg import CLICKS, FFMPEG, FRAMES, HEIGHT, WIDTH, Case, decoded, make, run

pytestmark = pytest.mark.skipif(not FFMPEG, reason="the ffmpeg program is not installed")

COLOUR_TOLERANCE = 4
"""Levels of 255, on average over a frame, by which conversions to RGB of two versions of ffmpeg may differ.

Two different frames of a clip differ by 16 or more.
"""

SOUND_TOLERANCE = 0.05
"""Seconds."""

# Container: its sound, whether it can say that one track begins later, and the codecs that people put into it.
CONTAINERS = {
    "mp4": ("aac", True, ("h264", "h264 b", "h264 pyramid", "hevc b", "mpeg4 b", "vp9")),
    "mov": ("pcm", True, ("h264 b", "prores", "mjpeg")),
    "mkv": ("opus", True, ("h264 b", "hevc b", "mpeg2 b", "ffv1")),
    "webm": ("vorbis", True, ("vp8", "vp9")),
    "ts": ("aac", True, ("h264", "h264 b", "h264 pyramid", "hevc b", "mpeg2 b", "mpeg4 b")),
    "m2ts": ("ac3", True, ("h264 b", "mpeg2")),
    "mpg": ("mp2", True, ("mpeg2", "mpeg2 b", "mpeg1 b")),
    "flv": ("aac", True, ("h264", "h264 b", "flv1")),
    "asf": ("wma", True, ("h264", "h264 b", "h264 pyramid", "mpeg4 b", "wmv2")),
    "avi": ("mp3", False, ("h264", "h264 b", "h264 pyramid", "mpeg4", "mpeg4 b", "mjpeg", "ffv1")),
    "3gp": ("aac", True, ("h264 b",)),
    "h264": (None, False, ("h264", "h264 b")),
    "hevc": (None, False, ("hevc b",)),
}
THUMBNAILS = ("mp4", "mov", "mkv")
RATES = (Fraction(25), Fraction(30000, 1001))
# AVI, MPEG-1 and raw streams know certain rates alone; a delay of two frames hides better the slower they are.
LATE = cycle([(0, 0, 0), (0.4, 0, 0), (0, 0.3, 3.2), (0, 0, 95440)])


def matrix():
    """Each codec of each container at each rate, with the kinds of delays and tracks in turn."""
    for ending, (sound, late, codecs) in CONTAINERS.items():
        slow = () if ending in ("mpg", "m2ts") or sound is None else (Fraction(10),)
        for codec in codecs:
            for rate in (RATES[1], *slow) if sound else (Fraction(25),):
                video_late, sound_late, offset = next(LATE) if late else (0, 0, 0)
                yield Case(
                    codec=codec, ending=ending, sound=sound, rate=rate, video_late=video_late, sound_late=sound_late,
                    offset=min(offset, 3.2) if ending in ("flv", "asf") else offset,
                    thumbnail=ending in THUMBNAILS and rate == RATES[1],
                )  # fmt: skip


@pytest.mark.parametrize("case", [*matrix()], ids=str)
def test_frames_and_sound(case, tmp_path):
    path = made(case, tmp_path)
    right = decoded(path)
    assert len(right) == FRAMES
    for start in (0, 7):
        check_frames(path, right, start, case.rate)
        check_sound(path, start, case.rate, case.clicks_heard if case.sound else [])


def made(case, folder):
    try:
        return make(case, folder)
    except LookupError as error:
        pytest.skip(str(error))


def check_frames(path, right, start=0, rate=None):
    clip = read_clip(path, start=start, num_frames=len(right) - start, width=WIDTH, height=HEIGHT)
    assert clip.source_frames == len(right) and clip.source_size == (WIDTH, HEIGHT)
    differences = np.abs(clip.frames.numpy() * 255 - right[start:]).mean((1, 2, 3))
    assert differences.max() < COLOUR_TOLERANCE, differences.round(1)
    assert rate is None or clip.source_fps == pytest.approx(float(rate), rel=1e-3)


def check_sound(path, start, rate, heard, frames=FRAMES):
    audio = read_audio(path, start=float(start / rate), duration=float((frames - start) / rate))
    if not heard:
        assert audio is None
        return
    seconds = audio["waveform"].shape[-1] / audio["sample_rate"]
    assert seconds == pytest.approx(float((frames - start) / rate), abs=1e-4)
    wanted = [time - float(start / rate) for time in heard]
    wanted = [time for time in wanted if 0 < time < seconds]
    assert clicks(audio) == pytest.approx(wanted, abs=SOUND_TOLERANCE)


def clicks(audio):
    """Seconds at which a loud sound begins."""
    loud = (audio["waveform"][0].abs().amax(0) > 0.2).nonzero().flatten() / audio["sample_rate"]
    return [float(time) for n, time in enumerate(loud) if n == 0 or time - loud[n - 1] > 0.1]


class TestJoined:
    """Recordings put together by `cat`."""

    @pytest.mark.parametrize(
        ("ending", "codec", "sound"),
        [("ts", "h264 b", "aac"), ("ts", "hevc b", "mp2"), ("m2ts", "mpeg2 b", "ac3"), ("mpg", "mpeg1 b", "mp2")],
    )
    @pytest.mark.parametrize("later", [0, 5, 500])
    def test_all_are_read(self, tmp_path, ending, codec, sound, later):
        case = Case(codec=codec, ending=ending, sound=sound)
        first = made(case, tmp_path).read_bytes()
        made(Case(codec=codec, ending=ending, sound=sound, offset=later), tmp_path)
        path = tmp_path / f"joined.{ending}"
        path.write_bytes(first + (tmp_path / f"clip.{ending}").read_bytes())
        right = decoded(path)
        assert len(right) == 2 * FRAMES
        heard = [float((frame + part) / case.rate) for part in (0, FRAMES) for frame in CLICKS]
        for start in (0, 7, FRAMES + 1):
            check_frames(path, right, start, case.rate)
            check_sound(path, start, case.rate, heard, 2 * FRAMES)


class TestBrokenStamps:
    @pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "flv"])
    @pytest.mark.parametrize(
        ("codec", "stamps"),
        [
            # Times of decoding in place of those of display.
            ("h264 b", "pts=DTS"),
            ("h264 pyramid", "pts=DTS"),
            # From the thirteenth packet on; up to it.
            ("h264 b", "pts='if(gt(N,12),DTS,PTS)'"),
            ("h264 b", "pts='if(lt(N,12),DTS,PTS)'"),
            # Back by five frames.
            ("h264 b", "ts='TS-if(gt(N,15),5*DURATION,0)'"),
            # Every stamp twice; one for all.
            ("h264", "ts='floor(TS/(2*DURATION))*2*DURATION'"),
            ("h264", "pts=0:dts=N"),
        ],
    )
    def test_the_order_counts(self, tmp_path, ending, codec, stamps):
        plain = made(Case(codec=codec, ending=ending), tmp_path)
        path = tmp_path / f"broken.{ending}"
        run("-i", plain, "-c", "copy", "-bsf:v", f"setts={stamps}", path)
        right = decoded(path)
        assert len(right) > FRAMES - 3
        for start in (0, 7):
            check_frames(path, right, start)

    @pytest.mark.parametrize("stamps", ["ts='floor(TS/(2*DURATION))*2*DURATION'", "pts='if(lt(N,12),DTS,PTS)'"])
    def test_the_sound_begins_with_the_first_frame(self, tmp_path, stamps):
        case = Case(codec="h264 b" if "DTS" in stamps else "h264", ending="ts", sound="aac", offset=3.2)
        run("-i", made(case, tmp_path), "-c", "copy", "-bsf:v", f"setts={stamps}", "-copyts", tmp_path / "broken.ts")
        check_frames(tmp_path / "broken.ts", decoded(tmp_path / "broken.ts"))
        audio = read_audio(tmp_path / "broken.ts", start=0, duration=FRAMES / 25)
        # Within two frames, for nobody knows when the first one was to be shown.
        assert clicks(audio) == pytest.approx(case.clicks_heard, abs=0.08 + SOUND_TOLERANCE)

    @pytest.mark.parametrize(("ending", "codec"), [("ts", "h264 b"), ("ts", "mpeg2 b"), ("m2v", "mpeg2 b")])
    def test_a_recording_that_begins_between_keyframes(self, tmp_path, ending, codec):
        data = made(Case(codec=codec, ending=ending), tmp_path).read_bytes()
        path = tmp_path / f"cut.{ending}"
        path.write_bytes(data[len(data) // 188 // 3 * 188 :])
        right = decoded(path)
        assert 5 < len(right) < FRAMES
        check_frames(path, right)


class TestTracks:
    @pytest.mark.parametrize(
        ("sizes", "default", "chosen"), [((32, 64), None, 1), ((64, 32), None, 0), ((32, 64), 0, 0), ((64, 32), 1, 1)]
    )
    def test_the_flag_counts_more_than_the_size(self, tmp_path, sizes, default, chosen):
        path, inputs, flags = tmp_path / "tracks.mkv", [], []
        for number, size in enumerate(sizes):
            inputs += ["-f", "lavfi", "-i", f"color={('red', 'lime')[number]}:size={size}x48:rate=25:duration=0.2"]
            flags += [f"-disposition:v:{number}", "default" if number == default else "0"]
        # Without a flag, Matroska's default is "default".
        run(*inputs, "-map", "0", "-map", "1", "-c:v", "ffv1", *flags, "-default_mode", "passthrough", path)
        clip = read_clip(path, num_frames=5, width=64, height=48)
        assert clip.source_size == (sizes[chosen], 48)
        right = decoded(path, size=clip.source_size)
        assert np.abs(right[0, 20, 20] - clip.frames[0, 20, 20].numpy() * 255).max() < 8

    def test_sound_of_the_most_channels(self, tmp_path):
        path = tmp_path / "sounds.mkv"
        sounds = [f"sine=frequency={hertz}:duration=1" for hertz in (500, 1000)]
        inputs = [part for sound in sounds for part in ("-f", "lavfi", "-i", sound)]
        video = ["-f", "lavfi", "-i", "color=red:size=64x48:rate=25:duration=1"]
        flags = ["-disposition:a", "0", "-default_mode", "passthrough", "-c:a", "flac", "-ac:a:0", "1", "-ac:a:1", "2"]
        run(*video, *inputs, "-map", "0", "-map", "1", "-map", "2", "-c:v", "ffv1", *flags, path)
        audio = read_audio(path, start=0, duration=1)
        assert audio["waveform"].shape[1] == 2
        assert int(np.abs(np.fft.rfft(audio["waveform"][0, 0].numpy())).argmax()) == 1000


class TestInterlaced:
    @pytest.mark.parametrize(
        ("ending", "codec"),
        [
            ("mp4", ["libx264", "-x264-params", "tff=1:bframes=2"]),
            ("ts", ["mpeg2video", "-flags", "+ildct+ilme", "-top", "0", "-bf", "2", "-q:v", "2"]),
            ("mkv", ["libx264", "-x264-params", "bff=1"]),
        ],
    )
    def test_each_frame_is_ffmpegs(self, tmp_path, ending, codec):
        path, size = tmp_path / f"interlaced.{ending}", (128, 96)
        picture = f"testsrc=size={size[0]}x{size[1]}:rate=50:duration=0.8,interlace"
        run("-f", "lavfi", "-i", picture, "-pix_fmt", "yuv420p", "-c:v", *codec, path)
        right = decoded(path, filters="bwdif=mode=send_frame:deint=interlaced", size=size)
        clip = read_clip(path, num_frames=len(right), width=size[0], height=size[1])
        assert clip.source_frames == len(right) == 20
        assert np.abs(clip.frames.numpy() * 255 - right).mean((1, 2, 3)).max() < COLOUR_TOLERANCE
