"""The command line on a tiny Stable Diffusion XL: tune, invert, edit, info."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.torch import save_file

from tav_core.cli.main import main
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.motion import Motion
from tav_core.video.clip import read_clip
from tav_core.video.config import ClipConfig
from tav_core.video.write import write_video
from tests.tav_core.conftest import randomize, widen_input
from tests.tav_core.lavie_models import save_small_lavie
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
    # As in the folder that Stability published.
    (place / "model" / "01.png").touch()
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
    assert main(["reconstruct", *files, *clip, "--methods", "ddim", "fixed_point", "o_belm", "dpmpp_2m"]) == 0
    told = capsys.readouterr().out
    assert all(method in told for method in ("ddim", "fixed_point", "o_belm", "dpmpp_2m"))
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--source", f"{place / 'clip.mp4'}"]
    assert main(["edit", *files, *start, "--frames", "1:2", "--prompt", "a fox", "--out", f"{tmp_path}"]) == 0
    assert (tmp_path / "a-fox.mp4").is_file()


def test_a_clip_is_edited_by_a_mask_and_by_control_nets(place, sdxl, tmp_path):
    from diffusers import ControlNetModel, T2IAdapter

    widths = list(sdxl.unet.config.block_out_channels)
    adapter = T2IAdapter(channels=[*widths, widths[-1]], adapter_type="full_adapter_xl", downscale_factor=16)
    hints = {"conditioning_embedding_out_channels": (4, 8, 8, 8)}
    nets = {"adapter": adapter, "net": ControlNetModel.from_unet(sdxl.unet, **hints)}
    for name, net in nets.items():
        randomize(net, 3).save_pretrained(tmp_path / name)
    write_video(
        tmp_path / "mask.mp4", np.repeat(np.eye(64, dtype=np.float32)[None, ..., None], 4, 0) * [1, 1, 1], fps=12
    )
    files = ["--model", f"{place / 'model'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}"]
    inside = ["--mask", f"{tmp_path / 'mask.mp4'}", "--source", f"{place / 'clip.mp4'}"]
    assert main(["edit", *files, *start, *inside, "--prompt", "a fox", "--out", f"{tmp_path}"]) == 0
    controls = [f"--control={tmp_path / name}" for name in nets]
    led = [*controls, "--control-video", f"{place / 'clip.mp4'}", "--control-scale", "0.5"]
    assert main(["edit", *files, *start, *led, "--prompt", "a led fox", "--out", f"{tmp_path}"]) == 0
    one, other = (
        read_clip(tmp_path / name, ClipConfig(num_frames=3)).frames for name in ("a-fox.mp4", "a-led-fox.mp4")
    )
    assert (one - other).abs().max() > 0.02


def test_a_motion_goes_on_a_dreambooth_model_in_one_file(place, sdxl, to_ldm, tmp_path):
    """Another checkpoint of the family: other weights, and the layout that people share them in."""
    weights = {name: 0.9 * tensor.contiguous() for name, tensor in to_ldm(sdxl).items()}
    save_file(weights, tmp_path / "dreambooth.safetensors")
    files = ["--model", f"{tmp_path / 'dreambooth.safetensors'}", "--motion", f"{place / 'run' / 'motion.safetensors'}"]
    start = ["--trajectory", f"{place / 'trajectory.safetensors'}", "--out", f"{tmp_path}"]
    assert main(["edit", *files, *start, "--prompt", "a sks dog"]) == 0
    assert (tmp_path / "a-sks-dog.mp4").is_file()


def test_a_report_of_a_run(place, tmp_path):
    files = ["--source", f"{place / 'clip.mp4'}", "--video", f"{place / 'clip.mp4'}", "--prompt", "a dog runs"]
    run = ["--motion", f"{place / 'run' / 'motion.safetensors'}", "--state", f"{place / 'run' / 'state.safetensors'}"]
    assert main(["report", *files, *run, "--out", f"{tmp_path / 'report.html'}"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "query_rank" in page and "a dog runs" in page


def test_instructions_need_a_model_made_for_them(place, sdxl, write_folder, tmp_path, capsys):
    write_folder(widen_input(sdxl), tmp_path / "model")
    told = [
        "--clip",
        f"{place / 'clip.mp4'}",
        "--instruction",
        "make it red",
        "--out",
        f"{tmp_path}",
        "--num-steps",
        "2",
    ]
    assert main(["instruct", "--model", f"{tmp_path / 'model'}", *told, *SIZE]) == 0
    assert (tmp_path / "make-it-red.mp4").is_file()
    assert main(["instruct", "--model", f"{place / 'model'}", *told, *SIZE]) == 1
    assert "Expected an InstructPix2Pix checkpoint" in capsys.readouterr().err
    assert main(["generate", "--model", f"{tmp_path / 'model'}", "--prompt", "a cat", "--out", f"{tmp_path}"]) == 1
    assert "Use it with the command instruct" in capsys.readouterr().err


def test_lavies_models_know_no_text_of_xl(place, tmp_path, capsys):
    """They are fine-tuned from 1.4, whose text is narrower and whose latents have another scale."""
    for kind in ("base", "interpolation"):
        save_small_lavie(kind, tmp_path)
    (tmp_path / "clip.txt").write_text("a cat")
    shutil.copy(place / "clip.mp4", tmp_path)
    commands = {
        "generate": ["--lavie", f"{tmp_path / 'lavie_base.pt'}", "--prompt", "a cat", *SIZE],
        "interpolate": ["--lavie", f"{tmp_path / 'lavie_interpolation.pt'}", "--clip", f"{place / 'clip.mp4'}"],
        "train-video": ["--lavie", f"{tmp_path / 'lavie_base.pt'}", "--data", f"{tmp_path}", *SIZE],
    }
    for command, options in commands.items():
        assert main([command, "--model", f"{place / 'model'}", "--out", f"{tmp_path / 'out'}", *options]) == 1
        told = capsys.readouterr().err
        assert "a Stable Diffusion XL checkpoint beside LaVie" in told and "one of Stable Diffusion 1.x" in told


def test_tuning_stops_early_by_previews(place, tmp_path):
    judge = save_clip(make_clip(), tmp_path)
    early = ["--stop-early", "a dog runs", "--clip-model", f"{judge}", "--score-every", "1", "--num-steps", "2"]
    assert tune(place, *early, out="early") == 0
    assert Motion.load(place / "early" / "motion.safetensors").info.steps_done in (1, 2)


def test_video_from_text_needs_no_tuning(place, tmp_path):
    files = ["--model", f"{place / 'model'}", "--prompt", "a cat", "--out", f"{tmp_path}", "--num-steps", "5"]
    assert main(["generate", *files, *SIZE]) == 0
    assert (tmp_path / "a-cat.mp4").is_file()
