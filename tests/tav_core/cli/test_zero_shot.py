"""`generate` and `instruct` at the command line, end to end on tiny checkpoints."""

from __future__ import annotations

import json
import re

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.cli.main import main
from tav_core.video.clip import read_clip
from tav_core.video.config import ClipConfig
from tav_core.video.write import write_video
from tests.tav_core.conftest import widen_input

SIZE = ["--width", "64", "--height", "64", "--num-frames", "3", "--num-steps", "3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, small, write_folder):
    """A folder with a tiny checkpoint, one of InstructPix2Pix's kind, and a clip."""
    place = tmp_path_factory.mktemp("zero_shot")
    write_folder(small, place / "model")
    write_folder(widen_input(small), place / "ip2p")
    write_video(place / "clip.mp4", np.random.default_rng(0).random((4, 64, 64, 3), dtype=np.float32), fps=12)
    return place


def generate(place, *more, model="model", out="made"):
    return main(["generate", "--model", f"{place / model}", "--out", f"{place / out}", *SIZE, *more])


def instruct(place, *more, model="ip2p", out="told"):
    files = ["--model", f"{place / model}", "--clip", f"{place / 'clip.mp4'}", "--out", f"{place / out}"]
    return main(["instruct", *files, *SIZE, *more])


def comment_of(path):
    with av.open(str(path)) as video:
        return json.loads(video.metadata["comment"])


def test_each_prompt_gives_a_video_that_says_how_it_was_made(place):
    prompts = ["--prompt", "a cat runs", "--prompt", "a dog, 빨간"]
    assert generate(place, *prompts, "--move", "12", "-4", "--zoom", "1.02", "--seed", "5") == 0
    for name in ("a-cat-runs.mp4", "a-dog-빨간.mp4"):
        video = read_clip(place / "made" / name, ClipConfig(num_frames=3, width=64, height=64))
        assert video.num_frames == 3 and video.fps == 8
    about = comment_of(place / "made" / "a-dog-빨간.mp4")
    expected = {
        "prompt": "a dog, 빨간",
        "seed": 5,
        "move": [12, -4],
        "zoom": 1.02,
        "num_steps": 3,
        "attention": "first",
    }
    assert expected.items() <= about.items()


@pytest.mark.parametrize("make, words", [(generate, ["--prompt", "a"]), (instruct, ["--instruction", "b"])])
def test_a_run_says_how_long_it_will_take(place, capsys, make, words):
    assert make(place, *words, "--num-steps", "10", out="timed") == 0
    assert "time: about a few seconds on this CPU" in capsys.readouterr().err


def test_pictures_say_it_too(place):
    assert generate(place, "--prompt", "a cat", "--format", "png", out="pictures") == 0
    with Image.open(place / "pictures" / "a-cat" / "00002.png") as picture:
        assert json.loads(picture.text["Comment"])["prompt"] == "a cat"


def test_the_camera_decides_and_a_seed_gives_the_same_bytes(place):
    for out, more in (("still", []), ("moved", ["--move", "16", "0"]), ("again", ["--move", "16", "0"])):
        assert generate(place, "--prompt", "a cat", *more, out=out) == 0
    still, moved, again = ((place / out / "a-cat.mp4").read_bytes() for out in ("still", "moved", "again"))
    assert moved == again and moved != still


def test_a_path_and_a_foreground_are_taken(place):
    write_video(place / "mask", torch.ones(3, 64, 64, 3), fps=8)
    more = ["--path", "0,0", "24,0", "24,8", "--foreground", f"{place / 'mask'}"]
    assert generate(place, "--prompt", "a cat", *more, out="path") == 0
    about = comment_of(place / "path" / "a-cat.mp4")
    assert about["path"] == ["0,0", "24,0", "24,8"] and about["foreground"] == "mask"


def test_a_foreground_is_read_as_masks_are(place):
    """Transparent pixels were white, so that nothing was smoothed; and a picture was too short."""
    drawn = np.zeros((64, 64, 4), np.uint8)
    drawn[28:36, 28:36] = 255
    Image.fromarray(drawn).save(place / "cut-out.png")
    Image.fromarray(drawn[..., 3]).save(place / "on-black.png")
    videos = []
    for name in ("cut-out", "on-black", ""):
        more = ["--foreground", f"{place / name}.png", "--smoothing", "0"] if name else []
        assert generate(place, "--prompt", "a cat", "--move", "8", "0", *more, "--format", "png", out=f"by{name}") == 0
        videos.append(read_clip(place / f"by{name}" / "a-cat", num_frames=3, width=64, height=64).frames)
    assert torch.equal(videos[0], videos[1]) and not torch.equal(videos[0], videos[2])


def test_a_path_may_begin_to_the_left(place):
    assert generate(place, "--prompt", "a cat", "--path", "-8,0", "-24,.5", out="left") == 0
    assert comment_of(place / "left" / "a-cat.mp4")["path"] == ["-8,0", "-24,.5"]


def test_a_tuned_model_starts_from_noise(place):
    from tests.tav_core.cli.test_main import SIZE as CLIP_SIZE

    tuned = ["--model", f"{place / 'model'}", "--clip", f"{place / 'clip.mp4'}", "--out", f"{place / 'run'}"]
    assert main(["tune", *tuned, *CLIP_SIZE, "--prompt", "a cat", "--num-steps", "1", "--memory", "speed"]) == 0
    motion = place / "run" / "motion.safetensors"
    assert generate(place, "--prompt", "a dog", "--motion", f"{motion}", "--strength", "0.5", out="tuned") == 0
    about = comment_of(place / "tuned" / "a-dog.mp4")
    assert about["motion"] == "motion.safetensors" and about["strength"] == 0.5 and "attention" not in about
    # At the clip's rate, as the help says; it was 8.
    assert read_clip(place / "tuned" / "a-dog.mp4", num_frames=3, width=64, height=64).fps == 12


def test_each_instruction_gives_a_video_at_the_clips_rate(place):
    told = ["--instruction", "make it snow", "--instruction", "make it night"]
    assert instruct(place, *told, "--image-guidance-scale", "1.5", "--sampler", "ddim") == 0
    video = read_clip(place / "told" / "make-it-night.mp4", ClipConfig(num_frames=3, width=64, height=64))
    assert video.num_frames == 3 and video.fps == 12
    assert comment_of(place / "told" / "make-it-snow.mp4")["image_guidance_scale"] == 1.5


@pytest.mark.parametrize(
    "more, message",
    [
        (["--path", "0,0", "1;2"], r"the point '1;2'"),
        (["--zoom", "0"], "zoom 0"),
        (["--width", "100"], "a multiple of 8"),
        (["--t0", "0.95", "--move", "1", "1"], "t0 below t1"),
        (["--t0", "0.3"], "--t0 without --move, --zoom, --turn or --path"),
        (["--num-steps", "1", "--move", "1", "1"], "2 steps or more"),
        (["--foreground", "nowhere"], "nowhere"),
        (["--foreground", "{place}/clip.mp4"], "4 frames in the mask"),
        (["--foreground", "{place}/wide.png"], "a mask of 64x32"),
        (["--smoothing", "0.1"], "--smoothing without --foreground"),
        (["--strength", "3"], "--strength without --motion"),
        (["--attention", "spatial", "--motion", "m.safetensors"], "--attention with --motion"),
        (["--control-stride", "2"], "--control-stride without --control"),
        (["--fps", "0"], "0 frames per second"),
    ],
)
def test_wrong_options_are_told_in_words(place, capsys, more, message):
    Image.new("L", (64, 32), 255).save(place / "wide.png")
    assert generate(place, "--prompt", "a cat", *(word.format(place=place) for word in more), out="wrong") == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (place / "wrong").exists() or not list((place / "wrong").iterdir())


def test_models_of_the_other_kind_are_refused(place, capsys):
    assert generate(place, "--prompt", "a cat", model="ip2p") == 1
    assert "Use it with the command instruct" in capsys.readouterr().err
    assert instruct(place, "--instruction", "make it snow", model="model") == 1
    assert "an InstructPix2Pix checkpoint" in capsys.readouterr().err
