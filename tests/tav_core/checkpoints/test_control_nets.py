"""tav_core/checkpoints/control_nets.py: every layout that is read, bit for bit, and what is refused by name."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
import torch
from diffusers import ControlNetModel, T2IAdapter
from safetensors.torch import save_file

from tav_core.checkpoints.control_nets import load_control, load_controlnet, load_t2i_adapter
from tav_core.errors import CheckpointError
from tests.tav_core.conftest import POOLED

pytestmark = pytest.mark.usefixtures("offline")
XL = {"adapter_type": "full_adapter_xl", "downscale_factor": 16}
HINTS = {"conv_in": "0", "conv_out": "14"}


def randomize(net, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net.eval().requires_grad_(False)


@pytest.fixture(params=["sd1", "sd2", "sdxl"])
def controlnet(request):
    return randomize(ControlNetModel.from_unet(request.getfixturevalue(request.param).unet), 1)


@pytest.fixture(params=["full", "light", "grey", "xl", "grey xl"])
def adapter(request):
    made = {
        "full": {"channels": [32, 64, 64]},
        "light": {"channels": [32, 64, 128], "adapter_type": "light_adapter", "num_res_blocks": 4},
        "grey": {"channels": [32, 64, 64, 96], "in_channels": 1},
        "xl": {"channels": [32, 64, 96, 96], **XL},
        "grey xl": {"channels": [32, 64, 64, 64], "in_channels": 1, "num_res_blocks": 2, **XL},
    }
    return randomize(T2IAdapter(**made[request.param]), 2)


def assert_same(got, expected):
    ours, theirs = got.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not got.training and not any(parameter.requires_grad for parameter in got.parameters())


@torch.no_grad()
def assert_same_output(got, expected):
    generator = torch.Generator().manual_seed(0)
    hint = torch.rand((2, expected.config.get("conditioning_channels", 3), 64, 64), generator=generator)
    if isinstance(expected, T2IAdapter):
        hint = hint[:, : expected.config.in_channels]
        pairs = zip(got(hint), expected(hint), strict=True)
    else:
        latents = torch.randn((2, 4, 8, 8), generator=generator)
        text = torch.randn((2, 7, expected.config.cross_attention_dim), generator=generator)
        added = {"text_embeds": torch.ones(2, POOLED), "time_ids": torch.arange(12).reshape(2, 6)}
        one, other = (
            net(latents, 481, text, hint, added_cond_kwargs=added, return_dict=False) for net in (got, expected)
        )
        pairs = zip([*one[0], one[1]], [*other[0], other[1]], strict=True)
    for ours, theirs in pairs:
        assert torch.equal(ours, theirs)


def to_ldm(net, tmp_path):
    """The original's names, written from the layout: the UNet's as in conftest, the net's own here."""
    from tests.tav_core.conftest import unet_to_ldm

    own, shared = {}, {}
    for name, tensor in net.state_dict().items():
        if name.startswith("controlnet_cond_embedding."):
            part, rest = name.split(".", 1)[1].rsplit(".", 1)
            number = HINTS.get(part) or str(2 * int(part.split(".")[1]) + 2)
            own[f"input_hint_block.{number}.{rest}"] = tensor
        elif name.startswith("controlnet_down_blocks."):
            _, index, rest = name.split(".")
            own[f"zero_convs.{index}.0.{rest}"] = tensor
        elif name.startswith("controlnet_mid_block."):
            own[f"middle_block_out.0.{name.split('.')[1]}"] = tensor
        else:
            shared[name] = tensor
    return own | unet_to_ldm(SimpleNamespace(config=net.config, state_dict=lambda: shared))


def to_original(net):
    """An adapter's names in the original's files."""
    light = net.config.adapter_type == "light_adapter"

    def rename(name):
        name = name.removeprefix("adapter.")
        if light:
            return name.replace(".resnets.", ".body.")
        name = re.sub(r"body\.(\d+)\.resnets\.(\d+)", lambda m: f"body.{2 * int(m[1]) + int(m[2])}", name)
        return re.sub(r"body\.(\d+)\.in_conv", lambda m: f"body.{2 * int(m[1])}.in_conv", name)

    return {rename(name): tensor for name, tensor in net.state_dict().items()}


def test_folders(controlnet, tmp_path):
    controlnet.save_pretrained(tmp_path / "net")
    loaded = load_controlnet(tmp_path / "net")
    assert_same(loaded, controlnet)
    assert_same_output(loaded, controlnet)


def test_adapter_folders(adapter, tmp_path):
    adapter.save_pretrained(tmp_path / "net")
    loaded = load_t2i_adapter(tmp_path / "net")
    assert_same(loaded, adapter)
    assert_same_output(loaded, adapter)


@pytest.mark.parametrize("names", ["diffusers", "original", "original, bare", "original, with its checkpoint"])
def test_single_controlnets(controlnet, tmp_path, names):
    tensors = controlnet.state_dict()
    if names != "diffusers":
        prefix = "" if "bare" in names else "control_model."
        tensors = {prefix + name: tensor for name, tensor in to_ldm(controlnet, tmp_path).items()}
    if "checkpoint" in names:
        tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(1)
    torch.save({"state_dict": tensors}, tmp_path / "net.pth")
    loaded = load_controlnet(tmp_path / "net.pth")
    assert_same(loaded, controlnet)
    assert_same_output(loaded, controlnet)


def test_an_adapter_may_lie_under_its_name(adapter, tmp_path):
    """As some trainers write it, and ComfyUI reads it."""
    torch.save({"adapter": to_original(adapter), "step": 3}, tmp_path / "net.pth")
    assert_same(load_t2i_adapter(tmp_path / "net.pth"), adapter)


@pytest.mark.parametrize("names", ["diffusers", "original"])
def test_single_adapters(adapter, tmp_path, names):
    tensors = adapter.state_dict() if names == "diffusers" else to_original(adapter)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "net.safetensors")
    loaded = load_t2i_adapter(tmp_path / "net.safetensors")
    assert_same(loaded, adapter)
    assert_same_output(loaded, adapter)


def test_either_is_known_by_its_file_and_comes_in_the_dtype_asked_for(sd1, tmp_path):
    ControlNetModel.from_unet(sd1.unet).save_pretrained(tmp_path / "controlnet")
    T2IAdapter(channels=[32, 64, 64]).save_pretrained(tmp_path / "adapter")
    with torch.inference_mode():
        nets = [load_control(tmp_path / name, dtype=torch.bfloat16) for name in ("controlnet", "adapter")]
    assert [type(net) for net in nets] == [ControlNetModel, T2IAdapter]
    for net in nets:
        assert {parameter.dtype for parameter in net.parameters()} == {torch.bfloat16}
        assert not any(parameter.is_inference() for parameter in net.parameters())
    with pytest.raises(CheckpointError, match=r"Got a T2I-Adapter.*Expected a ControlNet"):
        load_controlnet(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lora_controlnet", "input_blocks.0.0.up"], "ControlNet-LoRA"),
        (["controlnet_cond_embedding.conv_in.weight", "control_add_embedding.linear_1.weight"], "another kind"),
        (["controlnet_blocks.0.weight"], "another kind"),
        (["model.diffusion_model.x", "joint_blocks.0.x"], "Stable Diffusion 3"),
        (["anything"], "not known"),
        (["input_hint_block.0.weight"], "layout is not known"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, names, message):
    save_file({name: torch.zeros(2, 2) for name in names}, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match=f"{message}.*ControlNet or T2I-Adapter of Stable Diffusion 1.x"):
        load_control(tmp_path / "net.safetensors")


def test_adapters_of_odd_inputs_are_refused(tmp_path):
    T2IAdapter(channels=[32, 64, 64], in_channels=2).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="takes 128 channels"):
        load_control(tmp_path / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "a UNet2DConditionModel"),
        ({"_class_name": "ControlNetModel", "addition_embed_type": "text"}, "addition_embed_type 'text'"),
        ({"_class_name": "ControlNetModel", "down_block_types": ["DownBlock3D"]}, "a DownBlock3D"),
        ({}, "does not say its class"),
    ],
)
def test_other_folders_are_refused_by_name(tmp_path, config, message):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        load_control(tmp_path)


def test_what_is_not_there_or_does_not_fit_is_said(sd1, tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_control(tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError, match=r"without config\.json"):
        load_control(tmp_path)
    tensors = ControlNetModel.from_unet(sd1.unet).state_dict()
    del tensors["controlnet_down_blocks.1.bias"]
    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match=r"controlnet_down_blocks\.1\.bias is missing"):
        load_control(tmp_path / "net.safetensors")
