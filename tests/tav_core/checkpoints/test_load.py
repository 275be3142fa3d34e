"""Checkpoints in folders, the original's among them, and what `load_checkpoint` refuses."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tav_core.checkpoints.load import load_checkpoint, load_original_unet
from tav_core.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.usefixtures("offline")
PARTS = ("unet", "vae", "text_encoder")
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


def assert_same_weights(module, expected):
    got, expected = module.state_dict(), expected.state_dict()
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(got[name], tensor), name


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def to_pickles(folder):
    """The weights of a folder as older versions saved them."""
    for part, stem in WEIGHTS.items():
        path = folder / part / f"{stem}.safetensors"
        torch.save(load_file(path), path.with_name("pytorch_model.bin" if stem == "model" else f"{stem}.bin"))
        path.unlink()


@pytest.fixture
def folder(sd1, write_folder, tmp_path):
    return write_folder(sd1, tmp_path / "model")


@pytest.mark.parametrize("parts", ["sd1", "sd2"])
@pytest.mark.parametrize("kind", ["safetensors", "bin", "fp16"])
def test_a_folder_gives_the_weights_that_went_in(request, write_folder, tmp_path, parts, kind):
    parts = request.getfixturevalue(parts)
    path = write_folder(parts, tmp_path / "model")
    if kind == "bin":
        to_pickles(path)
    if kind == "fp16":
        for part, stem in WEIGHTS.items():
            (path / part / f"{stem}.safetensors").rename(path / part / f"{stem}.fp16.safetensors")
    checkpoint = load_checkpoint(str(path))
    for part in PARTS:
        module = getattr(checkpoint, part)
        assert_same_weights(module, getattr(parts, part))
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())
    assert checkpoint.schedule.prediction_type == parts.scheduler["prediction_type"]
    assert checkpoint.path == path


@torch.no_grad()
def test_a_loaded_folder_computes_what_the_original_modules_compute(sd2, write_folder, tmp_path):
    checkpoint = load_checkpoint(write_folder(sd2, tmp_path / "model"))
    tokens = checkpoint.tokenizer("a photo of a cat", padding="max_length", return_tensors="pt").input_ids
    text = sd2.text_encoder(tokens).last_hidden_state
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(checkpoint.text_encoder(tokens).last_hidden_state, text)
    assert torch.equal(checkpoint.unet(latents, 7, text).sample, sd2.unet(latents, 7, text).sample)
    assert torch.equal(checkpoint.vae.decode(latents).sample, sd2.vae.decode(latents).sample)


def test_a_folder_states_what_it_predicts_and_the_argument_overrides_it(folder):
    assert load_checkpoint(folder).schedule.prediction_type == "epsilon"
    assert load_checkpoint(folder, prediction_type="v_prediction").schedule.prediction_type == "v_prediction"
    with pytest.raises(ConfigError, match="'velocity'"):
        load_checkpoint(folder, prediction_type="velocity")


def test_the_folder_and_a_single_file_of_it_split_prompts_alike(folder, sd1, to_ldm, tmp_path):
    save_file({name: t.contiguous().clone() for name, t in to_ldm(sd1).items()}, tmp_path / "model.safetensors")
    prompts = ["a photo of a cat", "Wow! It's 2 CATS, naïve…", ""]
    expected = [49406, 320, 1125, 539, 320, 2368, 49407]
    for checkpoint in (load_checkpoint(folder), load_checkpoint(tmp_path / "model.safetensors")):
        tokens = checkpoint.tokenizer(prompts).input_ids
        assert tokens[0] == expected
        assert tokens[2] == [49406, 49407]
        assert tokens == load_checkpoint(folder).tokenizer(prompts).input_ids
        assert checkpoint.tokenizer.model_max_length == 77


def test_a_missing_path_says_that_nothing_is_downloaded(tmp_path):
    with pytest.raises(CheckpointError, match=r"no such file or folder.*download the model first"):
        load_checkpoint("runwayml/stable-diffusion-v1-5")
    with pytest.raises(CheckpointError, match=r"gone\.safetensors"):
        load_checkpoint(tmp_path / "gone.safetensors")


def test_a_folder_that_is_no_model_says_what_was_looked_for(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"without unet/config\.json, vae/config\.json.*scheduler_config\.json"):
        load_checkpoint(tmp_path / "empty")
    with pytest.raises(CheckpointError, match=r"Give the folder above: .*model\."):
        load_checkpoint(folder / "unet")
    (tmp_path / "empty" / "sd15.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"Give a file in it, as in .*sd15\.safetensors"):
        load_checkpoint(tmp_path / "empty")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "scheduler", "tokenizer"])
def test_a_folder_without_a_part_names_it(folder, part):
    shutil.rmtree(folder / part)
    with pytest.raises(CheckpointError, match=part):
        load_checkpoint(folder)


def test_a_part_without_weights_or_with_damaged_ones_is_named(folder):
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"vae/diffusion_pytorch_model\.safetensors of \d+ bytes.*cannot be read"):
        load_checkpoint(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"vae without weights.*diffusion_pytorch_model\.safetensors"):
        load_checkpoint(folder)


def test_pickles_in_a_folder_cannot_run_code(folder, tmp_path):
    class Touch:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'it ran')!r}, 'w').close()",)

    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({**load_file(weights), "more": Touch()}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(CheckpointError, match="wants to run"):
        load_checkpoint(folder)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    "file, changes, message",
    [
        ("unet/config.json", {"cross_attention_dim": 32}, r"do not fit the UNet.*attn2\.to_k\.weight has shape"),
        ("unet/config.json", {"layers_per_block": 2}, r"do not fit the UNet \(\S+ is missing, and \d+ more"),
        ("unet/config.json", {"norm_num_groups": 31}, "a UNet that cannot be built"),
        ("unet/config.json", {"in_channels": 9}, r"an inpainting model \(9 input channels"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "a UNet that cannot be built"),
        ("unet/config.json", {"_class_name": "UNet3DConditionModel"}, "a text-to-video model"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "prediction_type 'sample'"),
    ],
)
def test_other_families_and_shapes_are_refused(folder, file, changes, message):
    edit_json(folder / file, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_a_pipeline_without_a_unet_is_refused_by_its_name(tmp_path):
    index = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"FluxPipeline: .*Stable Diffusion 1\.x, 2\.x or XL"):
        load_checkpoint(tmp_path)


def test_a_config_that_is_no_json_is_refused(folder):
    (folder / "vae" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"vae/config\.json, which cannot be read"):
        load_checkpoint(folder)


def test_parts_of_different_models_are_refused(folder, tmp_path, write_folder, sd1):
    from transformers import CLIPTextConfig, CLIPTextModel

    shutil.rmtree(folder / "text_encoder")
    config = CLIPTextConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1)
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    with pytest.raises(CheckpointError, match="text embeddings of width 64, a text encoder of 32"):
        load_checkpoint(folder)


@pytest.fixture
def original(folder, sd1, unet_2d, meta, goldens):
    """A pipeline as the original Tune-A-Video saves it: pickles, 3-D class names, the VAE's old attention names."""
    shutil.rmtree(folder / "unet")
    to_unet = folder / "unet"
    to_unet.mkdir()
    config = {"_class_name": "UNet3DConditionModel", "_diffusers_version": "0.11.1"}
    names = meta["unet_config_reference_names"] | {
        "cross_attention_dim": 32,
        "mid_block_type": "UNetMidBlock3DCrossAttn",
    }
    (to_unet / "config.json").write_text(json.dumps(config | names))
    torch.save(goldens("unet_2d") | goldens("attn_temp"), to_unet / "diffusion_pytorch_model.bin")

    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    for new, name in old.items():
        tensors = {n.replace(f".{new}.", f".{name}."): tensor for n, tensor in tensors.items()}
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(tensors, folder / "vae" / "diffusion_pytorch_model.bin")
    edit_json(folder / "model_index.json", _class_name="TuneAVideoPipeline")
    return folder


def narrow_text(folder):
    """The goldens' UNet attends to 32 channels."""
    from transformers import CLIPTextConfig, CLIPTextModel

    shutil.rmtree(folder / "text_encoder")
    config = CLIPTextConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1)
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")


def test_the_2d_part_of_a_pipeline_that_the_original_saved(original, sd1, unet_2d):
    narrow_text(original)
    checkpoint = load_checkpoint(original)
    assert_same_weights(checkpoint.unet, unet_2d)
    assert_same_weights(checkpoint.vae, sd1.vae)
    assert checkpoint.unet.config["attention_head_dim"] == 8
    assert checkpoint.unet.config["mid_block_type"] == "UNetMidBlock2DCrossAttn"
    latents, text = torch.ones(1, 4, 8, 8), torch.ones(1, 77, 32)
    assert torch.equal(checkpoint.unet(latents, 3, text).sample, unet_2d(latents, 3, text).sample)


def test_the_unet_that_the_original_saved_from_its_pipeline_its_folder_or_its_file(original, goldens, tmp_path):
    expected = goldens("unet_2d") | goldens("attn_temp")
    save_file(expected, tmp_path / "unet.safetensors")
    weights = original / "unet" / "diffusion_pytorch_model.bin"
    for path in (original, original / "unet", weights, str(tmp_path / "unet.safetensors")):
        found = load_original_unet(path)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_what_is_no_unet_of_the_original_is_refused_as_one(folder, original, goldens, tmp_path):
    save_file(goldens("unet_2d"), tmp_path / "flat.safetensors")
    with pytest.raises(CheckpointError, match=r"the UNet of a diffusers folder alone.*attn_temp"):
        load_original_unet(tmp_path / "flat.safetensors")
    with pytest.raises(CheckpointError, match="without weights"):
        load_original_unet(tmp_path)
    with pytest.raises(CheckpointError, match="read this file with load_original_unet"):
        load_checkpoint(original / "unet" / "diffusion_pytorch_model.bin")
