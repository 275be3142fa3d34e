"""Shared fixtures: the original implementation's outputs, and the tiny model they were made with."""

from __future__ import annotations

import json
import signal
import socket
import threading
from pathlib import Path

import pytest
import torch

GOLDENS = Path(__file__).parent / "data" / "goldens"


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest absolute difference over the largest expected value, over whole tensors."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _usual_ctrl_c():
    """A shell lets what it starts in the background ignore Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def offline(monkeypatch):
    """Fails a test that asks for anything from the network, even where the asking is swallowed."""
    from huggingface_hub import constants

    asked = []

    def refuse(*args, **kwargs):
        asked.append(args)
        raise OSError("the network was asked")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert not asked


@pytest.fixture(scope="session")
def close():
    """Asserts that two tensors differ by at most `tolerance`, relative to the largest expected value."""

    def check(got, expected, tolerance, what=""):
        error = relative_error(got, expected)
        assert error <= tolerance, f"{what}: {error:.2e} > {tolerance:.0e}"

    return check


@pytest.fixture(scope="session")
def goldens():
    """Reads one file of the original's outputs: goldens("unet")."""
    from safetensors.torch import load_file

    return lambda name: load_file(GOLDENS / f"{name}.safetensors")


@pytest.fixture(scope="session")
def meta():
    """Settings of the goldens."""
    return json.loads((GOLDENS / "meta.json").read_text())


@pytest.fixture
def unet_2d(goldens, meta):
    """The goldens' tiny 2-D UNet."""
    from diffusers import UNet2DConditionModel

    config = {
        name: [block.replace("3D", "2D") for block in value] if name.endswith("block_types") else value
        for name, value in meta["unet_config_reference_names"].items()
    }
    unet = UNet2DConditionModel.from_config(config)
    unet.load_state_dict(goldens("unet_2d"))
    return unet.eval().requires_grad_(False)


@pytest.fixture
def inflated(unet_2d, goldens):
    """The goldens' tiny video UNet, in the original's modes."""
    from tav_core.models.unet import InflatedUNet

    unet = InflatedUNet.from_2d(unet_2d, group_norm="clip")
    unet.load_temporal(goldens("attn_temp"))
    return unet


@pytest.fixture
def schedule(meta):
    from tav_core.models.schedule import NoiseSchedule

    return NoiseSchedule.from_config(meta["scheduler_config"])


@pytest.fixture
def denoiser(inflated, schedule):
    from tav_core.denoisers.denoiser import UNetDenoiser

    return UNetDenoiser(unet=inflated, schedule=schedule)


@pytest.fixture
def untuned(unet_2d, schedule):
    """A denoiser as the original's tuning finds it: temporal blocks that add nothing yet."""
    from tav_core.denoisers.denoiser import UNetDenoiser
    from tav_core.models.unet import InflatedUNet

    return UNetDenoiser(unet=InflatedUNet.from_2d(unet_2d, group_norm="clip"), schedule=schedule)


@pytest.fixture
def clip_latents():
    return torch.randn((1, 4, 4, 8, 8), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def context():
    return torch.randn((1, 7, 32), generator=torch.Generator().manual_seed(2))
