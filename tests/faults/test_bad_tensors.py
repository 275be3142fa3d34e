"""Frames and latents that do not fit what they are given to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import ClipError, ConfigError, InputError, LatentsError, OutputError, TavError
from tav_core.evaluation.report import ReportVideo, write_report
from tav_core.models.latents import LatentMoments, decode_latents, encode_frames
from tav_core.models.schedule import NoiseSchedule
from tav_core.sampling.config import EditConfig
from tav_core.sampling.edit import edit
from tav_core.sampling.invert import invert
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.training_run import TuningRun
from tav_core.video.sizes import resize_frames
from tav_core.video.write import write_video
from tests.faults.checks import refused
from tests.faults.fuzz import tiny_run

GOOD = (2, 16, 24, 3)
FRAMES = {
    "nothing": None,
    "a list": [[[[0.0, 0.0, 0.0]]]],
    "a picture": torch.zeros(16, 24, 3),
    "a batch of videos": torch.zeros(1, *GOOD),
    "no frame": torch.zeros(0, 16, 24, 3),
    "no width": torch.zeros(2, 16, 0, 3),
    "channels first": torch.zeros(2, 3, 16, 24),
    "grey": torch.zeros(2, 16, 24, 1),
    "with alpha": torch.zeros(2, 16, 24, 4),
    "whole numbers": torch.zeros(GOOD, dtype=torch.int64),
    "true or false": torch.zeros(GOOD, dtype=torch.bool),
    "complex": torch.zeros(GOOD, dtype=torch.complex64),
    "numpy's texts": np.full(GOOD, "x"),
    "numpy's objects": np.full(GOOD, None),
    "sixteen bits": np.zeros(GOOD, np.uint16),
    "NaN": torch.full(GOOD, float("nan")),
    "infinite": torch.full(GOOD, float("inf")),
}


@pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp", ""])
@pytest.mark.parametrize("frames", FRAMES)
def test_frames_to_be_written(tmp_path, frames, ending):
    (tmp_path / "old.txt").write_text("kept")
    with refused(InputError, "frame", folder=tmp_path):
        write_video(tmp_path / f"clip{ending}", FRAMES[frames], fps=8)


@pytest.mark.parametrize("frames", [f for f in FRAMES if f not in ("grey", "with alpha", "channels first")])
def test_frames_to_be_resized(tmp_path, frames):
    with refused(InputError, "frames", folder=tmp_path):
        resize_frames(FRAMES[frames], 16, 16)


@pytest.mark.parametrize("frames", FRAMES)
def test_frames_of_a_report(tmp_path, frames):
    with refused(InputError, "frame", folder=tmp_path):
        write_report(tmp_path / "a.html", [ReportVideo(label="a", frames=FRAMES[frames])], fps=8)


@pytest.mark.parametrize("frames", FRAMES)
def test_frames_to_be_encoded(tmp_path, sd1, frames):
    with refused(ClipError, "frames", folder=tmp_path):
        # 16 x 24 is right for this VAE: it halves three times.
        encode_frames(sd1.vae, FRAMES[frames])


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e9, "8", None, [8]], ids=repr)
@pytest.mark.parametrize("ending", [".mp4", ".gif", ".webp", ""])
def test_rates(tmp_path, ending, fps):
    with refused(ConfigError, "frames per second", folder=tmp_path):
        write_video(tmp_path / f"clip{ending}", torch.zeros(GOOD), fps=fps)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a\0.mp4", "~nobody-of-this-name/a.mp4", "x" * 300 + ".mp4", None, "file/a.mp4"]
)
def test_names_to_write_to(tmp_path, monkeypatch, name):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    with refused(OutputError, folder=tmp_path):
        write_video(name, torch.zeros(GOOD), fps=8)


@pytest.mark.parametrize("name", ["", "..", "a\0.html", "~nobody-of-this/a.html", "x" * 300 + ".html", "file/a.html"])
def test_names_of_a_report(tmp_path, monkeypatch, name):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    with refused(OutputError, folder=tmp_path):
        write_report(name, [ReportVideo(label="a", frames=torch.zeros(GOOD))], fps=8)


@pytest.mark.parametrize("name", ["", "..", "a\0.x", "x" * 300 + ".safetensors", "file/a.safetensors"])
def test_names_of_a_trajectory(tmp_path, monkeypatch, name):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    trajectory = Trajectory(latents=torch.zeros(2, 1, 4, 1, 8, 8), timesteps=(1,))
    with refused(OutputError, folder=tmp_path):
        trajectory.save(name)


@pytest.fixture(scope="module")
def denoiser():
    """The tiny model; stages leave it as it is."""
    run = tiny_run()
    schedule = NoiseSchedule.from_config({"beta_schedule": "scaled_linear", "steps_offset": 1})
    return UNetDenoiser(unet=run.base, schedule=schedule)


LATENTS = {
    "nothing": None,
    "a list": [[0.0]],
    "an image's": torch.zeros(4, 8, 8),
    "a batch of images'": torch.zeros(2, 4, 8, 8),
    "a trajectory's": torch.zeros(3, 1, 4, 2, 8, 8),
    "no frame": torch.zeros(1, 4, 0, 8, 8),
    "no height": torch.zeros(1, 4, 2, 0, 8),
    "frames first": torch.zeros(1, 2, 4, 8, 8),
    "sixteen channels": torch.zeros(1, 16, 2, 8, 8),
    "whole numbers": torch.zeros(1, 4, 2, 8, 8, dtype=torch.int64),
    "NaN": torch.full((1, 4, 2, 8, 8), float("nan")),
    "infinite": torch.full((1, 4, 2, 8, 8), float("inf")),
}


@pytest.mark.parametrize("latents", LATENTS)
def test_latents_to_be_inverted(tmp_path, denoiser, context, latents):
    with refused(LatentsError, "latents", folder=tmp_path):
        invert(denoiser, LATENTS[latents], context, num_steps=2)


@pytest.mark.parametrize("latents", LATENTS)
def test_latents_to_start_from(tmp_path, denoiser, context, latents):
    with refused(LatentsError, "latents", folder=tmp_path):
        edit(denoiser, LATENTS[latents], context, context, config=EditConfig(num_steps=2))


@pytest.mark.parametrize("latents", LATENTS)
def test_latents_to_be_tuned_on(tmp_path, denoiser, context, latents):
    with refused(LatentsError, "latents", folder=tmp_path):
        TuningRun(denoiser, LATENTS[latents], context, config=TuneConfig(memory="speed"))


@pytest.mark.parametrize("latents", LATENTS)
def test_latents_to_be_decoded(tmp_path, sd1, latents):
    with refused(LatentsError, "latents", folder=tmp_path):
        decode_latents(sd1.vae, LATENTS[latents])


def test_moments_of_two_shapes(tmp_path, denoiser, context):
    moments = LatentMoments(mean=torch.zeros(1, 4, 2, 8, 8), std=torch.zeros(1, 4, 3, 8, 8))
    with refused(LatentsError, "std", folder=tmp_path):
        TuningRun(denoiser, moments, context, config=TuneConfig(memory="speed"))


CONTEXTS = {
    "nothing": None,
    "another family's": torch.zeros(1, 7, 48),
    "one prompt without its axis": torch.zeros(7, 32),
    "no token": torch.zeros(1, 0, 32),
    "NaN": torch.full((1, 7, 32), float("nan")),
}


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("stage", ["invert", "edit", "tune"])
def test_text_that_does_not_fit(tmp_path, denoiser, clip_latents, stage, context):
    text = CONTEXTS[context]
    stages = {
        "invert": lambda: invert(denoiser, clip_latents, text, num_steps=2),
        "edit": lambda: edit(denoiser, clip_latents, text, text, config=EditConfig(num_steps=2)),
        "tune": lambda: TuningRun(denoiser, clip_latents, text, config=TuneConfig(memory="speed")),
    }
    with refused(TavError, "text embeddings", folder=tmp_path):
        stages[stage]()


@pytest.mark.parametrize("frames", [1, 3, 5, 24])
def test_an_inversion_of_another_frame_count(tmp_path, denoiser, context, frames):
    start = Trajectory(latents=torch.zeros(3, 1, 4, 4, 8, 8), timesteps=(1, 501))
    with refused(LatentsError, f"{frames} frames for an inversion of 4", folder=tmp_path):
        edit(denoiser, start, context, context, config=EditConfig(num_steps=2), num_frames=frames)


@pytest.mark.parametrize("steps", [0, -1, 1000, 2.5, float("nan"), "2", None, True], ids=repr)
def test_numbers_of_steps(tmp_path, denoiser, clip_latents, context, steps):
    with refused(ConfigError, "steps", folder=tmp_path):
        invert(denoiser, clip_latents, context, num_steps=steps)
