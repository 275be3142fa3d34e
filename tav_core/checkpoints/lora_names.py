"""Which layer of a model a name in a LoRA file means: every trainer writes it in another way.

unet.down_blocks.0.attentions.0.proj_in                 diffusers' name behind the part
lora_unet_down_blocks_0_attentions_0_proj_in            kohya's: the same with _ for dots
lora_unet_input_blocks_1_1_proj_in                      LDM's name, which kohya writes for SDXL
diffusion_model.input_blocks.1.1.proj_in                ComfyUI's own
unet.down_blocks.0...attn1.processor.to_q_lora          diffusers' oldest
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from .load import Checkpoint

# What names begin with, the longer ones first, and the part of a checkpoint that their layers are in.
PREFIXES = {
    "unet.base_model.model.": "unet",
    "base_model.model.": "unet",
    "model.diffusion_model.": "unet",
    "diffusion_model.": "unet",
    "lora_unet_": "unet",
    "lycoris_": "unet",
    "unet.": "unet",
    "text_encoders.clip_l.transformer.": "text_encoder",
    "text_encoders.clip_h.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2",
    "lora_te2_": "text_encoder_2",
    "text_encoder_2.": "text_encoder_2",
    "lora_te1_": "text_encoder",
    "lora_te_": "text_encoder",
    "text_encoder.": "text_encoder",
}
# diffusers' parts of a residual block, and LDM's names of them.
RESNET = {
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE_BLOCKS = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
# The names of the text encoder's projections in diffusers' oldest files.
OLD_TEXT = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def split_name(name: str) -> tuple[str, str]:
    """The part of a checkpoint and the layer in it, in letters and _ alone, of a name in a file."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    # Files with the UNet's layers alone may say no part.
    return PREFIXES.get(prefix, "unet"), plain(name.removeprefix(prefix))


def plain(name: str) -> str:
    """A layer's name with what differs among trainers taken away."""
    name = name.replace(".", "_").removeprefix("text_model_").removesuffix("_lora")
    return name.replace("_processor_to_", "_to_")


def list_layers(checkpoint: Checkpoint) -> dict[tuple[str, str], str]:
    """The layers of a checkpoint that a LoRA can change: part and plain name, by every name, to the layer's own."""
    found: dict[tuple[str, str], str] = {}
    ldm_names = ldm_places(checkpoint.unet)
    for part, module in parts_of(checkpoint).items():
        places = ldm_names if part == "unet" else {}
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                found |= {(part, plain(other)): name for other in other_names(name, places)}
    return found


def parts_of(checkpoint: Checkpoint) -> dict[str, nn.Module]:
    """The modules that a LoRA can change, by their names in a checkpoint."""
    parts: Mapping[str, Any] = {part: getattr(checkpoint, part) for part in dict.fromkeys(PREFIXES.values())}
    return {part: module for part, module in parts.items() if module is not None}


def other_names(name: str, places: Mapping[str, str]) -> Iterator[str]:
    """A layer's own name, and the others under which files know it.

    Args:
        places: of `ldm_places`, for a layer of the UNet.
    """
    yield name
    # The oldest files leave the 0 out.
    yield re.sub(r"to_out\.0$", "to_out", name)
    owner, _, last = name.rpartition(".")
    if last in OLD_TEXT:
        yield f"{owner}.{OLD_TEXT[last]}"
    for place in places:
        if name == place or name.startswith(f"{place}."):
            yield places[place] + ldm_rest(name.removeprefix(place), in_resnet=".resnets." in place)


def ldm_rest(rest: str, *, in_resnet: bool) -> str:
    """LDM's name of a layer within its block: only those of residual blocks differ."""
    return f".{RESNET[rest[1:]]}" if in_resnet else rest


def ldm_places(unet: UNet2DConditionModel | Any) -> dict[str, str]:
    """diffusers' places of a UNet's blocks, and LDM's, which number them through."""
    places, index = dict(OUTSIDE_BLOCKS), 1
    for level, block in enumerate(unet.down_blocks):
        for layer in range(len(block.resnets)):
            places[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{index}.0"
            places[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{index}.1"
            index += 1
        if block.downsamplers:
            places[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{index}.0.op"
            index += 1
    index = 0
    for level, block in enumerate(unet.up_blocks):
        for layer in range(len(block.resnets)):
            places[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{index}.0"
            places[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{index}.1"
            index += 1
        if block.upsamplers:
            behind = 2 if hasattr(block, "attentions") else 1
            places[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{index - 1}.{behind}.conv"
    return places
