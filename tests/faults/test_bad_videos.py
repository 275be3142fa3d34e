"""Broken and unusual videos: `read_clip` refuses them in words, or reads them all the same."""

from __future__ import annotations

import os
import socket
import struct
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tav_core.errors import ClipError, ConfigError
from tav_core.video.clip import read_clip
from tests.faults.checks import SECONDS, refused, time_limit
from tests.tav_core.video.test_clip import encode, numbered

SIZE = {"width": 64, "height": 48}
ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".webp", ".ts")
JUNK = {
    "empty": b"",
    "one byte": b"\0",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "a web page": b"<!doctype html><html><body>404 Not Found</body></html>",
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "the head of an MP4": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41\0\0\0\x08free",
    "the head of a WebM": b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86\x81\x01",
    "the head of a GIF": b"GIF89a\x40\0\x30\0\xf0\0\0",
    "the head of a WebP": b"RIFF\xff\xff\xff\xffWEBP",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """Twelve frames at 25 a second."""
    return encode(tmp_path_factory.mktemp("plain") / "plain.mp4", [numbered(n) for n in range(12)])


def read(path, **settings):
    return read_clip(path, **{**SIZE, "num_frames": 2, **settings})


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("junk", JUNK)
def test_what_is_no_video_under_any_ending(tmp_path, junk, ending):
    path = tmp_path / f"clip{ending}"
    path.write_bytes(JUNK[junk])
    with refused(ClipError, f"clip{ending}", folder=tmp_path):
        read(path)


@pytest.mark.parametrize("left", [0.02, 0.3, 0.6, 0.9])
def test_a_download_that_stopped(tmp_path, plain, left):
    data = plain.read_bytes()
    (tmp_path / "clip.mp4").write_bytes(data[: int(len(data) * left)])
    with refused(ClipError, "clip.mp4", "video", folder=tmp_path):
        read(tmp_path / "clip.mp4")


def sound_alone(folder: Path) -> Path:
    with wave.open(str(folder / "sound.mp4"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    return folder / "sound.mp4"


def link_to_itself(folder: Path) -> Path:
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return folder / "loop.mp4"


def link_to_nothing(folder: Path) -> Path:
    (folder / "dangling.mp4").symlink_to(folder / "gone.mp4")
    return folder / "dangling.mp4"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def folder_named_like_a_video(folder: Path) -> Path:
    (folder / "clip.mp4").mkdir()
    return folder / "clip.mp4"


def picture_of_all_that_is_needed(folder: Path) -> Path:
    Image.fromarray(numbered(1)).save(folder / "picture.png")
    return (folder / "picture.png").rename(folder / "picture.mp4")


def huge_picture(folder: Path) -> Path:
    """A PNG that says 60000 x 60000 and holds nothing: 10 GB, if somebody believes it."""
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    (folder / "frames").mkdir()
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    for number in range(2):
        (folder / "frames" / f"{number}.png").write_bytes(data)
    return folder / "frames"


def text_as_frames(folder: Path) -> Path:
    (folder / "frames").mkdir()
    for number in range(2):
        (folder / "frames" / f"{number}.png").write_text("this is no picture")
    return folder / "frames"


# name: (what makes the path, words that the message must hold)
LISTED = {
    "sound alone": (sound_alone, ("audio but no video",)),
    "a link to itself": (link_to_itself, ("loop.mp4", "link")),
    "a link to nothing": (link_to_nothing, ("dangling.mp4", "does not exist")),
    "an empty folder named like a video": (folder_named_like_a_video, ("without a picture",)),
    "a picture named like a video": (picture_of_all_that_is_needed, ("1 frame in picture.mp4",)),
    "a picture that claims to be huge": (huge_picture, ("0.png",)),
    "texts as frames": (text_as_frames, ("0.png", "cannot be read as a picture")),
    "a name of 300 letters": (lambda folder: folder / ("x" * 300 + ".mp4"), ("xxx", "name")),
    "a zero byte in the name": (lambda folder: folder / "a\0b.mp4", ("a", "name")),
    "a home of nobody": (lambda folder: Path("~nobody-of-this-name/clip.mp4"), ("nobody-of-this-name",)),
    "an address": (lambda folder: "http://127.0.0.1:9/clip.mp4", ("does not exist",)),
    "ffmpeg's own protocol": (lambda folder: "concat:a.mp4|b.mp4", ("does not exist",)),
    "ffmpeg's own device": (lambda folder: "lavfi:testsrc", ("does not exist",)),
    "no name": (lambda folder: "", ("without a picture",)),
}
if hasattr(os, "mkfifo"):
    LISTED["a pipe that nobody writes to"] = (pipe, ("pipe.mp4", "file"))
if Path("/dev/zero").exists():
    LISTED["a device without end"] = (lambda folder: Path("/dev/zero"), ("/dev/zero",))


@pytest.mark.parametrize("case", LISTED)
def test_what_is_no_video_by_itself(tmp_path, monkeypatch, case):
    if "link" in case and sys.platform == "win32":
        pytest.skip("links need a privilege on Windows")
    monkeypatch.chdir(tmp_path)
    make, words = LISTED[case]
    path = make(tmp_path)
    with refused(ClipError, *words, folder=tmp_path):
        read(path)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("playlist", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"),
        ("session", "v=0\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
        ("list", "ffconcat version 1.0\nfile http://127.0.0.1:{port}/a.mp4\n"),
        ("list of a file elsewhere", "ffconcat version 1.0\nfile {plain}\n"),
    ],
)
@pytest.mark.parametrize("ending", [".mp4", ".m3u8", ".sdp", ".ffconcat"])
def test_a_text_that_sends_ffmpeg_elsewhere(tmp_path, plain, kind, text, ending):
    """A file from a stranger must neither call home nor open other files."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        path = tmp_path / f"clip{ending}"
        path.write_text(text.format(port=listener.getsockname()[1], plain=plain))
        with refused(ClipError, f"clip{ending}", folder=tmp_path):
            read(path)
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    ("frames", "settings", "words"),
    [
        (1, {}, ("1 frame in", "num_frames to 1")),
        (2, {"stride": 2}, ("2 frames in", "stride to 1")),
        (2, {"start": 5}, ("2 frames in", "start to 0")),
        (2, {"start": 2**62}, ("2 frames in",)),
        (2, {"stride": 2**62}, ("2 frames in",)),
        (2, {"num_frames": 2**62}, ("2 frames in",)),
    ],
)
def test_too_short(tmp_path, frames, settings, words):
    path = encode(tmp_path / "short.mp4", [numbered(n) for n in range(frames)])
    with refused(ClipError, *words, folder=tmp_path):
        read(path, **settings)


NUMBERS = (-1, 0.5, float("nan"), float("inf"), "2", None, [2])


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["start", "stride", "num_frames", "width", "height"])
def test_numbers_that_are_none(tmp_path, plain, name, value):
    with refused(ConfigError, name, folder=tmp_path):
        read(plain, **{name: value})


@pytest.mark.parametrize("value", [0, -8, float("nan"), float("inf"), 1e-9, "8", None], ids=repr)
def test_rates_of_a_folder_that_are_none(tmp_path, value):
    for number in range(2):
        Image.fromarray(numbered(number)).save(tmp_path / f"{number}.png")
    with refused(ConfigError, "folder_fps", folder=tmp_path):
        read(tmp_path, folder_fps=value)


class TestReadAllTheSame:
    """Odd, but videos."""

    def test_one_frame_is_enough_for_one(self, tmp_path):
        assert read(encode(tmp_path / "one.mp4", [numbered(7)]), num_frames=1).num_frames == 1

    def test_8k(self, tmp_path):
        frames = [np.full((4320, 7680, 3), 128, np.uint8)]
        path = encode(tmp_path / "8k.mkv", frames, codec="mjpeg", pix_fmt="yuvj420p")
        with time_limit(SECONDS):
            clip = read(path, num_frames=1)
        assert clip.source_size == (7680, 4320) and abs(float(clip.frames.mean()) - 0.5) < 0.01

    def test_a_header_that_claims_ten_hours(self, tmp_path, plain):
        data = bytearray(plain.read_bytes())
        # Version 0 of mvhd and mdhd: the duration stands 20 bytes behind the name (ISO/IEC 14496-12, 8.2.2, 8.4.2).
        for box in (b"mvhd", b"mdhd"):
            place = data.index(box) + 4 + 16
            (scale,) = struct.unpack_from(">I", data, place - 4)
            struct.pack_into(">I", data, place, min(36000 * scale, 2**32 - 1))
        (tmp_path / "long.mp4").write_bytes(data)
        with time_limit(SECONDS):
            assert read(tmp_path / "long.mp4", num_frames=12).source_frames == 12

    @pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip.txt", "clip"])
    def test_an_mp4_under_another_ending(self, tmp_path, plain, name):
        (tmp_path / name).write_bytes(plain.read_bytes())
        assert read(tmp_path / name, num_frames=12).source_fps == 25

    @pytest.mark.parametrize("name", ["a b.mp4", "a:b.mp4", "-i.mp4", "100%d.mp4", "片段.mp4", "🎬.mp4", "a'b\".mp4"])
    def test_names_that_ffmpeg_might_read_something_into(self, tmp_path, monkeypatch, plain, name):
        if sys.platform == "win32" and set(name) & set(':"'):
            pytest.skip("no such names on Windows")
        (tmp_path / name).write_bytes(plain.read_bytes())
        monkeypatch.chdir(tmp_path)
        assert read(Path(name), num_frames=12).source_frames == 12
