"""Comments in GIF and WebP files of odd kinds, and the notes that are read back from them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tav_core.video.comments import with_gif_comment, with_webp_comment
from tav_core.video.notes import read_notes
from tav_core.video.write import write_video

PIXELS = np.random.default_rng(0).integers(0, 256, (33, 47, 4), np.uint8)


def saved(mode: str, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, kind, **how)
    return file.getvalue()


def without_global_colours(gif: bytes) -> bytes:
    """The same GIF, whose colours stand with its picture."""
    flags, length = gif[10], 3 * 2 ** (gif[10] % 8 + 1)
    colours, body = gif[13 : 13 + length], gif[13 + length :]
    at = body.index(b"\x2c") + 9
    local = body[:at] + bytes([body[at] | 0x80 | flags & 7]) + colours + body[at + 1 :]
    return gif[:10] + bytes([flags & 0x7F]) + gif[11:13] + local


@pytest.mark.parametrize("strip", [bytes, without_global_colours], ids=["global colours", "local colours"])
def test_a_gif_keeps_its_picture(tmp_path, strip):
    plain = strip(saved("RGB", "GIF"))
    path = tmp_path / "noted.gif"
    path.write_bytes(with_gif_comment(plain, "y" * 254 + "\u00e9"))
    assert path.read_bytes()[:6] == b"GIF89a"
    with Image.open(io.BytesIO(plain)) as before, Image.open(path) as after:
        assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()
    assert read_notes(path)["comment"] == "y" * 254 + "\u00e9"


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_keeps_its_transparency(tmp_path, lossless):
    plain = saved("RGBA", "WEBP", lossless=lossless)
    path = tmp_path / "noted.webp"
    path.write_bytes(with_webp_comment(plain, "a\u00e9" * 50_000, width=47, height=33))
    with Image.open(io.BytesIO(plain)) as before, Image.open(path) as after:
        assert before.convert("RGBA").tobytes() == after.convert("RGBA").tobytes()
    # An EXIF of 64 KiB is a JPEG's limit, and none of WebP's.
    assert read_notes(path)["comment"] == "a\u00e9" * 50_000


@pytest.mark.parametrize("name", ["video.gif", "video.webp", "video.mp4", "video"])
def test_a_comment_that_is_no_text_costs_no_video(tmp_path, name):
    """A byte of the command line that is no UTF-8 becomes half a character."""
    path = write_video(tmp_path / name, PIXELS[None, :32, :32, :3], fps=8, comment="a\udcffb")
    assert read_notes(path)["comment"] == "a?b"


def test_a_comment_of_another_program_in_another_code_is_read(tmp_path):
    path = tmp_path / "latin.gif"
    path.write_bytes(with_gif_comment(saved("RGB", "GIF"), "x").replace(b"\x01x\0", b"\x03a\xe9b\0"))
    assert read_notes(path)["comment"] == "a\ufffdb"
