"""RAFT with weights drawn at random: which files are taken, what is refused, and the sizes that come out."""

from __future__ import annotations

import builtins

import pytest
import torch

from tav_core.errors import CheckpointError, InputError
from tav_core.metrics.raft import load_raft

original_import = builtins.__import__


def test_without_torchvision_it_is_said(monkeypatch, tmp_path):
    def missing(name, *args, **kwargs):
        if name.startswith("torchvision"):
            raise ImportError("No module named 'torchvision'")
        return original_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"no torchvision.*DIS needs neither"):
        load_raft(tmp_path / "raft.pth")


@pytest.fixture
def weights(tmp_path):
    """A file of small RAFT weights."""
    optical_flow = pytest.importorskip("torchvision.models.optical_flow")
    torch.manual_seed(0)
    path = tmp_path / "raft_small.pth"
    torch.save(optical_flow.raft_small(weights=None).state_dict(), path)
    return path


def test_flow_comes_in_the_frames_size(weights):
    flow = load_raft(weights)(torch.rand(3, 96, 160, 3))
    assert flow.forward.shape == flow.backward.shape == (2, 96, 160, 2)
    assert flow.forward.isfinite().all() and flow.forward.dtype == torch.float32


def test_large_frames_are_measured_smaller(weights):
    raft = load_raft(weights)
    assert raft.prepare(torch.rand(1, 720, 1280, 3)).shape == (1, 3, 288, 512)
    assert raft.prepare(torch.rand(1, 64, 130, 3)).shape == (1, 3, 128, 128)


def test_other_weights_are_refused(weights, tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not hold RAFT's weights"):
        load_raft(tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        load_raft(tmp_path / "none.pth")
