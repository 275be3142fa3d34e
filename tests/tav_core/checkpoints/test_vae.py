"""A VAE of its own, in every layout that people have it in, for checkpoints with and without one."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import CheckpointError
from tests.tav_core.conftest import make_vae, vae_to_ldm

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def vae():
    return make_vae(77)


def copied(tensors, prefix=""):
    return {prefix + name: tensor.contiguous().clone() for name, tensor in tensors.items()}


@pytest.fixture
def without(sd1, to_ldm, tmp_path):
    """A checkpoint without its VAE."""
    tensors = {name: t for name, t in copied(to_ldm(sd1)).items() if not name.startswith("first_stage_model.")}
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def ldm_file(vae, folder, **_):
    save_file(copied(vae_to_ldm(vae)), folder / "v.safetensors")
    return folder / "v.safetensors"


def ldm_pickle(vae, folder, **_):
    """As Stability's: with what only training needs."""
    tensors = copied(vae_to_ldm(vae)) | {"loss.logvar": torch.zeros(()), "model_ema.decay": torch.zeros(())}
    torch.save({"state_dict": tensors, "epoch": 3}, folder / "v.vae.pt")
    return folder / "v.vae.pt"


def prefixed_file(vae, folder, **_):
    save_file(copied(vae_to_ldm(vae), "first_stage_model."), folder / "v.safetensors")
    return folder / "v.safetensors"


def diffusers_file(vae, folder, **_):
    save_file(copied(vae.state_dict()), folder / "v.safetensors")
    return folder / "v.safetensors"


def diffusers_folder(vae, folder, **_):
    vae.save_pretrained(folder / "v", variant="fp16")
    return folder / "v"


def old_names(vae, folder, **_):
    """The names that diffusers below 0.12 gave to the attention."""
    new = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = copied(vae.state_dict())
    for name, old in new.items():
        tensors = {each.replace(name, old): tensor for each, tensor in tensors.items()}
    torch.save(tensors, folder / "v.bin")
    return folder / "v.bin"


def pipeline(vae, folder, sd1, write_folder, **_):
    vae.save_pretrained(write_folder(sd1, folder / "other") / "vae")
    return folder / "other"


def whole_checkpoint(vae, folder, sd1, to_ldm, **_):
    save_file(copied(to_ldm(sd1)) | copied(vae_to_ldm(vae), "first_stage_model."), folder / "whole.safetensors")
    return folder / "whole.safetensors"


KINDS = [
    ldm_file,
    ldm_pickle,
    prefixed_file,
    diffusers_file,
    diffusers_folder,
    old_names,
    pipeline,
    whole_checkpoint,
]


def assert_has(checkpoint, vae):
    got, expected = checkpoint.vae.state_dict(), vae.state_dict()
    assert got.keys() == expected.keys() and all(torch.equal(got[name], expected[name]) for name in expected)
    assert checkpoint.vae.config.scaling_factor == 0.18215
    assert not checkpoint.vae.training and not any(p.requires_grad for p in checkpoint.vae.parameters())


@pytest.mark.parametrize("write", KINDS)
def test_a_vae_is_read_in_every_layout(without, vae, tmp_path, sd1, to_ldm, write_folder, write):
    checkpoint = load_checkpoint(without, vae=write(vae, tmp_path, sd1=sd1, to_ldm=to_ldm, write_folder=write_folder))
    assert_has(checkpoint, vae)
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(checkpoint.vae.decode(latents).sample, vae.decode(latents).sample)


def test_it_takes_the_place_of_the_checkpoints_own(vae, tmp_path, sd1, to_ldm, write_folder):
    given = ldm_file(vae, tmp_path)
    save_file(copied(to_ldm(sd1)), tmp_path / "model.safetensors")
    folder = write_folder(sd1, tmp_path / "model")
    for path in (tmp_path / "model.safetensors", folder):
        assert_has(load_checkpoint(path, vae=str(given)), vae)
        assert_has(load_checkpoint(path), sd1.vae)


def test_a_folder_without_a_vae_takes_one(vae, tmp_path, sd1, write_folder):
    folder = write_folder(sd1, tmp_path / "model")
    (folder / "vae").rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match=r"without vae/config\.json.*--vae FILE"):
        load_checkpoint(folder)
    assert_has(load_checkpoint(folder, vae=diffusers_file(vae, tmp_path)), vae)


def test_a_checkpoint_without_a_vae_says_how_to_give_one(without, vae):
    with pytest.raises(CheckpointError, match=r"without its VAE.*vae-ft-mse\S* \(vae=\.\.\.; --vae FILE"):
        load_checkpoint(without)
    beside = ldm_pickle(vae, without.parent).rename(without.with_suffix(".vae.pt"))
    with pytest.raises(CheckpointError, match="without its VAE") as caught:
        load_checkpoint(without)
    assert f"such as {beside} " in caught.value.mend


def sdxl(folder, sd1):
    vae = make_vae(3)
    vae.register_to_config(scaling_factor=0.13025)
    vae.save_pretrained(folder / "v")


def sixteen_channels(folder, sd1):
    from diffusers import AutoencoderKL

    AutoencoderKL(latent_channels=16, block_out_channels=(32,), norm_num_groups=32).save_pretrained(folder / "v")


def tiny(folder, sd1):
    from diffusers import AutoencoderTiny

    AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4).save_pretrained(
        folder / "v"
    )


def tensors_of(**names):
    def write(folder, sd1):
        save_file({name.replace("__", "."): torch.ones(2, 2) for name in names}, folder / "v")

    return write


def half_of_it(folder, sd1):
    tensors = {name: t for name, t in copied(vae_to_ldm(sd1.vae)).items() if name.startswith("encoder.")}
    save_file(tensors, folder / "v")


def text(folder, sd1):
    (folder / "v").write_text("Entry not found")


WRONG = {
    "nothing": (lambda folder, sd1: None, "no such file or folder"),
    "an empty folder": (lambda folder, sd1: (folder / "v").mkdir(), "a folder without config.json"),
    "Stable Diffusion XL's": (sdxl, "scaling_factor of 0.13025"),
    "for 16 channels": (sixteen_channels, "latents of 4 channels, a VAE of 16"),
    "of another class": (tiny, "a model of class AutoencoderTiny"),
    "a LoRA": (tensors_of(lora_unet__lora_up__weight=1), "a LoRA"),
    "the encoder alone": (half_of_it, "layout is not known"),
    "another kind": (tensors_of(encoder__layers__0=1), "without a VAE of a known layout"),
    "a text": (text, "a file of type"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_vae_of_this_family_is_named(without, tmp_path, sd1, case):
    write, word = WRONG[case]
    write(tmp_path, sd1)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(without, vae=tmp_path / "v")
    assert word in str(caught.value)
