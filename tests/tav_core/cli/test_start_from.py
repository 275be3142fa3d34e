"""tune --start-from: a motion goes on from, or comes back bit for bit after no steps."""

from __future__ import annotations

import numpy as np
import pytest

from tav_core.cli.main import main
from tav_core.tuning.motion import Motion
from tav_core.video.write import write_video


@pytest.fixture
def tune(tmp_path, small, write_folder):
    """Runs `tune` on a small model and clip, with more options."""
    write_folder(small, tmp_path / "model")
    write_video(tmp_path / "clip.mp4", np.random.default_rng(0).random((4, 64, 64, 3), dtype=np.float32), fps=12)

    def run(out, *more):
        files = ["--model", f"{tmp_path / 'model'}", "--clip", f"{tmp_path / 'clip.mp4'}", "--out", f"{tmp_path / out}"]
        size = ["--width", "64", "--height", "64", "--num-frames", "4", "--prompt", "a cat", "--memory", "speed"]
        return main(["tune", *files, *size, *more])

    return run


def test_a_motion_to_start_from(tmp_path, tune, capsys):
    start = ["--start-from", f"{tmp_path / 'one' / 'motion.safetensors'}"]
    assert tune("one", "--num-frames", "4", "--num-steps", "1") == 0
    assert tune("same", "--num-frames", "3", "--num-steps", "0", *start) == 0
    first = (tmp_path / "one" / "motion.safetensors").read_bytes()
    assert (tmp_path / "same" / "motion.safetensors").read_bytes() == first
    assert tune("on", "--num-frames", "3", "--num-steps", "1", *start) == 0
    assert Motion.load(tmp_path / "on" / "motion.safetensors").info.num_frames == 3
    assert tune("on", "--num-frames", "3", "--num-steps", "2") == 1
    assert tune("none", "--num-frames", "3", "--num-steps", "0") == 1
    told = capsys.readouterr().err
    assert "its start is not the one asked for" in told and "num_steps 0 without a motion" in told


def test_a_tuning_goes_on_in_the_modes_of_its_start_unless_options_say_otherwise(tmp_path, tune):
    modes = ["--attention", "full", "--positions", "rotary", "--group-norm", "clip"]
    assert tune("one", "--num-frames", "4", "--num-steps", "1", *modes) == 0
    start = ["--start-from", f"{tmp_path / 'one' / 'motion.safetensors'}", "--num-steps", "1"]
    assert tune("on", *start) == 0
    first, second = (Motion.load(tmp_path / out / "motion.safetensors").info.modes for out in ("one", "on"))
    assert first == second and first["group_norm"] == "clip" and first["attention"] == "full"
    assert tune("other", *start, "--group-norm", "frame") == 0
    assert Motion.load(tmp_path / "other" / "motion.safetensors").info.modes == {**first, "group_norm": "frame"}
    assert tune("plain", "--num-steps", "1") == 0
    assert Motion.load(tmp_path / "plain" / "motion.safetensors").info.modes["group_norm"] == "frame"


def test_what_is_no_motion_is_named_as_what_it_is(tmp_path, tune, capsys):
    assert tune("one", "--num-frames", "4", "--num-steps", "1") == 0
    for start, words in (
        (tmp_path / "one" / "state.safetensors", "Got state.safetensors, a state of a tuning run"),
        (tmp_path / "one", "Got the folder one"),
    ):
        capsys.readouterr()
        assert tune("two", "--start-from", f"{start}") == 1
        told = " ".join(capsys.readouterr().err.split())
        assert words in told and "motion.safetensors" in told
        assert not (tmp_path / "two" / "motion.safetensors").exists()
