"""A tuning that starts from LaVie's interpolation: what it starts with, and that a run remembers it."""

from __future__ import annotations

import copy

import pytest
import torch

from tav_core import start_from
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.errors import CheckpointError, ConfigError, MotionError
from tav_core.models.unet import InflatedUNet
from tav_core.tuning.config import TuneConfig
from tav_core.tuning.start import hash_start
from tav_core.tuning.tune import tune
from tests.tav_core.lavie_models import golden_weights, save_small_lavie, small_lavie
from tests.tav_core.motions import equal


@pytest.fixture
def file(tmp_path):
    return save_small_lavie("interpolation", tmp_path)


@pytest.fixture
def unet():
    """A UNet of the same widths, as tuning finds it."""
    from diffusers import UNet2DConditionModel

    config = {name: v for name, v in small_lavie("interpolation").config.items() if not name.startswith("_")}
    config = {name: v for name, v in config.items() if name != "inflation"} | {"in_channels": 4}
    return InflatedUNet.from_2d(UNet2DConditionModel.from_config(config)).eval()


@pytest.fixture
def told():
    return torch.randn((1, 7, 64), generator=torch.Generator().manual_seed(2))


def test_the_temporal_layers_are_lavies(unet, file):
    spatial = {name: t.clone() for name, t in unet.state_dict().items() if "_temp." not in name}
    start_from(unet, file)
    expected = small_lavie("interpolation").temporal_state()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in unet.temporal_state().items())
    assert all(torch.equal(tensor, unet.state_dict()[name]) for name, tensor in spatial.items())


def test_a_start_from_zero_has_no_hash_and_another_has_its_own(unet, file):
    assert hash_start(unet) is None
    start_from(unet, file)
    first = hash_start(unet)
    assert first is not None and first == hash_start(copy.deepcopy(unet))
    with torch.no_grad():
        next(iter(unet.temporal_state().values())).add_(1)
    assert hash_start(unet) != first


def test_a_run_goes_on_only_from_where_it_began(unet, file, told, schedule, clip_latents, tmp_path):
    plain, started = copy.deepcopy(unet), copy.deepcopy(unet)
    start_from(started, file)

    def run(unet, steps, state):
        config = TuneConfig(num_steps=steps, learning_rate=1e-3, memory="speed")
        return tune(UNetDenoiser(unet=unet, schedule=schedule), clip_latents, told, config=config, state_path=state)

    whole = run(started, 2, tmp_path / "whole.safetensors")
    run(started, 1, tmp_path / "half.safetensors")
    assert equal(run(started, 2, tmp_path / "half.safetensors"), whole)
    with pytest.raises(ConfigError, match="its start is not the one asked for"):
        run(plain, 2, tmp_path / "half.safetensors")
    assert not equal(run(plain, 2, tmp_path / "plain.safetensors"), whole)


def test_another_size_is_refused(sd1, file):
    inflated = InflatedUNet.from_2d(sd1.unet)
    with pytest.raises(MotionError, match="temporal weights"):
        start_from(inflated, file)


def test_another_model_is_refused(unet, tmp_path):
    torch.save(golden_weights("base"), tmp_path / "lavie_base.pt")
    with pytest.raises(CheckpointError, match=r"lavie_interpolation\.pt"):
        start_from(unet, tmp_path / "lavie_base.pt")


def test_lavies_base_is_not_tuned_to_a_motion(told, schedule, clip_latents):
    """A motion does not record where the temporal attention stands."""
    denoiser = UNetDenoiser(unet=small_lavie("base"), schedule=schedule)
    with pytest.raises(ConfigError, match="before_feed_forward"):
        tune(denoiser, clip_latents, told, config=TuneConfig(num_steps=1))
