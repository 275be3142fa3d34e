"""LaVie's goldens: the original's outputs on tiny weights, and the UNets that they were made with."""

from __future__ import annotations

import json
from functools import lru_cache

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from tav_core.checkpoints.lavie import KINDS, own_names
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.models.lavie.schedules import lavie_schedule
from tests.conftest import GOLDENS

FOLDER = GOLDENS / "lavie"
# Settings of the original's UNet that diffusers' has, too.
SETTINGS = ("in_channels", "out_channels", "block_out_channels", "layers_per_block", "norm_num_groups")
SETTINGS += ("cross_attention_dim", "attention_head_dim", "only_cross_attention", "use_linear_projection")
SETTINGS += ("num_class_embeds", "down_block_types", "up_block_types")


def golden(kind, name):
    """One file of the original's outputs."""
    return load_file(FOLDER / kind / f"{name}.safetensors")


@lru_cache
def golden_meta(kind):
    return json.loads((FOLDER / kind / "meta.json").read_text())


def real_shapes(kind):
    """Names and shapes of the published checkpoint's tensors."""
    return {name: tuple(s) for name, s in json.loads((FOLDER / kind / "real_keys.json").read_text())["keys"].items()}


def golden_weights(kind):
    """The UNet's weights under the original's names, float32."""
    return {name: tensor.float() for name, tensor in golden(kind, "unet").items()}


def golden_config(kind):
    """The config of the goldens' 2-D UNet."""
    given = golden_meta(kind)["unet_config"]
    config = {name: given[name] for name in SETTINGS if name in given}
    for name in ("down_block_types", "up_block_types"):
        config[name] = [block.replace("3D", "2D") for block in given[name]]
    return config


@lru_cache
def golden_unet(kind):
    """The goldens' UNet; tests must not change it."""
    unet = KINDS[kind].inflate(UNet2DConditionModel.from_config(golden_config(kind)))
    unet.load_state_dict(own_names(golden_weights(kind), FOLDER))
    return unet.eval().requires_grad_(False)


def golden_denoiser(kind):
    return UNetDenoiser(unet=golden_unet(kind), schedule=lavie_schedule(kind))


def forwards(kind):
    """The names of the goldens' forward passes, such as "f5.7x9.t37.out"."""
    return [name for name in golden(kind, "forward") if name.startswith("f") and name.endswith(".out")]


def split_name(name):
    """Of a forward pass, the start of its inputs' names and its timestep."""
    frames, size, timestep, *_ = name.split(".")
    return f"{frames}.{size}", torch.tensor(int(timestep[1:]))


def small_lavie(kind, *, text_width=64, seed=0):
    """A tiny LaVie of Stable Diffusion's layout, 8 heads and 32 groups, with random weights."""
    channels = {"base": 4, "interpolation": 8, "super_resolution": 7}[kind]
    more = {"num_class_embeds": 1000, "use_linear_projection": True} if kind == "super_resolution" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            in_channels=channels,
            out_channels=4,
            block_out_channels=(32, 64),
            layers_per_block=1,
            cross_attention_dim=text_width,
            attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            **more,
        )
        video = KINDS[kind].inflate(unet)
        # What starts at zero would add nothing.
        for name, parameter in video.named_parameters():
            if "temp" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    return video.eval().requires_grad_(False)


def save_small_lavie(kind, folder):
    """Writes a tiny LaVie under the published file's name; returns its path."""
    path = folder / KINDS[kind].file
    torch.save({"ema": small_lavie(kind).state_dict()}, path)
    return path
