"""tav_core/settings.py: numbers of numpy, as sweeps and tables give them, are as good as Python's."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from tav_core.errors import ConfigError
from tav_core.sampling.config import EditConfig
from tav_core.sampling.free_noise import free_noise
from tav_core.sampling.invert import invert
from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.config import TuneConfig


def test_settings_hold_pythons_numbers():
    given = TuneConfig(
        num_steps=np.int64(3), learning_rate=np.float32(0.5), betas=(np.float32(0.5), 0.999), seed=np.uint8(7)
    )
    assert given == TuneConfig(num_steps=3, learning_rate=0.5, betas=(0.5, 0.999), seed=7)
    assert json.dumps(asdict(given)) == json.dumps(
        asdict(TuneConfig(num_steps=3, learning_rate=0.5, betas=(0.5, 0.999), seed=7))
    )
    torch.Generator().manual_seed(EditConfig(seed=np.int64(3)).seed)


@pytest.mark.parametrize("wrong", [np.float64(2.5), np.bool_(True), np.array([1, 2]), np.float32("nan")])
def test_other_values_are_refused_as_ever(wrong):
    with pytest.raises(ConfigError, match="num_steps"):
        TuneConfig(num_steps=wrong)


def test_an_inversion_of_numpys_numbers_can_be_saved(denoiser, clip_latents, context, tmp_path):
    found = invert(denoiser, clip_latents, context, num_steps=np.int64(2), fps=np.float32(8))
    kept = Trajectory.load(found.save(tmp_path / "trajectory.safetensors"))
    assert (kept.timesteps, kept.fps) == (denoiser.schedule.timesteps(2), 8.0)


def test_free_noise_takes_numpys_seed():
    assert torch.equal(free_noise((1, 4, 3, 2, 2), np.int64(5)), free_noise((1, 4, 3, 2, 2), 5))
