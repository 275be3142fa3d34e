"""Checkpoints in one file: every layout that is read, bit for bit, and every one that is refused by name."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from tav_core.checkpoints.load import load_checkpoint
from tav_core.errors import CheckpointError
from tests.tav_core.conftest import widen_input

pytestmark = pytest.mark.usefixtures("offline")
PARTS = ("unet", "vae", "text_encoder")
MARK = torch.ones(1)


def save(tensors, path):
    """Writes tensors as their suffix says; .ckpt as its trainers wrote it, the tensors under "state_dict"."""
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 5} if path.suffix == ".ckpt" else tensors, path)
    return path


def assert_same_weights(checkpoint, parts):
    for part in PARTS:
        expected, got = getattr(parts, part).state_dict(), getattr(checkpoint, part).state_dict()
        assert expected.keys() == got.keys()
        for name, tensor in expected.items():
            assert torch.equal(got[name], tensor), f"{part}: {name}"


@torch.no_grad()
def outputs(parts):
    """What each part makes of the same inputs."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 49000, (2, 77), generator=generator)
    text = parts.text_encoder(tokens).last_hidden_state
    latents = torch.randn((2, 4, 8, 8), generator=generator)
    moments = parts.vae.encode(torch.randn((1, 3, 16, 16), generator=generator)).latent_dist.parameters
    return text, parts.unet(latents, 481, text).sample, moments, parts.vae.decode(latents).sample


@pytest.fixture(params=["sd1", "sd2"])
def parts(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt", "model.bin"])
def test_every_kind_of_file_gives_the_weights_and_outputs_that_went_in(parts, to_ldm, tmp_path, name):
    checkpoint = load_checkpoint(save(to_ldm(parts), tmp_path / name))
    assert_same_weights(checkpoint, parts)
    for got, expected in zip(outputs(checkpoint), outputs(parts), strict=True):
        assert torch.equal(got, expected)
    for part in PARTS:
        module = getattr(checkpoint, part)
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_what_shapes_do_not_tell_comes_from_the_family(sd1, sd2, to_ldm, tmp_path):
    first = load_checkpoint(save(to_ldm(sd1), tmp_path / "1.safetensors"))
    second = load_checkpoint(save(to_ldm(sd2), tmp_path / "2.safetensors"))
    assert (first.architecture, second.architecture) == ("sd1-32-64-64-text64", "sd2-64-128-text64")
    assert (first.unet.config.attention_head_dim, second.unet.config.attention_head_dim) == (8, [1, 2])
    assert (first.tokenizer.pad_token_id, second.tokenizer.pad_token_id) == (49407, 0)
    for checkpoint in (first, second):
        assert checkpoint.vae.config.scaling_factor == 0.18215
        assert checkpoint.schedule.num_train_timesteps == 1000
        assert checkpoint.schedule.timesteps(50)[:2] == (1, 21)
        assert checkpoint.schedule.final_alpha == pytest.approx(1 - 0.00085, abs=1e-6)


def test_old_text_names_and_leftovers_of_training_are_understood(sd1, to_ldm, tmp_path):
    tensors = {name.replace("transformer.text_model.", "transformer."): t for name, t in to_ldm(sd1).items()}
    tensors["cond_stage_model.transformer.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["betas"], tensors["model_ema.num_updates"] = torch.ones(1000), torch.tensor(7)
    tensors["first_stage_model.loss.logvar"] = torch.tensor(0.0)
    tensors |= {f"model_ema.diffusion_modelkey{index}": torch.ones(1) for index in range(120)}
    assert_same_weights(load_checkpoint(save(tensors, tmp_path / "old.ckpt")), sd1)


def test_embeddings_that_a_checkpoint_brings_are_left_out(sd1, to_ldm, tmp_path):
    embeddings = {"bundle_emb.style.string_to_param.*": torch.rand(2, 64), "embedding_manager.string_to_param.x": MARK}
    assert_same_weights(load_checkpoint(save(to_ldm(sd1) | embeddings, tmp_path / "model.safetensors")), sd1)


@pytest.mark.parametrize(
    "tensors, title",
    [
        ({"emb_params": (2, 64)}, "a textual inversion embedding"),
        ({"<cat>": (768,)}, "a textual inversion embedding"),
        ({"bundle_emb.style.string_to_param.*": (2, 64)}, "a textual inversion embedding"),
        ({"lora_unet_x.lora_up.weight": (2, 2), "bundle_emb.style.string_to_param.*": (2, 64)}, "a LoRA"),
        ({"up_blocks.1.attn1.processor.to_q_lora.down.weight": (2, 2)}, "a LoRA"),
        ({"body.0.in_conv.weight": (2,), "body.0.out_conv.weight": (2,)}, "a T2I-Adapter"),
        ({"image_proj.proj.weight": (2,), "ip_adapter.1.to_k_ip.weight": (2,)}, "an IP-Adapter"),
        ({"input_hint_block.0.weight": (2,), "zero_convs.0.0.weight": (2,)}, "a ControlNet"),
        ({"body.0.rdb1.weight": (2,)}, r"not known, beginning with 'body\.0\.rdb1\.weight'"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_other_files_of_weights_are_named(tmp_path, tensors, title, name):
    path = save({name: torch.ones(shape) for name, shape in tensors.items()}, tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"{title}.*Expected a Stable Diffusion"):
        load_checkpoint(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_come_in_the_dtype_asked_for(sd1, to_ldm, tmp_path, dtype):
    half = {name: tensor.half() for name, tensor in to_ldm(sd1).items()}
    with torch.inference_mode():
        checkpoint = load_checkpoint(save(half, tmp_path / "half.safetensors"), dtype=dtype)
    for part in PARTS:
        got = getattr(checkpoint, part).state_dict()
        for name, tensor in getattr(sd1, part).state_dict().items():
            assert got[name].dtype == dtype
            assert torch.equal(got[name], tensor.half().to(dtype)), name
        # Tuning needs weights that autograd can use, also where a host loads them under inference mode.
        assert not any(parameter.is_inference() for parameter in getattr(checkpoint, part).parameters())


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_loaded_weights_do_not_follow_a_change_of_their_file(sd1, to_ldm, tmp_path, name):
    path = save(to_ldm(sd1), tmp_path / name)
    checkpoint = load_checkpoint(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert_same_weights(checkpoint, sd1)


@pytest.mark.parametrize("spread, expected", [(0.05, "epsilon"), (0.15, "v_prediction")])
def test_the_spread_of_one_bias_tells_what_a_2x_model_predicts(sd2, deep_unet, to_ldm, tmp_path, spread, expected):
    parts = SimpleNamespace(**{**vars(sd2), "unet": deep_unet})
    tensors = to_ldm(parts)
    mark = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    tensors[mark] = torch.linspace(-1, 1, 64) * spread * 3**0.5
    path = save(tensors, tmp_path / "2.safetensors")
    guessed = load_checkpoint(path)
    assert guessed.schedule.prediction_type == expected
    assert guessed.unet.config.upcast_attention == (expected == "v_prediction")
    for said in ("epsilon", "v_prediction"):
        assert load_checkpoint(path, prediction_type=said).schedule.prediction_type == said


@pytest.fixture(scope="module")
def deep_unet():
    """As many levels and layers as the real model, so that it has the blocks of the real model."""
    from diffusers import UNet2DConditionModel

    attends = (True, True, True, False)
    return UNet2DConditionModel(
        block_out_channels=(64, 64, 64, 64),
        layers_per_block=2,
        cross_attention_dim=64,
        attention_head_dim=1,
        use_linear_projection=True,
        down_block_types=["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
    ).requires_grad_(False)


def test_a_tokenizer_of_ones_own_is_used_and_a_larger_one_than_the_text_encoder_refused(sd1, to_ldm, tmp_path):
    small = tmp_path / "tokenizer"
    small.mkdir()
    words = ["a", "a</w>", "c", "t", "t</w>", "at</w>", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    (small / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (small / "merges.txt").write_text("#version: 0.2\na t</w>\nc at</w>\n")
    tensors = to_ldm(sd1)
    path = save(tensors, tmp_path / "model.safetensors")
    assert load_checkpoint(path, tokenizer=small).tokenizer("a cat").input_ids == [7, 1, 6, 8]

    name = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    path = save(tensors | {name: tensors[name][:9]}, tmp_path / "small.safetensors")
    assert load_checkpoint(path, tokenizer=small).text_encoder.config.vocab_size == 9
    with pytest.raises(CheckpointError, match=r"tokenizer of 49408 tokens, a text encoder of 9"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"without a tokenizer.*vocab\.json"):
        load_checkpoint(path, tokenizer=tmp_path)


@pytest.mark.parametrize("prefix, part", [("first_stage", "VAE"), ("cond_stage", "text encoder")])
def test_a_file_without_a_part_says_which(sd1, to_ldm, tmp_path, prefix, part):
    tensors = {name: tensor for name, tensor in to_ldm(sd1).items() if not name.startswith(prefix)}
    with pytest.raises(CheckpointError, match=f"without its {part}"):
        load_checkpoint(save(tensors, tmp_path / "part.safetensors"))


def test_instruct_pix2pix_is_read_with_its_input_for_a_picture(sd1, to_ldm, tmp_path):
    told = widen_input(sd1)
    checkpoint = load_checkpoint(save(to_ldm(told), tmp_path / "ip2p.safetensors"))
    assert checkpoint.takes_pictures
    assert torch.equal(checkpoint.unet.conv_in.weight, told.unet.conv_in.weight)
    assert not load_checkpoint(save(to_ldm(sd1), tmp_path / "sd.safetensors")).takes_pictures


@pytest.mark.parametrize("channels, family", [(9, "inpainting"), (5, "depth")])
def test_image_conditioned_models_are_refused_by_name(sd1, to_ldm, tmp_path, channels, family):
    tensors = to_ldm(sd1)
    tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(32, channels, 3, 3)
    with pytest.raises(
        CheckpointError, match=rf"{family}.*{channels} input channels.*Stable Diffusion 1\.x, 2\.x or XL"
    ):
        load_checkpoint(save(tensors, tmp_path / "model.safetensors"))


def misshape(tensors):
    name = "model.diffusion_model.middle_block.0.in_layers.2.weight"
    return tensors | {name: tensors[name][:, :3]}, r"mid_block\.resnets\.0\.conv1\.weight has shape .*instead of"


def drop_one(tensors):
    name = "first_stage_model.decoder.up.1.block.0.conv1.weight"
    return {
        n: t for n, t in tensors.items() if n != name
    }, r"decoder\.up_blocks\.2\.resnets\.0\.conv1\.weight is missing"


def add_one(tensors):
    name = "model.diffusion_model.middle_block.1.transformer_blocks.1.norm1.weight"
    return tensors | {name: torch.zeros(4)}, r"transformer_blocks\.1\.norm1\.weight is not expected"


def drop_the_first(tensors):
    name = "model.diffusion_model.input_blocks.0.0.weight"
    return {n: t for n, t in tensors.items() if n != name}, r"not Stable Diffusion's.*input_blocks\.0\.0\.weight"


@pytest.mark.parametrize("spoil", [misshape, drop_one, add_one, drop_the_first])
def test_weights_that_do_not_fit_are_named(sd1, to_ldm, tmp_path, spoil):
    tensors, message = spoil(to_ldm(sd1))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(save(tensors, tmp_path / "model.safetensors"))
