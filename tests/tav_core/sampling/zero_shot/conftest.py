"""The original's outputs, and the tiny model that they were made with."""

from __future__ import annotations

import json

import pytest
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.unet import InflatedUNet
from tests.conftest import GOLDENS

FOLDER = GOLDENS.parent / "goldens_zero_shot"


@pytest.fixture(scope="session")
def original():
    """Reads one file of the original's outputs: original("sampling")."""
    return lambda name: load_file(FOLDER / f"{name}.safetensors")


@pytest.fixture(scope="session")
def settings():
    return json.loads((FOLDER / "meta.json").read_text())


@pytest.fixture
def make_denoiser(original, settings):
    """A denoiser whose frames attend to frame 0; weights given replace the original's."""

    def make(**replaced):
        weights = {name: tensor.float() for name, tensor in original("unet_weights").items()} | replaced
        channels = weights["conv_in.weight"].shape[1]
        unet = UNet2DConditionModel(**settings["unet_config"] | {"in_channels": channels})
        unet.load_state_dict(weights)
        inflated = InflatedUNet.from_2d(unet, attention="first", temporal=False).eval().requires_grad_(False)
        return UNetDenoiser(unet=inflated, schedule=NoiseSchedule.from_config(settings["ddim_scheduler_config"]))

    return make


@pytest.fixture
def zero_shot(make_denoiser):
    return make_denoiser()


@pytest.fixture
def prompts(original):
    """The prompt's and the empty prompt's embeddings."""
    tensors = original("unet_io")
    return tensors["ctx.text"], tensors["ctx.uncond"]
