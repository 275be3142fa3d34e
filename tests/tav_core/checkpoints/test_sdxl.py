"""Stable Diffusion XL in both layouts: two text encoders, the VAE's factor, and what of its kin is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.ldm_configs import projected_text_config, unet_config
from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import CheckpointError
from tests.tav_core.conftest import open_clip_to_ldm, unet_to_ldm

pytestmark = pytest.mark.usefixtures("offline")
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
UNET = "model.diffusion_model."
MARK = torch.ones(1)
# unet/config.json of stable-diffusion-xl-base-1.0.
OFFICIAL = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "upcast_attention": False,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": [1, 2, 10],
}


def save(tensors, path):
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(params=["folder", "file"])
def path(request, sdxl, write_folder, to_ldm, tmp_path):
    if request.param == "folder":
        return write_folder(sdxl, tmp_path / "model")
    return save(to_ldm(sdxl), tmp_path / "model.safetensors")


@pytest.fixture
def folder(sdxl, write_folder, tmp_path):
    return write_folder(sdxl, tmp_path / "model")


def test_both_layouts_give_the_weights_that_went_in_bit_for_bit(path, sdxl):
    checkpoint = load_checkpoint(path)
    for part in PARTS:
        got, expected = getattr(checkpoint, part).state_dict(), getattr(sdxl, part).state_dict()
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[name], tensor) for name, tensor in expected.items()), part
        assert not any(parameter.requires_grad for parameter in getattr(checkpoint, part).parameters())
    assert checkpoint.architecture == "sdxl-32-64-128-text128"
    assert checkpoint.vae.config.scaling_factor == 0.13025 and checkpoint.vae.config.force_upcast
    assert (checkpoint.tokenizer.pad_token_id, checkpoint.tokenizer_2.pad_token_id) == (49407, 0)
    assert checkpoint.schedule.timesteps(50)[:2] == (1, 21)


def test_the_single_file_comes_back_from_what_was_read(sdxl, to_ldm, tmp_path):
    written = to_ldm(sdxl)
    back = to_ldm(load_checkpoint_parts(save(written, tmp_path / "model.safetensors")))
    # OpenCLIP's logit scale is of its training alone.
    assert back.keys() == written.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in written.items())


def load_checkpoint_parts(path):
    checkpoint = load_checkpoint(path)
    checkpoint.__dict__["open_clip"] = False
    return checkpoint


@torch.no_grad()
def test_a_read_unet_computes_what_the_original_computes(path, sdxl):
    generator = torch.Generator().manual_seed(0)
    latents, text = torch.randn((2, 4, 8, 8), generator=generator), torch.randn((2, 77, 128), generator=generator)
    added = {"text_embeds": torch.randn((2, 96), generator=generator), "time_ids": torch.randint(0, 1024, (2, 6))}
    got, expected = (
        parts.unet(latents, 481, text, added_cond_kwargs=added).sample for parts in (load_checkpoint(path), sdxl)
    )
    assert torch.equal(got, expected)


def test_the_official_sizes_give_the_official_config(ldm_shapes):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**OFFICIAL)
    shapes = ldm_shapes("unet", unet)
    assert shapes["label_emb.0.0.weight"] == (1280, 2816)
    assert unet_config(shapes) == OFFICIAL
    # A velocity model of XL does not attend in float32, as those of 2.x do.
    assert unet_config(shapes, v_prediction=True) == OFFICIAL


def test_the_official_second_text_encoder():
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    official = {
        "vocab_size": 49408,
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "max_position_embeddings": 77,
        "hidden_act": "gelu",
        "projection_dim": 1280,
    }
    with torch.device("meta"):
        encoder = CLIPTextModelWithProjection(CLIPTextConfig(**official))
    config = projected_text_config({name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()})
    assert config | official == config
    assert "model.transformer.resblocks.31.ln_1.weight" in open_clip_to_ldm(encoder)


def test_the_unet_decides_the_factor_and_never_the_vae(folder, sdxl, sd1, to_ldm, tmp_path):
    edit_json(folder / "vae" / "config.json", scaling_factor=0.18215)
    assert load_checkpoint(folder).vae.config.scaling_factor == 0.13025
    vae = save(
        {n: t for n, t in to_ldm(sd1).items() if n.startswith("first_stage_model.")}, tmp_path / "vae.safetensors"
    )
    assert load_checkpoint(folder, vae=vae).vae.config.scaling_factor == 0.13025
    first = save(to_ldm(sd1), tmp_path / "1.safetensors")
    assert load_checkpoint(first, vae=vae).vae.config.scaling_factor == 0.18215


def test_a_vae_made_for_half_precision_is_taken_with_its_word_for_it(folder, sdxl, tmp_path):
    sdxl.vae.save_pretrained(tmp_path / "fp16-fix")
    edit_json(tmp_path / "fp16-fix" / "config.json", scaling_factor=0.13025, force_upcast=False)
    fixed = load_checkpoint(folder, vae=tmp_path / "fp16-fix").vae.config
    assert (fixed.scaling_factor, fixed.force_upcast) == (0.13025, False)
    assert load_checkpoint(folder).vae.config.force_upcast


def test_a_file_marked_so_predicts_velocity(sdxl, to_ldm, tmp_path):
    checkpoint = load_checkpoint(save(to_ldm(sdxl) | {"v_pred": MARK}, tmp_path / "v.safetensors"))
    assert checkpoint.schedule.prediction_type == "v_prediction"
    assert not checkpoint.unet.config.upcast_attention


REFUSED_KEYS = {
    "zero terminal SNR": {"ztsnr": MARK, "v_pred": MARK},
    "Playground v2.5": {"edm_mean": MARK, "edm_std": MARK},
    "EDM's velocity": {"edm_vpred.sigma_max": MARK},
    "refiner": {"conditioner.embedders.0.model.ln_final.weight": MARK},
}


@pytest.mark.parametrize("title", REFUSED_KEYS)
def test_files_of_its_kin_are_refused_by_name(sdxl, to_ldm, tmp_path, title):
    with pytest.raises(CheckpointError, match=f"{title}.*Expected a Stable Diffusion 1"):
        load_checkpoint(save(to_ldm(sdxl) | REFUSED_KEYS[title], tmp_path / "model.safetensors"))


def test_a_file_without_attention_in_the_middle_is_refused(sdxl, to_ldm, tmp_path):
    tensors = {n: t for n, t in to_ldm(sdxl).items() if not n.startswith(f"{UNET}middle_block.1.")}
    with pytest.raises(CheckpointError, match="a smaller relative of Stable Diffusion XL"):
        load_checkpoint(save(tensors, tmp_path / "model.safetensors"))


@pytest.mark.parametrize(
    "file, changes, title",
    [
        ("unet", {"mid_block_type": None}, "a smaller relative of Stable Diffusion XL"),
        ("unet", {"cross_attention_dim": 1280}, "Stable Diffusion XL's refiner"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "zero terminal SNR"),
        ("scheduler", {"_class_name": "EDMDPMSolverMultistepScheduler"}, "Playground v2.5"),
        ("vae", {"latents_mean": [0.0] * 4}, "Playground v2.5"),
    ],
)
def test_folders_of_its_kin_are_refused_by_name(folder, file, changes, title):
    edit_json(folder / file / ("scheduler_config.json" if file == "scheduler" else "config.json"), **changes)
    with pytest.raises(CheckpointError, match=title):
        load_checkpoint(folder)


def test_the_refiners_folder_has_no_first_text_encoder_and_is_named_still(folder):
    edit_json(folder / "unet" / "config.json", cross_attention_dim=1280)
    shutil.rmtree(folder / "text_encoder")
    with pytest.raises(CheckpointError, match="Stable Diffusion XL's refiner"):
        load_checkpoint(folder)


def test_a_missing_second_text_encoder_is_named(folder, sdxl, to_ldm, tmp_path):
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(CheckpointError, match="without text_encoder_2/config"):
        load_checkpoint(folder)
    tensors = {n: t for n, t in to_ldm(sdxl).items() if not n.startswith("conditioner.embedders.1.")}
    with pytest.raises(CheckpointError, match="second text encoder"):
        load_checkpoint(save(tensors, tmp_path / "model.safetensors"))


def test_a_unet_of_another_family_beside_its_text_encoders_is_refused(sd2, sdxl, to_ldm, tmp_path):
    tensors = {n: t for n, t in to_ldm(sdxl).items() if not n.startswith(UNET)}
    tensors |= {UNET + name: tensor for name, tensor in unet_to_ldm(sd2.unet).items()}
    with pytest.raises(CheckpointError, match="a text encoder of"):
        load_checkpoint(save(tensors, tmp_path / "model.safetensors"))
