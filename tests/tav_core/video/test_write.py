"""What is written is read back with our own reader and with Pillow."""

import errno
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.errors import ConfigError, InputError, OutputError
from tav_core.video import encode
from tav_core.video.clip import read_clip
from tav_core.video.notes import read_notes
from tav_core.video.write import check_video, write_video
from tests.project_files import ROOT

WIDTH, HEIGHT, COUNT = 64, 48, 12
ENDINGS = [".mp4", ".gif", ".webp", ""]


@pytest.fixture
def frames():
    """A soft ramp with a blue that deepens; frames 4 and 5 are equal, and so are the last two."""
    y, x = torch.meshgrid(torch.linspace(0, 1, HEIGHT), torch.linspace(0, 1, WIDTH), indexing="ij")
    shades = [number if number not in (5, COUNT - 1) else number - 1 for number in range(COUNT)]
    return torch.stack([torch.stack([x, y, torch.full_like(x, shade / COUNT)], -1) for shade in shades])


def read_back(path, width=WIDTH, height=HEIGHT, count=COUNT, **settings):
    return read_clip(path, width=width, height=height, num_frames=count, **settings)


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("ending", "mean", "most"),
        [(".mp4", 0.01, 0.06), (".gif", 0.08, 0.35), (".webp", 0.01, 0.07), ("", 0.001, 0.002)],
    )
    def test_pixels(self, tmp_path, frames, ending, mean, most):
        path = write_video(tmp_path / f"clip{ending}", frames, fps=10)
        clip = read_back(path)
        assert clip.source_frames == COUNT
        error = (clip.frames - frames).abs()
        assert error.mean() < mean and error.max() < most

    def test_gif_is_right_from_a_distance(self, tmp_path, frames):
        # 30,000 colours do not go into 256; the dither must still average to them.
        clip = read_back(write_video(tmp_path / "clip.gif", frames, fps=10))
        error = (clip.frames - frames).reshape(COUNT, 6, 8, 8, 8, 3).mean((2, 4)).abs()
        assert error.max() < 0.1 and error.mean() < 0.015

    def test_gif_keeps_a_rare_colour(self, tmp_path, frames):
        frames = frames.clone() * torch.tensor([1, 1, 0])
        frames[:, 10:14, 10:14] = torch.tensor([0.0, 0, 1])
        clip = read_back(write_video(tmp_path / "clip.gif", frames, fps=10))
        assert (clip.frames - frames)[:, 10:14, 10:14].mean((0, 1, 2)).abs().max() < 0.1

    @pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp"])
    @pytest.mark.parametrize(
        "fps", [5, 8, 12, 12.5, 15, 24, 25, 30, 50, Fraction(24000, 1001), 30000 / 1001, 29.97 / 2]
    )
    def test_rate(self, tmp_path, frames, ending, fps):
        clip = read_back(write_video(tmp_path / f"clip{ending}", frames, fps=fps))
        # A GIF rounds to 10 ms and a WebP to 1 ms, over 11 steps.
        rounding = {".mp4": 0, ".gif": 0.01, ".webp": 0.001}[ending]
        assert abs((COUNT - 1) / clip.fps - (COUNT - 1) / float(fps)) <= rounding + 1e-4

    @pytest.mark.parametrize(("ending", "unit"), [(".gif", 10), (".webp", 1)])
    @pytest.mark.parametrize("fps", [8, 12, 24, 30])
    def test_every_duration_as_other_programs_see_it(self, tmp_path, frames, ending, unit, fps):
        with Image.open(write_video(tmp_path / f"clip{ending}", frames, fps=fps)) as picture:
            assert picture.info["loop"] == 0 and picture.n_frames == COUNT
            durations = []
            for number in range(COUNT):
                picture.seek(number)
                picture.load()
                durations.append(picture.info["duration"])
        assert all(abs(duration - 1000 / fps) < unit for duration in durations)
        assert abs(sum(durations) - COUNT * 1000 / fps) <= unit / 2

    @pytest.mark.parametrize("colour", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0), (0.2, 0.6, 0.4)])
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_plain_colours(self, tmp_path, colour, ending):
        frames = torch.tensor(colour, dtype=torch.float32).expand(3, HEIGHT, WIDTH, 3)
        clip = read_back(write_video(tmp_path / f"clip{ending}", frames, fps=8), count=3)
        assert torch.allclose(clip.frames, frames, atol=0.025)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_one_frame(self, tmp_path, frames, ending):
        assert read_back(write_video(tmp_path / f"one{ending}", frames[:1], fps=8), count=1).source_frames == 1

    def test_another_mp4_encoder(self, tmp_path, frames, monkeypatch):
        monkeypatch.setattr(encode, "H264_ENCODERS", ())
        clip = read_back(write_video(tmp_path / "clip.mp4", frames, fps=Fraction(30000, 1001)))
        assert (clip.frames - frames).abs().mean() < 0.02
        assert clip.fps == pytest.approx(30000 / 1001)


class TestMp4:
    def test_is_what_browsers_play(self, tmp_path, frames):
        path = write_video(tmp_path / "clip.mp4", frames, fps=10)
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
            frame = next(container.decode(video=0))
            assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")

    def test_odd_sizes_grow_by_a_repeated_pixel(self, tmp_path):
        frames = torch.linspace(0, 1, 101)[None, None, :, None].expand(3, 75, 101, 3)
        path = write_video(tmp_path / "odd.mp4", frames, fps=8)
        with av.open(str(path)) as container:
            last = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][-1]
        assert last.shape == (76, 102, 3)
        assert np.abs(last[:75, :101, 0] / 255 - frames[0, :, :, 0].numpy()).max() < 0.03
        assert last[:, 101].min() > 245

    @pytest.mark.parametrize("ending", [".gif", ".webp"])
    def test_odd_sizes_elsewhere_stay(self, tmp_path, ending):
        path = write_video(tmp_path / f"odd{ending}", torch.rand(2, 75, 101, 3), fps=8)
        with Image.open(path) as picture:
            assert picture.size == (101, 75)

    @pytest.mark.parametrize(
        ("available", "chosen"),
        [
            ({"libopenh264", "libx264", "mpeg4"}, "libx264"),
            ({"h264_mf", "libopenh264", "mpeg4"}, "libopenh264"),
            ({"h264", "mpeg4"}, "mpeg4"),
        ],
    )
    def test_encoder_is_the_best_of_the_build(self, available, chosen):
        assert encode.choose_mp4_encoder(available) == chosen


class TestFrames:
    @pytest.mark.parametrize("kind", ["numpy", "uint8", "numpy uint8", "float16", "bfloat16", "strided"])
    def test_of_every_kind(self, tmp_path, frames, kind):
        bytes_ = (frames * 255).round().to(torch.uint8)
        given = {
            "numpy": frames.numpy(),
            "uint8": bytes_,
            "numpy uint8": bytes_.numpy(),
            "float16": frames.half(),
            "bfloat16": frames.bfloat16(),
            "strided": frames.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1).requires_grad_(),
        }[kind]
        write_video(tmp_path / "out", given, fps=8)
        assert (read_back(tmp_path / "out").frames - frames).abs().max() < 0.005

    def test_are_clamped(self, tmp_path):
        clip = read_back(write_video(tmp_path / "out", torch.tensor([-1.0, 0.5, 7]).expand(1, 8, 8, 3), fps=8), 8, 8, 1)
        assert torch.allclose(clip.frames, torch.tensor([0, 128 / 255, 1]))

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (torch.rand(8, 8, 3), r"shape \(8, 8, 3\)"),
            (torch.rand(2, 3, 8, 8), r"shape \(2, 3, 8, 8\)"),
            (torch.rand(0, 8, 8, 3), r"shape \(0, 8, 8, 3\)"),
            (torch.zeros(2, 8, 8, 3, dtype=torch.int64), "int64"),
            ([[1, 2]], "list"),
            (torch.full((2, 8, 8, 3), torch.nan), "frame 0"),
        ],
    )
    def test_that_are_none(self, tmp_path, wrong, message):
        with pytest.raises(InputError, match=message):
            write_video(tmp_path / "clip.mp4", wrong, fps=8)
        assert list(tmp_path.iterdir()) == []


class TestSettings:
    @pytest.mark.parametrize("name", ["clip.avi", "clip.png", "clip.mp3"])
    def test_unknown_ending(self, tmp_path, frames, name):
        with pytest.raises(ConfigError, match=r"Expected \.mp4, \.gif, \.webp"):
            write_video(tmp_path / name, frames, fps=8)

    @pytest.mark.parametrize(
        ("name", "fps"), [("a.mp4", 0), ("a.mp4", -5), ("a.mp4", float("nan")), ("a.gif", 60), ("a.webp", 120)]
    )
    def test_rate_that_does_not_fit(self, tmp_path, frames, name, fps):
        with pytest.raises(ConfigError, match="frames per second"):
            write_video(tmp_path / name, frames, fps=fps)

    def test_are_checked_before_there_are_frames(self, tmp_path):
        assert check_video(tmp_path / "a.gif", fps=12.5) == (tmp_path / "a.gif", ".gif", Fraction(25, 2))
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / "notes.txt").write_text("mine")
        for name, fps, error in (("a.avi", 8, ConfigError), ("a.gif", 60, ConfigError), ("taken", 8, OutputError)):
            with pytest.raises(error):
                check_video(tmp_path / name, fps=fps)
        assert [path.name for path in tmp_path.iterdir()] == ["taken"]

    def test_a_slash_makes_a_folder(self, tmp_path, frames):
        write_video(f"{tmp_path}/frames.v2/", frames, fps=8)
        assert sorted(path.name for path in (tmp_path / "frames.v2").iterdir())[:2] == ["00000.png", "00001.png"]

    def test_endings_of_any_case_and_missing_folders(self, tmp_path, frames):
        path = write_video(tmp_path / "new" / "folder" / "CLIP.MP4", frames, fps=8)
        assert path == tmp_path / "new" / "folder" / "CLIP.MP4" and read_back(path).num_frames == COUNT


class TestFailure:
    @pytest.fixture
    def full_disk(self, monkeypatch):
        """Lets ffmpeg meet a device that is really full, after half a file was begun; and Pillow, after three PNGs."""
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full")
        open_container, save, saved = av.open, Image.Image.save, []

        def save_three(image, path, **options):
            if len(saved) == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            saved.append(path)
            save(image, path, **options)

        def open_full(path, mode="r", **settings):
            if mode == "r":
                return open_container(path, mode, **settings)
            Path(path).write_bytes(b"half a file")
            return open_container("/dev/full", mode, format=settings["format"])

        monkeypatch.setattr(av, "open", open_full)
        monkeypatch.setattr(Image.Image, "save", save_three)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_full_disk_leaves_no_file(self, tmp_path, full_disk, ending):
        with pytest.raises(OutputError, match="no space left on the disk") as error:
            write_video(tmp_path / f"clip{ending}", torch.rand(COUNT, HEIGHT, WIDTH, 3), fps=8)
        assert error.value.mend.startswith("Free some space")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_full_disk_leaves_the_old_file(self, tmp_path, frames, ending, request):
        path = write_video(tmp_path / f"clip{ending}", frames, fps=8)
        before = read_back(path).frames
        request.getfixturevalue("full_disk")
        with pytest.raises(OutputError):
            write_video(path, torch.rand(COUNT, HEIGHT, WIDTH, 3), fps=8)
        assert torch.equal(read_back(path).frames, before)
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.skipif(sys.platform == "win32", reason="no limits on file size")
    @pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp"])
    @pytest.mark.parametrize("room", [10, 1500, 20000])
    def test_the_systems_own_refusal(self, tmp_path, ending, room):
        import resource

        noise = torch.rand(COUNT, 96, 96, 3, generator=torch.Generator().manual_seed(0))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(OutputError, match="File too large"):
                write_video(tmp_path / f"clip{ending}", noise, fps=8)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(tmp_path.iterdir()) == []

    def test_folder_that_is_a_file(self, tmp_path, frames):
        (tmp_path / "taken").write_text("a file")
        with pytest.raises(OutputError):
            write_video(tmp_path / "taken" / "clip.mp4", frames, fps=8)

    def test_folder_with_other_files_is_left_alone(self, tmp_path, frames):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "holiday.jpg").write_text("keep me")
        with pytest.raises(OutputError, match=r"holiday\.jpg"):
            write_video(tmp_path / "out", frames, fps=8)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["holiday.jpg"]

    def test_an_older_folder_is_replaced_whole(self, tmp_path, frames):
        write_video(tmp_path / "out", frames, fps=8)
        write_video(tmp_path / "out", frames[:3], fps=8)
        assert len(list((tmp_path / "out").iterdir())) == 3 and len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_a_last_step_that_fails_leaves_the_old_one(self, tmp_path, frames, monkeypatch, ending):
        path = write_video(tmp_path / f"clip{ending}", frames, fps=8)
        replace = Path.replace

        def refuse_new(source, target):
            if source.suffix == ".tmp":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return replace(source, target)

        monkeypatch.setattr(Path, "replace", refuse_new)
        with pytest.raises(OutputError, match="Permission denied"):
            write_video(path, frames[:3], fps=8)
        assert read_back(path).source_frames == COUNT
        assert list(tmp_path.iterdir()) == [path]

    def test_a_size_that_the_format_cannot_hold(self, tmp_path):
        with pytest.raises(OutputError, match="Lower the size"):
            write_video(tmp_path / "clip.webp", torch.zeros(1, 8, 17000, 3), fps=8)
        assert list(tmp_path.iterdir()) == []

    def test_an_interrupt_leaves_no_file(self, tmp_path, frames, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(encode, "_to_bt709", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_video(tmp_path / "clip.mp4", frames, fps=8)
        assert list(tmp_path.iterdir()) == []


PERTURBED = """
import hashlib, sys, numpy as np
from tav_core.video.write import write_video
noise = np.random.default_rng(0).random((8, 12, 12, 3)).repeat(8, 1).repeat(8, 2) * 0.3
write_video(sys.argv[1], noise + np.linspace(0, 0.7, 96)[:, None], fps=8)
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="MALLOC_PERTURB_ is glibc's")
def test_equal_frames_give_equal_files_whatever_is_in_memory(tmp_path):
    """x264's macroblock tree reads what nothing was written to; glibc fills it with the value that it is given."""
    found = set()
    for value in ("0", "1"):
        command = [sys.executable, "-c", PERTURBED, str(tmp_path / "video.mp4")]
        environment = {**os.environ, "MALLOC_PERTURB_": value}
        found.add(subprocess.run(command, env=environment, check=True, capture_output=True, cwd=ROOT).stdout)
    assert len(found) == 1


@pytest.mark.skipif(os.name == "nt", reason="a name cannot have a colon there")
@pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp"])
def test_a_colon_in_a_relative_path_names_no_protocol(tmp_path, monkeypatch, frames, ending):
    monkeypatch.chdir(tmp_path)
    path = Path("12:30") / f"a{ending}"
    write_video(path, frames, fps=10, comment="how it was made")
    assert "how it was made" in read_notes(path).values()
