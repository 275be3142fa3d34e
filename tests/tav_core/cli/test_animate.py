"""The command animate, and edits that start from what it wrote, end to end on a tiny checkpoint."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.cli.main import main
from tav_core.video.animate import animate, find_centres
from tav_core.video.clip import read_clip
from tav_core.video.config import AnimateConfig
from tav_core.video.mask import to_mask
from tav_core.video.notes import read_notes, read_settings_in

SIDE, FRAMES = 64, 4
PATH = ["0.3,0.5", "0.6,0.4"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, small, write_folder):
    """A tiny checkpoint, a picture with a square, its mask, and a clip of it."""
    place = tmp_path_factory.mktemp("animate")
    write_folder(small, place / "model")
    (place / "clip").mkdir()
    (place / "masks").mkdir()
    ground = np.linspace(40, 200, SIDE)[None, :, None].repeat(SIDE, 0).repeat(3, 2)
    for number in range(FRAMES):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[24:40, 8 + 6 * number : 24 + 6 * number] = 255
        frame = np.where(mask[..., None] > 0, (250, 20, 20), ground).astype(np.uint8)
        Image.fromarray(frame).save(place / "clip" / f"{number}.png")
        Image.fromarray(mask).save(place / "masks" / f"{number}.png")
    Image.open(place / "clip" / "0.png").save(place / "picture.png")
    Image.open(place / "masks" / "0.png").save(place / "mask.png")
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(place / "black.png")
    return place


def run(place, *more, clip="picture.png", mask="mask.png", out="move/"):
    masked = ["--mask", f"{place / mask}"] if mask else []
    # A folder ends in a slash.
    return main(["animate", "--clip", f"{place / clip}", *masked, *more, "--out", f"{place}/{out}"])


def frames_of(folder, count):
    return read_clip(folder, num_frames=count, width=SIDE, height=SIDE).frames


def test_a_picture_becomes_the_librarys_animation(place):
    assert run(place, "--path", *PATH, "--num-frames", "5", "--out-mask", f"{place}/where/") == 0
    picture, mask = (frames_of(place / name, 1) for name in ("picture.png", "mask.png"))
    made = animate(picture, to_mask(mask), [(0.3, 0.5), (0.6, 0.4)], config=AnimateConfig(num_frames=5))
    assert float((frames_of(place / "move", 5) - made.frames).abs().max()) < 1 / 255
    assert float((frames_of(place / "where", 5)[..., 0] - made.mask).abs().max()) < 1 / 255


def test_a_clips_own_motion_is_scaled(place):
    assert run(place, "--scale", "0.5", "--out-mask", f"{place}/slow_mask/", clip="clip", mask="masks") == 0
    centres = find_centres(to_mask(frames_of(place / "slow_mask", FRAMES)))
    np.testing.assert_allclose(centres[:, 0] - centres[0, 0], 3 * np.arange(FRAMES), atol=0.3)


def test_a_clips_video_says_how_many_frames_it_has(place):
    """It said how many a picture would have got."""
    assert run(place, "--scale", "0.5", "--stride", "2", clip="clip", mask="masks", out="half.mp4") == 0
    assert read_settings_in(read_notes(place / "half.mp4"))["num_frames"] == FRAMES // 2


def test_a_still_of_a_clip_and_the_camera_alone(place):
    assert run(place, "--still", "--zoom", "2", "--num-frames", "3", clip="clip", mask="", out="zoom.mp4") == 0
    with av.open(place / "zoom.mp4") as video:
        assert video.streams.video[0].frames == 3
        notes = json.loads(video.metadata["comment"])
    assert notes["zoom"] == 2.0 and notes["animation of"] == "clip" and notes["num_frames"] == 3


def edit(place, *more, out="edits"):
    how = ["--prompt", "a dog", "--num-steps", "4", "--format", "png", "--out", f"{place / out}"]
    return main(["edit", "--model", f"{place / 'model'}", *how, *more])


@pytest.fixture(scope="module")
def move(place):
    """An animation and its mask."""
    assert run(place, "--path", *PATH, "--num-frames", "3", "--out-mask", f"{place}/m/", out="a/") == 0
    return ["--animation", f"{place / 'a'}"], ["--animation-mask", f"{place / 'm'}"]


def test_an_edit_starts_from_an_animation_with_or_without_its_mask(place, move):
    animation, mask = move
    assert edit(place, *animation, out="inverted") == 0
    animation = [*animation, "--animation-begin", "noised"]
    assert edit(place, *animation) == 0
    assert edit(place, *animation, *mask, out="held") == 0
    assert edit(place, *animation, *mask, "--animation-hold", "0", out="off") == 0
    free, held, off = (frames_of(place / out / "a-dog", 3) for out in ("edits", "held", "off"))
    assert torch.equal(free, off) and not torch.equal(free, held)
    assert not torch.equal(free, frames_of(place / "inverted" / "a-dog", 3))


def test_an_animation_without_a_motion_goes_through_windows(place):
    assert run(place, "--path", *PATH, "--num-frames", "6", out="long/") == 0
    start = ["--animation", f"{place / 'long'}", "--animation-begin", "noised"]
    assert edit(place, *start, out="whole") == 0
    assert edit(place, *start, "--context-length", "3", "--context-overlap", "1", out="windows") == 0
    whole, windows = (frames_of(place / out / "a-dog", 6) for out in ("whole", "windows"))
    assert not torch.equal(whole, windows)


def test_the_controls_of_an_animation_begin_with_it(place, move, monkeypatch):
    """However the clip of the motion was read."""
    read = []
    monkeypatch.setattr("tav_core.cli.controls.load_control", lambda *args, **how: None)
    monkeypatch.setattr("tav_core.cli.controls.Control", lambda **about: None)
    monkeypatch.setattr("tav_core.cli.controls.add_controls", lambda denoiser, controls: denoiser)

    def watch(path, config):
        read.append((config.start, config.stride, config.num_frames))
        return read_clip(path, config)

    monkeypatch.setattr("tav_core.cli.controls.read_clip", watch)
    clip = ["--clip", f"{place / 'clip'}", "--start", "1", "--num-frames", "3"]
    tuned = ["--width", f"{SIDE}", "--height", f"{SIDE}", "--prompt", "a square", "--num-steps", "1"]
    assert main(["tune", "--model", f"{place / 'model'}", *clip, *tuned, "--out", f"{place / 'late'}"]) == 0
    motion = ["--motion", f"{place / 'late' / 'motion.safetensors'}"]
    control = ["--control", f"{place / 'model'}", "--control-video", f"{place / 'a'}"]
    assert edit(place, *move[0], *motion, *control, out="led") == 0
    assert read == [(0, 1, 3)]


def test_a_folder_for_an_animation_may_have_a_dot_in_its_name(place):
    assert run(place, "--path", *PATH, "--num-frames", "2", out="move.v2/") == 0
    assert len(list((place / "move.v2").glob("*.png"))) == 2


@pytest.mark.parametrize("begin", ["inverted", "noised"])
def test_an_edit_of_an_animation_says_how_long_it_will_take(place, move, capsys, begin):
    assert edit(place, *move[0], "--animation-begin", begin, "--num-steps", "20", out="timed") == 0
    assert "time: about a few seconds on this CPU" in capsys.readouterr().err


def test_a_motion_may_be_on_the_model(place, move):
    clip = ["--clip", f"{place / 'a'}", "--num-frames", "3", "--width", f"{SIDE}", "--height", f"{SIDE}"]
    tuned = ["--prompt", "a square", "--num-steps", "1", "--memory", "speed", "--out", f"{place / 'run'}"]
    assert main(["tune", "--model", f"{place / 'model'}", *clip, *tuned]) == 0
    motion = ["--motion", f"{place / 'run' / 'motion.safetensors'}"]
    assert edit(place, *move[0], *motion, "--negative-source", "--metadata", out="tuned") == 0
    about = read_settings_in(read_notes(place / "tuned" / "a-dog"))
    expected = {"animation": "a", "motion": "motion.safetensors", "negative": "a square", "temporal_strength": 1.0}
    assert expected.items() <= about.items()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--path", "0.3,0.5"], "a path of one point"),
        (["--path", "20,30", "40,30"], "Divide pixels by the width"),
        (["--path", "left", "right"], "fractions of the frame"),
        ([], "nothing that moves"),
        (["--own-scale", "0.5"], "own_scale 0.5 for a picture"),
        (["--path", *PATH, "--num-frames", "1"], "num_frames 1"),
        (["--path", *PATH, "--num-frames", "0"], "num_frames 0"),
        (["--path", *PATH, "--fps", "0"], "0 frames per second"),
        (["--path", *PATH, "--zoom", "0"], "zoom 0"),
    ],
)
def test_what_cannot_move_is_refused(place, capsys, more, told):
    assert run(place, *more) == 1
    assert told in capsys.readouterr().err


def test_a_path_may_begin_left_of_the_frame(place):
    assert run(place, "--path", "-0.2,0.5", "-.1,0.5", "--begin", "path", "--num-frames", "3", out="enters/") == 0
    masked = frames_of(place / "mask.png", 1), frames_of(place / "picture.png", 1)
    expected = animate(
        masked[1], to_mask(masked[0]), [(-0.2, 0.5), (-0.1, 0.5)], config=AnimateConfig(num_frames=3, begin="path")
    )
    assert float((frames_of(place / "enters", 3) - expected.frames).abs().max()) < 1 / 255


def test_one_mask_does_not_say_how_a_clip_moves(place, capsys):
    assert run(place, "--scale", "0.5", clip="clip") == 1
    assert "Expected a mask per frame" in capsys.readouterr().err


def test_a_picture_is_no_animation(place, capsys):
    assert edit(place, "--animation", f"{place / 'picture.png'}") == 1
    assert "an animation of one frame" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [
        ("--out-mask", "none/", "--mask"),
        ("--scale", "2", "--mask"),
        ("--margin", "5", "--mask"),
        ("--feather", "2", "--mask"),
        ("--follows", None, "--mask"),
        ("--begin", "path", "--path"),
    ],
)
def test_a_camera_alone_takes_no_option_of_an_object(place, capsys, option, value, needed):
    given = [option, *([value] if value else [])]
    assert run(place, "--pan-x", "0.2", *given, mask="") == 1
    assert f"{option} without {needed}." in capsys.readouterr().err
    assert not (place / "none").exists()


def test_masks_that_are_empty_or_missing_are_refused(place, capsys):
    assert run(place, "--path", *PATH, mask="black.png") == 1
    assert "an empty mask" in capsys.readouterr().err
    assert run(place, "--path", *PATH, mask="") == 1
    assert "a path without a mask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--trajectory", "way.safetensors"], "--trajectory with --animation"),
        (["--free-noise"], "--free-noise with --animation"),
        (["--speed", "2"], "--speed with --animation"),
        (["--inject"], "--inject with --animation"),
        (["--preset", "style"], "--inject of --preset style with --animation"),
        (["--negative-source"], "--negative-source without --motion"),
        (["--animation-strength", "0"], "strength 0"),
        (["--animation-mask", "m"], "Leave the mask out, or add --animation-begin noised"),
    ],
)
def test_an_edit_has_one_start(place, move, capsys, more, told):
    assert edit(place, *move[0], *more) == 1
    assert told in capsys.readouterr().err


def test_a_mask_of_an_animation_needs_its_animation(place, capsys):
    assert edit(place, "--motion", "m.safetensors", "--animation-mask", "m") == 1
    assert "--animation-mask without --animation" in capsys.readouterr().err


def test_the_motion_of_an_inversion_is_slowed_down(place, capsys):
    model = ["--model", f"{place / 'model'}"]
    clip = ["--clip", f"{place / 'clip'}", "--num-frames", f"{FRAMES}", "--width", f"{SIDE}", "--height", f"{SIDE}"]
    tuned = ["--prompt", "a square", "--num-steps", "1", "--memory", "speed", "--out", f"{place / 'slow'}"]
    assert main(["tune", *model, *clip, *tuned]) == 0
    motion = ["--motion", f"{place / 'slow' / 'motion.safetensors'}"]
    way = f"{place / 'way.safetensors'}"
    assert main(["invert", *model, *motion, *clip, "--num-steps", "4", "--out", way]) == 0
    assert edit(place, *motion, "--trajectory", way, "--speed", "0.5", out="slower") == 0
    assert len(list((place / "slower" / "a-dog").iterdir())) == 2 * FRAMES - 1
    capsys.readouterr()
    for more, told in {
        (): "--speed without --trajectory",
        ("--trajectory", way, "--frames", "1:2"): "--mask or --frames with --speed",
    }.items():
        assert edit(place, *motion, *more, "--speed", "0.5") == 1
        assert told in capsys.readouterr().err


def test_an_edit_without_a_motion_names_both_ways_out(place, capsys):
    assert edit(place) == 1
    said = capsys.readouterr().err
    assert "edit without --motion" in said and "--animation" in said
