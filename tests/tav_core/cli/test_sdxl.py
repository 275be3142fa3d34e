"""The command line on a tiny Stable Diffusion XL: tune, invert, edit, info."""

from __future__ import annotations

import numpy as np
import pytest

from tav_core.cli.main import main
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.motion import Motion
from tav_core.video.clip import read_clip
from tav_core.video.config import ClipConfig
from tav_core.video.write import write_video
from tests.tav_core.metrics.tiny_judges import make_clip, save_clip

SIZE = ["--num-frames", "3", "--width", "64", "--height", "64"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, sdxl, write_folder):
    """A folder with a tiny checkpoint, a clip, and a motion and a trajectory made from them."""
    place = tmp_path_factory.mktemp("xl")
    write_folder(sdxl, place / "model")
    clip = np.random.default_rng(0).random((4, 48, 64, 3), dtype=np.float32)
    write_video(place / "clip.mp4", clip, fps=12)
    assert tune(place) == 0
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    out = ["--clip", f"{place / 'clip.mp4'}", "--out", f"{place / 'trajectory.safetensors'}"]
    assert main(["invert", *files, *out, "--num-steps", "2"]) == 0
    return place


def tune(place, *more, out="run"):
    files = ["--model", f"{place / 'model'}", "--clip", f"{place / 'clip.mp4'}", "--out", f"{place / out}"]
    told = ["--prompt", "a cat runs", "--num-steps", "2", "--memory", "speed"]
    return main(["tune", *files, *SIZE, *told, *more])


def test_a_clip_is_tuned_inverted_and_edited(place):
    assert Trajectory.load(place / "trajectory.safetensors").latents.shape == (3, 1, 4, 3, 8, 8)
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--out", f"{place / 'edits'}"]
    assert main(["edit", *files, *start, "--prompt", "a dog runs", "--prompt", "a red cat"]) == 0
    for name in ("a-dog-runs.mp4", "a-red-cat.mp4"):
        assert read_clip(place / "edits" / name, ClipConfig(num_frames=3, width=64, height=64)).frames.shape == (
            3,
            64,
            64,
            3,
        )


def test_the_motion_records_the_size_that_the_model_was_told(place):
    assert Motion.load(place / "run" / "motion.safetensors").info.size_ids == [64, 64, 0, 0, 64, 64]
    assert tune(place, "--told-size", "1024", out="large") == 0
    info = Motion.load(place / "large" / "motion.safetensors").info
    assert info.size_ids == [1024, 1024, 0, 0, 1024, 1024]


def test_what_a_checkpoint_is(place, capsys):
    assert main(["info", f"{place / 'model'}"]) == 0
    told = capsys.readouterr().out
    assert "checkpoint, sdxl-32-64-128-text128" in told and "[1, 2, 3]" in told


def test_what_needs_no_trajectory_or_no_tuning_works_too(place, tmp_path):
    files = ["--model", f"{place / 'model'}", "--out", f"{tmp_path}", "--num-steps", "2", "--prompt", "a dog"]
    motion = ["--motion", f"{place / 'run' / 'motion.safetensors'}"]
    windows = ["--num-frames", "5", "--context-length", "3", "--context-overlap", "1"]
    assert main(["edit", *files, *motion, *windows, "--free-noise"]) == 0
    injected = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--inject"]
    assert main(["edit", *files[:-1], "a cat", *motion, *injected]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cat.mp4", "a-dog.mp4"]


def test_half_the_bytes_for_the_weights(place, capsys):
    assert tune(place, "--dtype", "bf16", out="half") == 0
    motion = Motion.load(place / "half" / "motion.safetensors")
    assert motion.info.config["query_rank"] == 32 and motion.info.format_version == 2


def test_the_other_commands_know_it_too(place, tmp_path, capsys):
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    clip = ["--clip", f"{place / 'clip.mp4'}", "--num-steps", "2"]
    assert main(["reconstruct", *files, *clip, "--methods", "ddim", "o_belm"]) == 0
    assert "o_belm" in capsys.readouterr().out
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--source", f"{place / 'clip.mp4'}"]
    assert main(["edit", *files, *start, "--frames", "1:2", "--prompt", "a fox", "--out", f"{tmp_path}"]) == 0
    assert (tmp_path / "a-fox.mp4").is_file()


def test_tuning_stops_early_by_previews(place, tmp_path):
    judge = save_clip(make_clip(), tmp_path)
    early = ["--stop-early", "a dog runs", "--clip-model", f"{judge}", "--score-every", "1", "--num-steps", "2"]
    assert tune(place, *early, out="early") == 0
    assert Motion.load(place / "early" / "motion.safetensors").info.steps_done in (1, 2)


def test_video_from_text_needs_no_tuning(place, tmp_path):
    files = ["--model", f"{place / 'model'}", "--prompt", "a cat", "--out", f"{tmp_path}", "--num-steps", "5"]
    assert main(["generate", *files, *SIZE]) == 0
    assert (tmp_path / "a-cat.mp4").is_file()
