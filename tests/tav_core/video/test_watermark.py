"""The invisible mark and the notes in a video: written, read back, and what the mark survives."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.cli.main import main
from tav_core.errors import ConfigError, InputError
from tav_core.video import watermark
from tav_core.video.clip import open_source, read_clip
from tav_core.video.notes import read_notes, read_settings_in
from tav_core.video.write import write_video

CLIP = Path(__file__).resolve().parents[3] / "demo" / "clip.mp4"
TEXT = "ski№"


@pytest.fixture
def package():
    return pytest.importorskip("imwatermark", reason="needs invisible-watermark")


def scene(num_frames=6, height=256, width=320):
    """Frames with edges, a gradient, grain, and something that moves."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / height
    frames = np.stack([x / 2 + y / 4, 0.5 + 0.3 * np.sin(9 * x), 0.4 + 0.3 * np.cos(7 * y)], -1)[None]
    frames = np.repeat(frames, num_frames, 0) + 0.02 * generator.standard_normal((num_frames, height, width, 3))
    for number in range(num_frames):
        frames[number, 90:150, 30 + 9 * number : 90 + 9 * number] = (0.8, 0.3, 0.2)
    return torch.from_numpy(frames.clip(0, 1).astype(np.float32))


def recode(source, target, crf):
    """Encodes a video again with H.264, as sites do."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream("libx264", rate=Fraction(8))
        stream.options, stream.pix_fmt = {"crf": str(crf)}, "yuv420p"
        stream.width, stream.height = old.streams.video[0].width, old.streams.video[0].height
        # Which colours the numbers mean: ffmpeg keeps it, and so do sites.
        context, own = stream.codec_context, old.streams.video[0].codec_context
        context.colorspace, context.color_range = own.colorspace, own.color_range
        context.color_primaries, context.color_trc = own.color_primaries, own.color_trc
        for number, frame in enumerate(old.decode(video=0)):
            frame.pts, frame.time_base = number, Fraction(1, 8)
            new.mux(stream.encode(frame))
        new.mux(stream.encode())
    return target


def mark_in(path):
    source = open_source(path)
    return watermark.read_mark(np.asarray(image) for image in source.images(range(len(source.timeline))))


@pytest.mark.parametrize("ending", [".mp4", ""])
def test_the_mark_is_in_the_file_and_not_seen(package, tmp_path, ending):
    frames = scene()
    path = write_video(tmp_path / f"video{ending}", frames, fps=8, watermark=TEXT)
    assert mark_in(path) == TEXT
    seen = np.stack([np.asarray(image) for image in open_source(path).images(range(6))]).astype(float)
    error = ((seen - 255 * frames.numpy()) ** 2).mean()
    # Flat colours hide least: on real clips it is 40 dB.
    assert 10 * np.log10(255**2 / error) > 30
    assert mark_in(write_video(tmp_path / f"plain{ending}", frames, fps=8)) is None


def test_the_mark_survives_h264_at_crf_23(package, tmp_path):
    frames = read_clip(CLIP, num_frames=6, width=384, height=384).frames
    path = write_video(tmp_path / "video.mp4", frames, fps=8, watermark=TEXT)
    assert mark_in(recode(path, tmp_path / "once.mp4", 23)) == TEXT


@pytest.mark.parametrize(
    ("colour", "box"),
    [
        ((1, 1, 1), (slice(None), slice(0, 256))),
        ((1, 1, 1), (slice(0, 400), slice(None))),
        ((1, 1, 1), (slice(None), slice(None))),
        ((0, 0, 0), (slice(None), slice(0, 448))),
        ((0.1, 0.3, 1), (slice(0, 320), slice(None))),
        ((1, 0.9, 0), (slice(0, 320), slice(None))),
    ],
)
def test_white_walls_skies_and_other_flat_colours_do_not_take_bits_away(package, tmp_path, colour, box):
    """512 pixels are 64 blocks, as many as there are bits: the package alone would have one bit per column."""
    frames = scene(num_frames=2, height=512, width=512)
    frames[:, box[0], box[1]] = torch.tensor(colour, dtype=torch.float32)
    path = write_video(tmp_path / "video.mp4", frames, fps=8, watermark=TEXT)
    assert mark_in(recode(path, tmp_path / "once.mp4", 23)) == TEXT


@pytest.mark.parametrize(("height", "width"), [(512, 512), (432, 768), (257, 321), (256, 256), (1024, 64)])
def test_every_bit_is_in_every_part_of_a_frame(height, width):
    places = watermark.place_bits(height, width).reshape(height // 8, width // 8)
    for half in (places[:, : places.shape[1] // 2], places[: len(places) // 2]):
        assert np.bincount(half.ravel(), minlength=watermark.NUM_BITS).all()


def test_odd_sides_which_the_file_makes_even(package, tmp_path):
    path = write_video(tmp_path / "odd.mp4", scene(height=257, width=321), fps=8, watermark=TEXT)
    assert mark_in(path) == TEXT


def test_frames_are_marked_for_other_writers(package):
    frames = scene(num_frames=2)
    before = frames.clone()
    marked = watermark.mark_frames(frames, TEXT)
    assert marked.shape == frames.shape and marked.dtype == torch.float32 and torch.equal(frames, before)
    assert 1 / 255 < (marked - frames).abs().max() < 0.25
    as_bytes = (255 * marked).round().byte()
    for kind in (marked, marked.numpy(), marked.double().numpy(), marked.half(), as_bytes, as_bytes.numpy()):
        assert watermark.read_mark(kind) == watermark.read_mark(iter(kind)) == TEXT


@pytest.mark.parametrize("wrong", [np.zeros((256, 256, 3)), np.zeros((1, 256, 256)), np.zeros((1, 256, 256, 3), int)])
def test_what_is_no_frames_has_no_mark_to_read(package, wrong):
    with pytest.raises(InputError, match="Got frames of"):
        watermark.read_mark(wrong)


def test_a_text_and_its_checksum():
    bits = np.array(watermark.to_bits(TEXT))
    assert len(bits) == watermark.NUM_BITS and watermark.from_bits(bits) == TEXT
    for place in range(len(bits)):
        wrong = bits.copy()
        wrong[place] ^= 1
        assert watermark.from_bits(wrong) == TEXT, "one bit is mended"
        wrong[place - 1] ^= 1
        assert watermark.from_bits(wrong) is None
    noise = np.random.default_rng(0).integers(0, 2, (500, watermark.NUM_BITS))
    assert not any(watermark.from_bits(row) for row in noise)
    assert watermark.from_bits(np.zeros(watermark.NUM_BITS)) is None
    assert watermark.from_bits(np.ones(watermark.NUM_BITS)) is None


@pytest.mark.parametrize("text", ["seven..", "", "한국어", "a\0b", "a\nb"])
def test_texts_that_do_not_fit(text):
    with pytest.raises(ConfigError, match="a watermark of"):
        watermark.check_text(text)


def test_what_cannot_hold_a_mark_is_refused_and_nothing_written(package, tmp_path):
    for path, frames, word in (
        (tmp_path / "a.gif", scene(), r"in a \.gif"),
        (tmp_path / "a.webp", scene(), r"in a \.webp"),
        (tmp_path / "a.mp4", scene(height=128, width=128), "128x128"),
    ):
        with pytest.raises(ConfigError, match=word):
            write_video(path, frames, fps=8, watermark=TEXT)
        assert not path.exists()


def test_without_the_package_the_refusal_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imwatermark", None)
    with pytest.raises(ConfigError, match="pip install invisible-watermark"):
        write_video(tmp_path / "a.mp4", scene(), fps=8, watermark=TEXT)


@pytest.mark.parametrize("ending", [".mp4", ""])
def test_info_reads_mark_and_settings_back(package, tmp_path, capsys, ending):
    comment = json.dumps({"prompt": "스키 \x1b[31m", "num_steps": 50})
    path = write_video(tmp_path / f"video{ending}", scene(), fps=8, comment=comment, watermark=TEXT)
    assert main(["info", f"{path}"]) == 0
    told = capsys.readouterr().out
    assert "kind  video" in told and "320x256" in told and f"watermark  {TEXT}" in told
    assert r"made: prompt  스키 \x1b[31m" in told and "made: num_steps  50" in told


@pytest.mark.parametrize("num_frames", [1, 3])
@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_info_reads_the_settings_back_from_formats_whose_muxers_have_no_comment(tmp_path, capsys, ending, num_frames):
    prompt = "스키 é " * 100
    plain = write_video(tmp_path / f"plain{ending}", scene(num_frames, 64, 65), fps=8)
    path = write_video(
        tmp_path / f"video{ending}", scene(num_frames, 64, 65), fps=8, comment=json.dumps({"prompt": prompt})
    )
    assert read_settings_in(read_notes(path)) == {"prompt": prompt}
    with Image.open(plain) as before, Image.open(path) as after:
        assert (after.size, after.n_frames) == (before.size, before.n_frames) == ((65, 64), num_frames)
        for number in range(num_frames):
            before.seek(number)
            after.seek(number)
            assert after.convert("RGB").tobytes() == before.convert("RGB").tobytes()
    assert main(["info", f"{path}"]) == 0
    assert f"frames  {num_frames}" in capsys.readouterr().out


def test_info_knows_every_kind_of_picture_as_a_frame(tmp_path, capsys):
    for ending in ("JPG", "bmp"):
        folder = tmp_path / ending
        folder.mkdir()
        for number in range(2):
            Image.new("RGB", (64, 64)).save(folder / f"{number}.{ending}")
        assert main(["info", f"{folder}"]) == 0
        assert "kind  video" in (told := capsys.readouterr().out) and "frames  2" in told
    (folder / "model_index.json").write_text("{}")
    assert main(["info", f"{folder}"]) == 1


def test_info_on_a_video_without_either(tmp_path, capsys):
    path = write_video(tmp_path / "video.gif", scene(num_frames=2, height=64, width=64), fps=8)
    assert main(["info", f"{path}"]) == 0
    told = capsys.readouterr().out
    assert "frames  2" in told and "made:" not in told and "watermark  no" in told


def test_a_comment_of_another_program_is_shown_as_it_is(tmp_path, capsys):
    path = write_video(tmp_path / "video.mp4", scene(2, 64, 64), fps=8, comment="[" * 5000)
    assert read_notes(path)["comment"] == "[" * 5000
    assert main(["info", f"{path}"]) == 0
    assert "(5000 characters)" in capsys.readouterr().out
