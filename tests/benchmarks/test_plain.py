"""benchmarks/plain.py: the twin that the library is timed against gives what the library and the original give."""

from __future__ import annotations

import copy

import pytest
import torch

from benchmarks.plain import PlainUNet, plain_tuning
from tav_core.models.unet import InflatedUNet
from tav_core.tuning.config import TuneConfig


@pytest.fixture
def plain(unet_2d, inflated):
    return PlainUNet(unet_2d, inflated)


@pytest.mark.parametrize(("num_frames", "size"), [(1, "8x8"), (2, "7x10"), (5, "8x12"), (8, "8x8")])
@torch.no_grad()
def test_forward_matches_the_original_and_the_library(plain, inflated, goldens, close, num_frames, size):
    tensors = goldens("unet")
    name = f"unet.f{num_frames}.{size}"
    got = plain(tensors[f"{name}.in"], 481, tensors["ctx.edit"])
    close(got, tensors[f"{name}.t481.out"], 2e-5)
    close(got, inflated(tensors[f"{name}.in"], 481, tensors["ctx.edit"]), 2e-5)


def test_the_twin_shares_the_weights_and_leaves_the_2d_model_alone(unet_2d, inflated):
    before = {name: type(module) for name, module in unet_2d.named_modules()}
    own = PlainUNet(unet_2d, inflated).unet.state_dict()
    assert {name: tensor.data_ptr() for name, tensor in own.items()} == {
        name: tensor.data_ptr() for name, tensor in inflated.state_dict().items()
    }
    assert {name: type(module) for name, module in unet_2d.named_modules()} == before


@torch.no_grad()
def test_upcast_attention_and_linear_projections(context, close):
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        upcast_attention=True,
    ).eval()
    inflated, latents = InflatedUNet.from_2d(unet, group_norm="clip"), torch.randn(1, 4, 3, 8, 8)
    close(PlainUNet(unet, inflated)(latents, 481, context), inflated(latents, 481, context), 1e-5)


def gradients(unet, latents, context):
    """Gradients of what tuning trains, by the names of the UNet's modules."""
    unet = copy.deepcopy(unet).requires_grad_(False).train()
    endings = TuneConfig().modules
    for name, module in unet.named_modules():
        if name.endswith(endings):
            module.requires_grad_(True)
    unet(latents, 481, context).square().mean().backward()
    return {name.removeprefix("unet."): p.grad for name, p in unet.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_match_the_library(plain, inflated, clip_latents, context, close, checkpointing):
    if checkpointing:
        plain.enable_gradient_checkpointing(reentrant=False)
    got, expected = gradients(plain, clip_latents, context), gradients(inflated, clip_latents, context)
    assert set(got) == set(expected)
    for name, gradient in expected.items():
        close(got[name], gradient, 1e-3, name)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_reentrant_checkpointing_leaves_the_down_blocks_without_gradients(plain, clip_latents, context):
    plain.enable_gradient_checkpointing()
    got = gradients(plain, clip_latents, context)
    assert {name.split("_")[0] for name, gradient in got.items() if gradient is None} == {"down"}
    assert {name.split("_")[0] for name, gradient in got.items() if gradient is not None} == {"mid", "up"}


def test_a_plain_step_trains_a_copy(plain, clip_latents, context):
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    step = plain_tuning(plain, clip_latents, context, dtype=torch.float32)
    losses = [step() for _ in range(2)]
    assert losses[0] > 0 and losses[0] != losses[1]
    assert all(torch.equal(before[name], tensor) for name, tensor in plain.state_dict().items())
