"""`python run.py cascade` with the bundled weights, one step of each model."""

from __future__ import annotations

import numpy as np
import pytest

from demo import show_cascade
from demo.lavie.cascade import Cascade
from demo.lavie.moving_scenes import frame_times, random_moving_scene
from demo.show_cascade import PROMPT, describe, main, show, some_of
from demo.study.pictures import enlarge
from tav_core.cli.whole_clip import read_whole
from tav_core.errors import CheckpointError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What one step of each model makes, and the folder."""
    out = tmp_path_factory.mktemp("cascade")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(show_cascade, "LARGE_STEPS", 1)
        return show(Cascade(steps=1), PROMPT, out, num_large=1), out


def test_each_stage_makes_its_frames(made):
    frames, _ = made
    assert {name: each.shape for name, each in frames.items()} == {
        "base": (16, 96, 96, 3),
        "interpolated": (61, 96, 96, 3),
        "upscaled": (1, 384, 384, 3),
    }
    assert all(np.isfinite(each).all() for each in frames.values())


def test_it_leaves_videos_and_a_picture(made):
    _, out = made
    assert {path.name for path in out.iterdir()} == {
        "base.mp4",
        "interpolated.mp4",
        "upscaled.mp4",
        "contact_sheet.png",
    }
    for name, num_frames, fps in (("base", 16, 8), ("interpolated", 61, 32), ("upscaled", 1, 32)):
        video = read_whole(out / f"{name}.mp4", exact=True)
        assert (video.frames.shape, video.fps) == ((num_frames, 384, 384, 3), fps)


def test_what_is_made_is_kept_if_a_later_stage_fails(tmp_path, monkeypatch, capsys):
    def fail(*args, **how):
        raise CheckpointError(got="a broken file", expected="a whole one", mend="Copy it again.")

    monkeypatch.setattr(show_cascade, "Cascade", lambda **how: Cascade(steps=1, **how))
    monkeypatch.setattr(Cascade, "interpolate", fail)
    assert main(["--out", f"{tmp_path}"]) == 1
    assert "a broken file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["base.mp4"]


def test_the_command_runs_and_says_what_it_saw(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(show_cascade, "Cascade", lambda **how: Cascade(steps=1, **how))
    monkeypatch.setattr(Cascade, "upscale", lambda self, frames, prompt, **how: enlarge(frames, 4))
    assert main(["--large", "2", "--out", f"{tmp_path}", "--prompt", "a green circle on a white background"]) == 0
    told = capsys.readouterr().out
    assert "2 frames, large" in told and "the oracle sees: " in told
    assert read_whole(tmp_path / "upscaled.mp4").num_frames == 2


@pytest.mark.parametrize("number", ["0", "-1", "62", "some"])
def test_a_number_that_there_is_not_is_refused_before_anything_runs(capsys, number):
    with pytest.raises(SystemExit):
        main(["--large", number])
    assert "--large" in capsys.readouterr().err


def test_it_says_what_the_oracle_sees():
    moving = random_moving_scene(np.random.default_rng(0), ("star", "red", "blue"), way="up", style="plain")
    assert describe(moving.frames(frame_times(8))) == "red star on blue, way: up"


def test_a_sheet_shows_frames_from_the_first_to_the_last():
    assert some_of(np.arange(61.0))[[0, -1]].tolist() == [0, 60]
