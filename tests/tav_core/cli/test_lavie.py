"""`generate --lavie`, `interpolate`, `upscale` and `convert` at the command line, end to end on tiny models."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from tav_core.checkpoints.lavie import KINDS, load_lavie
from tav_core.cli import lavie
from tav_core.cli.lavie import prompt_of
from tav_core.cli.main import main
from tav_core.cli.whole_clip import read_whole
from tav_core.video.write import write_video
from tests.tav_core.conftest import randomize
from tests.tav_core.lavie_models import save_small_lavie

FEW = ["--num-steps", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def place(sd1, sd2, write_folder, tmp_path_factory):
    """A folder with a tiny checkpoint, an x4 upscaler's parts, LaVie's three files, and a clip."""
    place = tmp_path_factory.mktemp("lavie")
    write_folder(sd1, place / "model")
    widths = (32, 32, 64)
    vae = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        latent_channels=4,
        scaling_factor=0.08333,
    )
    write_folder(SimpleNamespace(**{**vars(sd2), "vae": randomize(vae, 7)}), place / "upscaler")
    for kind in KINDS:
        save_small_lavie(kind, place)
    frames = np.random.default_rng(0).random((5, 16, 32, 3), dtype=np.float32)
    write_video(place / "a_red_star.mp4", frames, fps=8)
    return place


def run(place, command, *more, out="out"):
    return main([command, "--out", f"{place / out}", *more])


def generate(place, *more, lavie="lavie_base.pt", **how):
    files = ["--sd", f"{place / 'model'}", "--lavie", f"{place / lavie}"]
    size = ["--width", "64", "--height", "64", "--num-frames", "3"]
    return run(place, "generate", *files, *size, *FEW, *more, **how)


def interpolate(place, *more, lavie="lavie_interpolation.pt", clip="a_red_star.mp4", **how):
    files = ["--sd", f"{place / 'model'}", "--lavie", f"{place / lavie}", "--clip", f"{place / clip}"]
    return run(place, "interpolate", *files, *FEW, *more, **how)


def upscale(place, *more, lavie="lavie_vsr.pt", upscaler="upscaler", clip="a_red_star.mp4", **how):
    files = ["--upscaler", f"{place / upscaler}", "--lavie", f"{place / lavie}", "--clip", f"{place / clip}"]
    return run(place, "upscale", *files, *FEW, *more, **how)


def comment_of(path):
    with av.open(str(path)) as video:
        return json.loads(video.metadata["comment"])


@pytest.mark.parametrize("kind", KINDS)
def test_info_knows_the_three(place, capsys, kind):
    """It refused them, with the advice to give them elsewhere."""
    (path,) = place.glob(f"{KINDS[kind].file.rsplit('.', 1)[0]}.*")
    assert main(["info", f"{path}"]) == 0
    assert KINDS[kind].title in capsys.readouterr().out


def test_a_short_window_has_a_short_overlap(place):
    """Nobody had asked for the default overlap, which was refused."""
    assert interpolate(place, "--window", "3", "--prompt", "x", out="short") == 0
    assert upscale(place, "--chunk", "2", "--prompt", "x", out="short") == 0
    assert interpolate(place, "--window", "3", "--window-overlap", "4", "--prompt", "x", out="asked") == 1


def test_each_prompt_gives_a_video_with_lavies_defaults(place):
    assert generate(place, "--prompt", "a cat", "--prompt", "a dog", "--guidance-scale", "3") == 0
    for name in ("a-cat", "a-dog"):
        assert read_whole(place / "out" / f"{name}.mp4").frames.shape == (3, 64, 64, 3)
    about = comment_of(place / "out" / "a-dog.mp4")
    expected = {"prompt": "a dog", "seed": 400, "sampler": "ddpm", "guidance_scale": 3, "lavie": "lavie_base.pt"}
    assert expected.items() <= about.items()


def test_each_stage_says_how_long_it_will_take(place, capsys):
    assert generate(place, "--prompt", "a cat", "--num-steps", "10", out="timed") == 0
    assert "time: about" in capsys.readouterr().err
    assert interpolate(place, "--num-steps", "10", out="timed") == 0
    assert "time: about" in capsys.readouterr().err
    assert upscale(place, "--num-steps", "5", "--num-frames", "2", out="timed") == 0
    assert "time: about" in capsys.readouterr().err


def test_five_frames_become_seventeen_that_take_as_long(place):
    assert interpolate(place) == 0
    video = read_whole(place / "out" / "a_red_star-interpolated.mp4")
    assert video.frames.shape == (17, 16, 32, 3)
    assert video.fps == 32
    assert comment_of(video.path)["prompt"] == "a red star"


def test_a_clip_becomes_four_times_as_large(place):
    assert upscale(place, "--chunk", "2", "--chunk-overlap", "1", "--prompt", "a star", "--num-frames", "4") == 0
    video = read_whole(place / "out" / "a_red_star-x4.mp4")
    assert video.frames.shape == (4, 64, 128, 3)
    assert video.fps == 8
    assert comment_of(video.path)["noise_level"] == 50


def test_colors_are_the_clips_unless_the_models_are_wanted(place):
    color = np.array([0.3, 0.5, 0.7], dtype=np.float32)
    write_video(place / "flat.mp4", np.tile(color, (2, 16, 32, 1)), fps=8)
    off = {}
    for out, more in (("kept", ()), ("drawn", ("--model-colors",))):
        assert upscale(place, *more, clip="flat.mp4", out=out) == 0
        frames = read_whole(place / out / "flat-x4.mp4").frames
        off[out] = float((frames.mean((0, 1, 2)) - torch.from_numpy(color)).abs().max())
    # A random model draws such contrasts that some of what is added is cut off.
    assert off["kept"] < off["drawn"] / 2, off


def test_sides_that_are_no_multiples_of_eight_keep_every_pixel(place):
    """1920x1080 enlarged from 480x270, not 1920x1056."""
    frames = np.random.default_rng(1).random((2, 18, 30, 3), dtype=np.float32)
    write_video(place / "uneven.mp4", frames, fps=8)
    assert interpolate(place, clip="uneven.mp4") == 0
    assert read_whole(place / "out" / "uneven-interpolated.mp4", exact=True).frames.shape == (5, 18, 30, 3)
    assert upscale(place, clip="uneven.mp4") == 0
    assert read_whole(place / "out" / "uneven-x4.mp4").frames.shape == (2, 72, 120, 3)
    assert upscale(place, "--width", "16", clip="uneven.mp4", out="narrow") == 0
    assert read_whole(place / "narrow" / "uneven-x4.mp4").frames.shape == (2, 72, 64, 3)


def test_dots_in_names_are_kept(place):
    frames = np.random.default_rng(1).random((2, 16, 16, 3), dtype=np.float32)
    for name in ("shot.01", "shot.02"):
        write_video(f"{place / name}/", frames, fps=8)
        assert upscale(place, clip=name, out="dots") == 0
    assert {path.name for path in (place / "dots").iterdir()} == {"shot.01-x4.mp4", "shot.02-x4.mp4"}
    write_video(place / "ski.v2.mp4", frames, fps=8)
    assert upscale(place, "--format", "png", clip="ski.v2.mp4", out="dots") == 0
    assert len(list((place / "dots" / "ski.v2-x4").glob("*.png"))) == 2


def test_a_video_with_wide_pixels_is_read_as_it_is_shown(tmp_path):
    """Its stored size would cut its sides off."""
    ramp = np.linspace(0, 255, 36, dtype=np.uint8)
    picture = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (40, 36, 3)))
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 36, 40, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    row = read_whole(path, exact=True).frames[0, 20, :, 1]
    assert row.shape == (48,)
    assert row[0] < 0.05 and row[-1] > 0.95


def test_a_small_result_takes_no_watermark_and_a_large_one_does(place, capsys, monkeypatch):
    pytest.importorskip("imwatermark", reason="needs invisible-watermark")
    assert interpolate(place, "--watermark", out="marked") == 1
    assert "a watermark for frames of 32x16" in capsys.readouterr().err
    # What an untrained model draws is noise, in which no mark can be read.
    told = {}
    monkeypatch.setattr(lavie, "write_video", lambda path, frames, **how: told.update(how) or path)
    large = ["--width", "64", "--height", "64", "--num-frames", "1", "--no-metadata"]
    assert upscale(place, *large, "--num-steps", "1", "--guidance-scale", "1", "--watermark", "mine", out="marked") == 0
    assert told == {"fps": 8, "comment": "", "watermark": "mine"}


def test_stages_follow_each_other(place):
    """What one command writes, the next one reads."""
    assert generate(place, "--prompt", "a cat", out="chain") == 0
    files = ["--sd", f"{place / 'model'}", "--lavie", f"{place / 'lavie_interpolation.pt'}"]
    assert run(place, "interpolate", *files, "--clip", f"{place / 'chain' / 'a-cat.mp4'}", *FEW, out="chain") == 0
    assert read_whole(place / "chain" / "a-cat-interpolated.mp4").num_frames == 9


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_file_does_the_same(place, kind, capsys):
    path = place / f"{kind}.safetensors"
    assert main(["convert", f"{place / KINDS[kind].file}", "--out", f"{path}"]) == 0
    assert KINDS[kind].title in capsys.readouterr().out
    one, other = (load_lavie(each, kind).unet.state_dict() for each in (path, place / KINDS[kind].file))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_result_is_upscaled_under_the_prompt_that_it_was_made_with():
    assert prompt_of(Path("made/a-corgi-in-the-park-interpolated.mp4")) == "a corgi in the park"
    assert prompt_of(Path("made/a_red_star-interpolated-x4.mp4")) == "a red star"


@pytest.mark.parametrize(
    "option",
    [("--move", "1", "1"), ("--zoom", "1.1"), ("--foreground", "mask.mp4"), ("--chunk-size", "4"), ("--t0", "0.5")],
)
def test_options_of_another_method_are_refused(place, option, capsys):
    assert generate(place, "--prompt", "a cat", *option) == 1
    assert f"--lavie with {option[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "wrong"),
    [(generate, "lavie_vsr.pt"), (interpolate, "lavie_base.pt"), (upscale, "lavie_interpolation.pt")],
)
def test_the_wrong_one_of_the_three_is_named(place, command, wrong, capsys):
    prompt = ["--prompt", "a cat"]
    assert command(place, *prompt, lavie=wrong) == 1
    assert f"({wrong})" in capsys.readouterr().err


def test_another_checkpoint_is_no_upscaler(place, capsys):
    assert upscale(place, upscaler="model") == 1
    assert "enlarges 8 times" in capsys.readouterr().err


def test_a_sampler_belongs_to_lavie(place, capsys):
    files = ["--model", f"{place / 'model'}", "--prompt", "a cat", "--sampler", "euler"]
    assert run(place, "generate", *files, *FEW) == 1
    assert "--sampler without --lavie" in capsys.readouterr().err
