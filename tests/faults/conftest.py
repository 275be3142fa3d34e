"""A tiny model, and its own files, written once: a motion, a trajectory and the state of a run."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch

from tav_core.sampling.trajectory import Trajectory
from tav_core.tuning.state import RunState
from tests.faults.fuzz import tiny_run, tiny_unet
from tests.tav_core.conftest import sd1, to_ldm, write_folder  # noqa: F401


@pytest.fixture
def make_run():
    """A tuning run of the tiny model, at its beginning."""
    return tiny_run


@pytest.fixture(scope="session")
def tiny_2d():
    """The tiny model as a 2-D UNet; no test may change it."""
    return tiny_unet().requires_grad_(False)


@pytest.fixture(scope="session")
def templates(tmp_path_factory):
    """The folder that `written` copies."""
    folder = tmp_path_factory.mktemp("templates")
    run = tiny_run()
    run.advance()
    run.motion().save(folder / "motion.safetensors")
    RunState(folder / "state.safetensors", run).save()
    latents = torch.randn((3, 1, 4, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    Trajectory(latents=latents, timesteps=(1, 501), fps=8.0).save(folder / "trajectory.safetensors")
    return folder


@pytest.fixture
def written(tmp_path, templates):
    """A folder with motion.safetensors, trajectory.safetensors and state.safetensors in it, of one step."""
    names = ("motion", "trajectory", "state")
    paths = {name: tmp_path / f"{name}.safetensors" for name in names}
    for path in paths.values():
        shutil.copy(templates / path.name, path)
    return SimpleNamespace(folder=tmp_path, **paths)
