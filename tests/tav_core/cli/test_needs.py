"""Options of `edit` that would do nothing where they stand, end to end up to where a model would be read."""

from __future__ import annotations

import pytest
import torch

from tav_core.cli.inputs import load_windows
from tav_core.cli.main import find_given, main, parse
from tav_core.cli.needs import NEEDS
from tav_core.cli.options.commands import build_parser
from tav_core.sampling.trajectory import Trajectory

EDIT = ["edit", "--model", "model", "--prompt", "x", "--out", "out"]
WAY = ["--motion", "motion.safetensors", "--trajectory", "way.safetensors"]
ANIMATION = ["--animation", "clip.mp4"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a trajectory of 64x32 pixels."""
    Trajectory(latents=torch.zeros(3, 1, 4, 2, 4, 8), timesteps=(1, 501)).save(tmp_path / "way.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("more", "overlap"), [((), 1), (("--context-overlap", "2"), 2)])
def test_a_short_window_has_a_short_overlap_unless_one_is_asked_for(more, overlap):
    assert load_windows(parse([*EDIT, "--context-length", "4", *more])).overlap == overlap


def test_a_longer_window_keeps_the_default_overlap():
    assert load_windows(parse([*EDIT, "--context-length", "5"])).overlap == 4


def told(capsys, *words):
    assert main([*EDIT, *words]) == 1
    message = capsys.readouterr().err
    assert "error: Got " in message and " Expected " in message
    return message


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        (("--ramp", "3"), "--frames"),
        (("--ramp", "3", "--mask", "m.png"), "--frames"),
        (("--feather", "9"), "--mask"),
        (("--feather", "9", "--frames", "1:2"), "--mask"),
        (("--blend-weight", "0.3"), "--blend"),
        (("--start", "2"), "--source, --animation or --control"),
        (("--stride", "2"), "--source, --animation or --control"),
        (("--fit", "pad"), "--source, --animation or --control"),
        (("--context-overlap", "2"), "--context-length"),
        (("--animation-strength", "0.3"), "--animation"),
        (("--animation-begin", "noised"), "--animation"),
        (("--animation-hold", "0.3"), "--animation-mask"),
        (("--inject-prompt", "a cat"), "--inject"),
        (("--control-stride", "2"), "--control"),
        # A preset asks for the injection that was turned off.
        (("--preset", "style", "--no-inject", "--inject-attention", "0.2"), "--inject"),
    ],
)
def test_an_option_without_what_it_needs(place, capsys, given, needed):
    message = told(capsys, *WAY, *given)
    option = given[-2] if given[0] == "--preset" else given[0]
    assert f"Got {option} without {needed}." in message
    assert f"Add {needed}, or leave {option} out." in message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--strength", "0.5"), "--strength without --motion"),
        (("--temporal-strength", "0.5"), "--temporal-strength without --motion"),
        (("--animation-strength", "0.3"), "--animation-strength with an animation that is inverted"),
        (("--animation-begin", "noised", "--animation-hold", "0.3"), "--animation-hold without --animation-mask"),
        (("--feather", "9"), "--feather without --mask"),
        (("--inject-attention", "0.2"), "--inject-attention without --inject"),
        (("--flow-levels", "2"), "--flow-levels without --flow-guided"),
    ],
)
def test_an_option_that_an_animation_does_not_take(place, capsys, given, said):
    assert f"Got {said}." in told(capsys, *ANIMATION, *given)


@pytest.mark.parametrize(
    "given",
    [
        (*WAY, "--feather", "9", "--mask", "m.png"),
        (*WAY, "--stride", "2", "--source", "clip.mp4", "--frames", "1:2", "--ramp", "0"),
        (*WAY, "--start", "2", "--control", "net", "--control-video", "clip.mp4"),
        (*WAY, "--preset", "style", "--inject-attention", "0.2"),
        (*ANIMATION, "--start", "2", "--width", "64"),
        (*ANIMATION, "--animation-begin", "noised", "--animation-strength", "0.3"),
        (*ANIMATION, "--motion", "motion.safetensors", "--strength", "0.5"),
    ],
)
def test_what_goes_together_comes_to_the_files(place, capsys, given):
    assert "no such file" in (message := told(capsys, *given)) or "does not exist" in message


@pytest.mark.parametrize(("side", "other", "inverted"), [("width", 128, 64), ("height", 64, 32)])
def test_another_size_than_the_inversions(place, capsys, monkeypatch, side, other, inverted):
    monkeypatch.setattr("tav_core.cli.commands.Motion.load", lambda path: None)
    message = told(capsys, *WAY, f"--{side}", f"{other}")
    assert f"a {side} of {other} for an inversion of {inverted}" in message
    assert f"invert the clip again with --{side} {other}" in message
    assert "for an inversion" not in told(capsys, *WAY, f"--{side}", f"{inverted}")


def test_what_was_given_is_neither_a_default_nor_a_presets():
    assert find_given([*EDIT, "--preset", "style", "--feat", "8"]) == {
        "command", "model", "prompt", "out", "preset", "feather",
    }  # fmt: skip
    assert find_given(["batch", "--status", "out"]) == {"command", "status"}


def test_every_option_in_the_table_is_one_of_edit():
    known = vars(build_parser().parse_args(EDIT))
    assert known.keys() >= {*NEEDS, *(name for need in NEEDS.values() for name in need.options)}
