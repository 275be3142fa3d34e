"""tav_core/models/lavie/{temporal_conv,upscaler}.py against LaVie's super-resolution itself."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from diffusers import UNet2DConditionModel
from einops import rearrange
from safetensors.torch import load_file

from tav_core.errors import ConfigError
from tav_core.layouts import fold, unfold
from tav_core.models.conditioning import Conditioning
from tav_core.models.inflation import FrameCount
from tav_core.models.lavie.temporal_conv import TemporalModule
from tav_core.models.lavie.upscaler import UpscalerUNet
from tests.tav_core.lavie_models import (
    FOLDER,
    forwards,
    golden,
    golden_config,
    golden_meta,
    golden_unet,
    split_name,
)

KIND = "super_resolution"


@pytest.fixture(scope="module")
def unet():
    return golden_unet(KIND)


@pytest.fixture(scope="module")
def pieces():
    return golden(KIND, "modules")


def transformer_of(unet):
    return unet.get_submodule(golden_meta(KIND)["modules"]["transformer"])


def module_of(unet):
    return unet.get_submodule(golden_meta(KIND)["modules"]["temporal_module"])


@torch.no_grad()
def test_forward_matches_the_original(unet, close):
    tensors = golden(KIND, "forward")
    for name in forwards(KIND):
        start, timestep = split_name(name)
        level = int(name.split(".")[3].removeprefix("noise"))
        context = Conditioning(
            text=tensors["ctx.cond"], channels=tensors[f"{start}.low_res"], noise_level=torch.tensor([level])
        )
        close(unet(tensors[f"{start}.in"], timestep, context), tensors[name], 5e-5, name)


@pytest.mark.parametrize("num_frames", [1, 2, 8])
@torch.no_grad()
def test_modules_match_the_original(unet, pieces, num_frames, close):
    unet.frames.value, unet.frames.images = num_frames, 0
    transformer, name = transformer_of(unet), f"f{num_frames}"

    resblock = transformer.resblock_temporal(fold(pieces[f"resblock_temporal.{name}.in"]))
    close(unfold(resblock, num_frames), pieces[f"resblock_temporal.{name}.out"], 5e-6)

    attention = transformer.transformer_blocks[0].attn_temp
    close(attention(pieces[f"attn_temporal.{name}.in"]), pieces[f"attn_temporal.{name}.out"], 5e-6)

    module, embedding = module_of(unet), pieces["temb"].expand(num_frames, -1)
    folded = fold(pieces[f"temporal_module.{name}.in"])
    along = module.resblocks_3d_t(folded, embedding)
    close(unfold(along, num_frames), pieces[f"temporal_module.{name}.conv_t"], 5e-6)
    close(unfold(module.resblocks_3d_s(along, embedding), num_frames), pieces[f"temporal_module.{name}.conv_s"], 5e-6)
    close(unfold(module(folded, embedding), num_frames), pieces[f"temporal_module.{name}.out"], 5e-6)


@torch.no_grad()
def test_a_block_matches_the_original(unet, pieces, close):
    unet.frames.value, unet.frames.images = 5, 0
    block = transformer_of(unet).transformer_blocks[0]
    close(block(pieces["block.in"], encoder_hidden_states=pieces["block.ctx"]), pieces["block.out"], 5e-6)


@torch.no_grad()
def test_small_inputs_show_that_each_norm_has_its_own_epsilon(unet, pieces, close):
    unet.frames.value, unet.frames.images = 3, 0
    folded, embedding = fold(pieces["eps.x"]), pieces["eps.emb"].expand(3, -1)
    context, transformer = pieces["eps.ctx"].expand(3, -1, -1), unet.mid_block.attentions[0]
    (out,) = transformer(folded, encoder_hidden_states=context, return_dict=False)
    close(unfold(out, 3), pieces["eps.transformer"], 5e-6)
    close(unfold(transformer.resblock_temporal(folded), 3), pieces["eps.resblock_temporal"], 5e-6)
    close(unfold(unet.mid_block.resnets[0](folded, embedding), 3), pieces["eps.resnet"], 5e-6)
    close(unfold(unet.mid_temporal_block(folded, embedding), 3), pieces["eps.temporal_module"], 5e-6)


@torch.no_grad()
def test_a_wider_module_has_32_groups_too(pieces, close):
    weights = {name: t.float() for name, t in load_file(FOLDER / KIND / "module64.safetensors").items()}
    frames = FrameCount()
    module = TemporalModule(64, frames=frames, embedding=48)
    unet = UpscalerUNet.from_2d(UNet2DConditionModel.from_config(golden_config(KIND)))
    # Group norms of the ResNet within frames span the clip, as in the UNet that holds the module.
    unet.extra, unet.frames = module, frames
    unet.set_modes(**unet.modes)
    module.load_state_dict(weights)
    for num_frames in (1, 3, 8):
        frames.value, name = num_frames, f"module64.f{num_frames}"
        embedding = pieces[f"{name}.temb"].repeat_interleave(num_frames, dim=0)
        got = module(fold(pieces[f"{name}.in"]), embedding)
        close(unfold(got, num_frames), pieces[f"{name}.out"], 5e-6)


@torch.no_grad()
def test_untrained_modules_leave_single_frames_to_the_2d_upscaler(close):
    plain = UNet2DConditionModel.from_config(golden_config(KIND)).eval()
    video = UpscalerUNet.from_2d(plain)
    for part in video.modules():
        if hasattr(part, "resblock_temporal"):
            torch.nn.init.zeros_(part.resblock_temporal.conv2.weight)
            torch.nn.init.zeros_(part.resblock_temporal.conv2.bias)
    latents, low, text = torch.randn(1, 4, 1, 8, 8), torch.randn(1, 3, 1, 8, 8), torch.randn(1, 5, 24)
    context = Conditioning(text=text, channels=low, noise_level=torch.tensor([50]))
    joined = rearrange(torch.cat([latents, low], dim=1), "b c 1 h w -> b c h w")
    expected = plain(joined, 37, text, class_labels=torch.tensor([50])).sample
    close(video(latents, 37, context)[:, :, 0], expected, 1e-5)


@torch.no_grad()
def test_a_copy_has_modules_of_its_own(unet):
    tensors = golden(KIND, "forward")
    context = Conditioning(text=tensors["ctx.cond"], channels=tensors["f5.7x9.low_res"], noise_level=torch.tensor([50]))
    inputs = tensors["f5.7x9.in"], 501, context
    expected, twin = unet(*inputs), copy.deepcopy(unet)
    assert torch.equal(twin(*inputs), expected)
    assert torch.equal(pickle.loads(pickle.dumps(unet))(*inputs), expected)
    torch.nn.init.zeros_(twin.up_temporal_blocks[1].shift_conv.weight)
    assert not torch.equal(twin(*inputs), expected)
    assert torch.equal(unet(*inputs), expected)


def test_a_noise_level_is_needed(unet):
    context = Conditioning(text=torch.zeros(1, 5, 24), channels=torch.zeros(1, 3, 2, 8, 8))
    with pytest.raises(ConfigError, match="noise_level"):
        unet(torch.zeros(1, 4, 2, 8, 8), 1, context)
