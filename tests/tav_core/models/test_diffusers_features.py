"""What diffusers and PyTorch do to a UNet, done to the video UNet; and what is refused, with nothing changed."""

from __future__ import annotations

import copy
import pickle
import sys

import pytest
import torch
from diffusers import UNet2DConditionModel

from tav_core.errors import ConfigError
from tav_core.models.unet import InflatedUNet

FREEU = {"s1": 0.9, "s2": 0.2, "b1": 1.2, "b2": 1.4}


@pytest.fixture
def latents():
    return torch.randn((1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def expected(inflated, latents, context):
    with torch.no_grad():
        return inflated(latents, 481, context)


def gradients(unet, latents, context):
    unet.zero_grad()
    unet(latents, 481, context).pow(2).mean().backward()
    return {name: p.grad.clone() for name, p in unet.named_parameters() if p.grad is not None}


@torch.no_grad()
def test_freeu_is_that_of_the_2d_unet_frame_by_frame(unet_2d, latents, context, close):
    inflated = InflatedUNet.from_2d(unet_2d, attention="spatial", group_norm="frame")
    plain = inflated(latents, 481, context)
    inflated.enable_freeu(**FREEU)
    unet_2d.enable_freeu(**FREEU)
    wanted = unet_2d(latents[0].transpose(0, 1), 481, context.expand(3, -1, -1)).sample
    got = inflated(latents, 481, context)
    close(got[0].transpose(0, 1), wanted, 1e-6)
    assert not torch.allclose(got, plain, rtol=1e-2)
    inflated.disable_freeu()
    assert torch.equal(inflated(latents, 481, context), plain)


@torch.no_grad()
def test_channels_last(inflated, latents, context, expected, close):
    inflated.to(memory_format=torch.channels_last)
    assert inflated.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    close(inflated(latents, 481, context), expected, 1e-5)


@pytest.fixture
def small(context):
    """As few blocks as there can be, as compiling takes long: a video UNet whose temporal block counts."""
    plain = UNet2DConditionModel(
        block_out_channels=(32,),
        down_block_types=("CrossAttnDownBlock2D",),
        mid_block_type=None,
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=context.shape[-1],
        attention_head_dim=8,
    )
    inflated = InflatedUNet.from_2d(plain.eval().requires_grad_(False))
    for tensor in inflated.temporal_state().values():
        tensor.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return inflated


@torch.no_grad()
def test_torch_compile_at_one_number_of_frames_and_another(small, latents, context, close):
    torch.compiler.reset()
    compiled = torch.compile(small, backend="eager")
    for num_frames in (3, 2):
        clip = latents[:, :, :num_frames]
        close(compiled(clip, 481, context), small(clip, 481, context), 1e-5)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda unet: pickle.loads(pickle.dumps(unet))], ids=["copy", "pickle"]
)
@torch.no_grad()
def test_a_copy_gives_the_same_and_is_apart(inflated, latents, context, expected, copied):
    inflated.enable_gradient_checkpointing()
    twin = copied(inflated)
    assert torch.equal(twin(latents, 481, context), expected)
    twin(latents[:, :, :2], 481, context)
    assert (inflated.frames.value, twin.frames.value) == (3, 2)
    assert twin.modes == inflated.modes
    twin.set_modes(attention="full", group_norm="frame")
    for parameter in twin.parameters():
        parameter.zero_()
    assert torch.equal(inflated(latents, 481, context), expected)


def test_a_copy_that_recomputes_uses_its_own_frame_count(inflated, latents, context, close):
    plain = gradients(copy.deepcopy(inflated).requires_grad_(True).train(), latents, context)
    inflated.enable_gradient_checkpointing()
    twin = copy.deepcopy(inflated).requires_grad_(True).train()
    inflated.frames.value = 7
    recomputed = gradients(twin, latents, context)
    assert inflated.frames.value == 7
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        close(recomputed[name], gradient, 1e-4, name)


def test_a_peft_adapter_trains_under_checkpointing_and_leaves_without_a_trace(
    inflated, latents, context, expected, close
):
    peft = pytest.importorskip("peft")
    before = {name: tensor.clone() for name, tensor in inflated.state_dict().items()}
    inflated.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    inflated.train().enable_gradient_checkpointing()
    trained = gradients(inflated, latents, context)
    assert {name.split(".lora_")[0].rsplit(".", 2)[-2] for name in trained} == {"attn1", "attn2", "attn_temp"}
    assert all(".lora_" in name and gradient.abs().max() > 0 for name, gradient in trained.items())
    with torch.no_grad():
        assert not torch.allclose(inflated(latents, 481, context), expected, rtol=1e-2)
        inflated.disable_adapters()
        close(inflated(latents, 481, context), expected, 1e-5)
    inflated.unload_lora()
    assert inflated.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in inflated.state_dict().items())


def test_a_peft_adapter_is_saved_apart_and_read_again(inflated, latents, context, tmp_path):
    peft = pytest.importorskip("peft")
    bare = copy.deepcopy(inflated)
    inflated.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    with pytest.raises(ConfigError, match="save_lora_adapter"):
        inflated.save_pretrained(tmp_path / "unet")
    assert not (tmp_path / "unet").exists()
    inflated.save_lora_adapter(tmp_path)
    bare.load_lora_adapter(tmp_path, prefix=None, weight_name="pytorch_lora_weights.safetensors", use_safetensors=True)
    with torch.no_grad():
        assert torch.equal(bare(latents, 481, context), inflated(latents, 481, context))


REFUSED = {
    "slices": (lambda unet: unet.set_attention_slice("auto"), "window"),
    "most slices": (lambda unet: unet.set_attention_slice("max"), "window"),
    "a size of slices": (lambda unet: unet.set_attention_slice(2), "window"),
    "fused projections": (lambda unet: unet.fuse_qkv_projections(), r"torch\.compile"),
    "an operator of xformers": (lambda unet: unet.enable_xformers_memory_efficient_attention(print), "attention_op"),
}


@pytest.mark.parametrize("name", REFUSED)
@torch.no_grad()
def test_what_would_lose_the_frames_is_refused_and_changes_nothing(inflated, latents, context, expected, name):
    call, mend = REFUSED[name]
    before, processors = inflated.state_dict().keys(), dict(inflated.attn_processors)
    with pytest.raises(ConfigError, match=mend):
        call(inflated)
    assert inflated.state_dict().keys() == before
    assert inflated.attn_processors == processors
    assert torch.equal(inflated(latents, 481, context), expected)


@torch.no_grad()
def test_slicing_turned_off_stays_off(inflated, latents, context, expected):
    inflated.set_attention_slice(None)
    assert torch.equal(inflated(latents, 481, context), expected)


@torch.no_grad()
def test_a_unet_sliced_or_fused_before_is_inflated_like_any_other(unet_2d, latents, context):
    wanted = InflatedUNet.from_2d(unet_2d)(latents, 481, context)
    unet_2d.set_attention_slice("auto")
    assert torch.equal(InflatedUNet.from_2d(unet_2d)(latents, 481, context), wanted)
    unet_2d.fuse_qkv_projections()
    assert torch.equal(InflatedUNet.from_2d(unet_2d)(latents, 481, context), wanted)


def test_the_switch_for_xformers_sets_the_backend(inflated, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"xformers.*not installed"):
        inflated.enable_xformers_memory_efficient_attention()
    assert inflated.modes["backend"] == "sdpa"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: sys)
    inflated.enable_xformers_memory_efficient_attention()
    assert {processor.backend for processor in inflated.attn_processors.values()} == {"xformers"}
    inflated.disable_xformers_memory_efficient_attention()
    assert {processor.backend for processor in inflated.attn_processors.values()} == {"sdpa"}
