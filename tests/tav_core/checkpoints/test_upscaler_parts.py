"""tav_core/checkpoints/upscaler_parts.py: the x4 upscaler as a folder and as one file."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from tav_core.checkpoints.upscaler_parts import load_upscaler_parts
from tav_core.errors import CheckpointError
from tav_core.models.latents import decode_latents
from tav_core.models.text import encode_prompt
from tests.tav_core.conftest import randomize


@pytest.fixture(scope="module")
def upscaler(sd2):
    """The parts of a tiny x4 upscaler: a VAE of three levels, OpenCLIP, and a UNet that nothing reads."""
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 64),
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=0.08333,
    )
    return SimpleNamespace(**{**vars(sd2), "vae": randomize(vae, 7)})


@pytest.fixture
def folder(upscaler, write_folder, tmp_path):
    return write_folder(upscaler, tmp_path / "stable-diffusion-x4-upscaler")


@pytest.fixture
def file(upscaler, to_ldm, tmp_path):
    save_file(to_ldm(upscaler), tmp_path / "x4-upscaler-ema.safetensors")
    return tmp_path / "x4-upscaler-ema.safetensors"


@torch.no_grad()
def test_latents_become_frames_four_times_as_large(folder, upscaler, close):
    parts, latents = load_upscaler_parts(folder), torch.randn(1, 4, 2, 5, 6)
    frames = decode_latents(parts.vae, latents)
    assert frames.shape == (1, 2, 20, 24, 3)
    expected = (upscaler.vae.decode(latents[:, :, 0] / 0.08333).sample / 2 + 0.5).clamp(0, 1)
    close(frames[0, 0].permute(2, 0, 1)[None], expected, 1e-5)


@torch.no_grad()
def test_a_file_holds_the_same_parts_as_a_folder(file, folder, upscaler):
    for parts in (load_upscaler_parts(file), load_upscaler_parts(folder)):
        assert parts.vae.config.scaling_factor == 0.08333
        for name in ("vae", "text_encoder"):
            expected = getattr(upscaler, name).state_dict()
            own = getattr(parts, name).state_dict()
            assert all(torch.equal(own[key], tensor) for key, tensor in expected.items() if key in own), name
        assert encode_prompt(parts, "a cat").text.shape == (1, 77, 64)


def test_half_precision_leaves_the_vae_alone(file, folder):
    """Its decoder overflows in float16, and videos came out black (Stability-AI/stablediffusion#301)."""
    for path in (file, folder):
        parts = load_upscaler_parts(path, dtype=torch.float16)
        assert (parts.vae.dtype, parts.text_encoder.dtype) == (torch.float32, torch.float16)


def test_the_folders_own_noise_is_read(folder):
    assert load_upscaler_parts(folder).low_res_schedule.alphas[50] == pytest.approx(0.990844, abs=1e-6)
    (folder / "low_res_scheduler").mkdir()
    config = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02, "num_train_timesteps": 1000}
    (folder / "low_res_scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    alpha = load_upscaler_parts(folder).low_res_schedule.alphas[50]
    assert alpha == pytest.approx(torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)[50].item(), abs=1e-6)


def test_a_folder_without_a_part_is_refused(folder):
    (folder / "vae" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="without vae"):
        load_upscaler_parts(folder)


def test_another_model_is_refused(sd1, write_folder, to_ldm, tmp_path):
    with pytest.raises(CheckpointError, match="enlarges 8 times"):
        load_upscaler_parts(write_folder(sd1, tmp_path / "sd1"))
    save_file({"a.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="without first_stage_model"):
        load_upscaler_parts(tmp_path / "other.safetensors")
    save_file(to_ldm(sd1), tmp_path / "sd1.safetensors")
    with pytest.raises(CheckpointError, match="x4 upscaler"):
        load_upscaler_parts(tmp_path / "sd1.safetensors")


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such"):
        load_upscaler_parts(tmp_path / "none")
