"""tune --start-from: a motion goes on from, or comes back bit for bit after no steps."""

from __future__ import annotations

import numpy as np

from tav_core.cli.main import main
from tav_core.tuning.motion import Motion
from tav_core.video.write import write_video


def test_a_motion_to_start_from(tmp_path, small, write_folder, capsys):
    write_folder(small, tmp_path / "model")
    write_video(tmp_path / "clip.mp4", np.random.default_rng(0).random((4, 64, 64, 3), dtype=np.float32), fps=12)

    def tune(out, *more):
        files = ["--model", f"{tmp_path / 'model'}", "--clip", f"{tmp_path / 'clip.mp4'}", "--out", f"{tmp_path / out}"]
        size = ["--width", "64", "--height", "64", "--prompt", "a cat", "--memory", "speed"]
        return main(["tune", *files, *size, *more])

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
