"""A model in one file: the layout of CompVis' and Stability's own (LDM) checkpoints, written from diffusers' parts.

    model.diffusion_model.*                  UNet
    first_stage_model.*                      VAE
    cond_stage_model.*                       text encoder
    conditioner.embedders.0.*, .1.*          the two text encoders of Stable Diffusion XL

The library reads this layout with diffusers' maps; here it is written from the layout itself, so each checks the other.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_to_ldm(unet: Any) -> dict[str, Tensor]:
    """The UNet's tensors, or those of any mapping named alike, in the single-file layout."""
    layers = unet.config.layers_per_block

    def rename(name: str) -> str:
        if end := next((end for end in ENDS if name.startswith(end + ".")), None):
            return name.replace(end, ENDS[end], 1)
        if "resnets" in name:
            for old, new in RESNET.items():
                name = name.replace(f".{old}.", f".{new}.")
        kind, block, part, index, rest = re.fullmatch(
            r"(down|mid|up)_blocks?\.?(\d*)\.(\w+)\.(\d+)\.(.+)", name
        ).groups()
        place = 1 if part == "attentions" else 0
        if kind == "mid":
            return f"middle_block.{place or 2 * int(index)}.{rest}"
        first = int(block) * (layers + 1)
        if kind == "down" and part == "downsamplers":
            return f"input_blocks.{first + layers + 1}.0.op.{rest.removeprefix('conv.')}"
        if kind == "down":
            return f"input_blocks.{1 + first + int(index)}.{place}.{rest}"
        if part == "upsamplers":
            attends = unet.config.up_block_types[int(block)].startswith("Cross")
            return f"output_blocks.{first + layers}.{2 if attends else 1}.{rest}"
        return f"output_blocks.{first + int(index)}.{place}.{rest}"

    return {rename(name): tensor for name, tensor in unet.state_dict().items()}


def vae_to_ldm(vae: Any) -> dict[str, Tensor]:
    last = len(vae.config.block_out_channels) - 1

    def rename(name: str) -> str:
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{last - int(m[1])}.block", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", name)
        for old, new in VAE_ATTENTION.items():
            name = name.replace(f".attn_1.{old}.", f".attn_1.{new}.")
        return name

    renamed = {rename(name): tensor for name, tensor in vae.state_dict().items()}
    # The layout keeps the attention's projections as 1x1 convolutions.
    return {n: t[:, :, None, None] if ".attn_1." in n and t.ndim == 2 else t for n, t in renamed.items()}


def clip_to_ldm(text_encoder: Any) -> dict[str, Tensor]:
    bare = {name.removeprefix("text_model."): tensor for name, tensor in text_encoder.state_dict().items()}
    return {f"transformer.text_model.{name}": tensor for name, tensor in bare.items()}


def open_clip_to_ldm(text_encoder: Any) -> dict[str, Tensor]:
    """OpenCLIP's names, its joint q, k, v projection, and the last layer that 2.x does not use but XL's pooled text."""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in text_encoder.state_dict().items()}
    layers, width = text_encoder.config.num_hidden_layers, text_encoder.config.hidden_size
    projected = "text_projection.weight" in bare
    tensors = {
        "model.positional_embedding": bare["embeddings.position_embedding.weight"],
        "model.token_embedding.weight": bare["embeddings.token_embedding.weight"],
        "model.ln_final.weight": bare["final_layer_norm.weight"],
        "model.ln_final.bias": bare["final_layer_norm.bias"],
        "model.text_projection": bare["text_projection.weight"].T if projected else torch.randn(width, 2 * width),
        "model.logit_scale": torch.tensor(4.6),
    }
    parts = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    for layer in range(layers):
        old, new = f"encoder.layers.{layer}", f"model.transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            tensors |= {f"{new}.{ldm}.{kind}": bare[f"{old}.{name}.{kind}"] for name, ldm in parts.items()}
            joint = [bare[f"{old}.self_attn.{each}_proj.{kind}"] for each in "qkv"]
            tensors[f"{new}.attn.in_proj_{kind}"] = torch.cat(joint)
    if projected:
        return tensors
    last = f"resblocks.{layers - 1}."
    unused = {n.replace(last, f"resblocks.{layers}."): torch.randn_like(t) for n, t in tensors.items() if last in n}
    return tensors | unused


def parts_to_ldm(parts: Any) -> dict[str, Tensor]:
    """The tensors of a model in this layout.

    Args:
        parts: `unet`, `vae`, `text_encoder`; of Stable Diffusion XL `text_encoder_2`, a CLIPTextModelWithProjection; of
            others `open_clip`, whether the text encoder is stored as OpenCLIP's.
    """
    tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in unet_to_ldm(parts.unet).items()}
    tensors |= {f"first_stage_model.{name}": tensor for name, tensor in vae_to_ldm(parts.vae).items()}
    if second := getattr(parts, "text_encoder_2", None):
        both = clip_to_ldm(parts.text_encoder), open_clip_to_ldm(second)
        return tensors | {
            f"conditioner.embedders.{number}.{name}": tensor
            for number, encoder in enumerate(both)
            for name, tensor in encoder.items()
        }
    text = open_clip_to_ldm if parts.open_clip else clip_to_ldm
    return tensors | {f"cond_stage_model.{name}": tensor for name, tensor in text(parts.text_encoder).items()}
