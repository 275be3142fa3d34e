"""Reads a CLIP from one file, under transformers' names or under OpenAI's, which OpenCLIP uses too.

A file holds no config, so it is inferred from the shapes. They do not show the activation: OpenAI's three sizes of
towers get quick_gelu, as OpenAI trained them, and all others get gelu, as OpenCLIP trains. A folder states it in its
config.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from .ldm_configs import count_parts
from .weight_files import open_weights

TOWERS = ("text_model.", "vision_model.", "text_projection.", "visual_projection.", "logit_scale")
# Width and patch size of ViT-B/32, ViT-B/16 and ViT-L/14; of the text towers that go with them.
OPENAI_VISION, OPENAI_TEXT = {(768, 32), (768, 16), (1024, 14)}, {512, 768}
# Channels of a head: OpenAI's and most others', and those of ViT-H, ViT-g and ViT-bigG.
HEAD_SIZES, HEAD_SIZE = {1280: 80, 1408: 88, 1664: 104}, 64
ORIGINAL_MARK = "visual.transformer.resblocks.0.attn.in_proj_weight"
RENAMED = {
    r"\.resblocks\.": ".layers.",
    r"\.attn\.out_proj\.": ".self_attn.out_proj.",
    r"\.ln_([12])\.": r".layer_norm\1.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
    r"^visual\.transformer\.": "vision_model.encoder.",
    r"^transformer\.": "text_model.encoder.",
    r"^visual\.class_embedding$": "vision_model.embeddings.class_embedding",
    r"^visual\.conv1\.": "vision_model.embeddings.patch_embedding.",
    r"^visual\.positional_embedding$": "vision_model.embeddings.position_embedding.weight",
    r"^visual\.ln_pre\.": "vision_model.pre_layrnorm.",
    r"^visual\.ln_post\.": "vision_model.post_layernorm.",
    r"^visual\.proj$": "visual_projection.weight",
    r"^token_embedding\.": "text_model.embeddings.token_embedding.",
    r"^positional_embedding$": "text_model.embeddings.position_embedding.weight",
    r"^ln_final\.": "text_model.final_layer_norm.",
    r"^text_projection$": "text_projection.weight",
}
TRANSPOSED = ("visual.proj", "text_projection")


def read_clip_weights(path: Path) -> dict[str, Tensor]:
    """Only the tensors of a CLIP, under transformers' names; those of the image tower alone if the file has no other.

    Raises:
        CheckpointError: the file cannot be read.
    """
    tensors = open_weights(path).read()
    if ORIGINAL_MARK in tensors:
        tensors = rename_original(tensors)
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith(TOWERS) and not name.endswith("position_ids")
    }


def rename_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames a CLIP's tensors from OpenAI's names to transformers', and splits the joint query, key and value."""
    renamed = {}
    for name, tensor in tensors.items():
        value = tensor.T.contiguous() if name in TRANSPOSED else tensor
        for old, new in RENAMED.items():
            name = re.sub(old, new, name)
        stem, joint, kind = name.partition(".attn.in_proj_")
        parts = zip("qkv", value.chunk(3), strict=True) if joint else ()
        split = {f"{stem}.self_attn.{part}_proj.{kind}": chunk.clone() for part, chunk in parts}
        renamed.update(split or {name: value})
    return renamed


def clip_config(tensors: Mapping[str, Tensor], path: Path) -> Any:
    """transformers' CLIPConfig, or CLIPVisionConfig for the image tower alone, from the shapes of `read_clip_weights`.

    Raises:
        CheckpointError: there is no image tower, or it lacks its projection.
    """
    from transformers import CLIPConfig, CLIPVisionConfig

    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        vision = vision_settings(shapes)
        if "text_projection.weight" not in shapes:
            return CLIPVisionConfig(**vision)
        return CLIPConfig(
            vision_config=vision, text_config=text_settings(shapes), projection_dim=vision["projection_dim"]
        )
    except KeyError as error:
        raise CheckpointError(
            got=f"{path} without {error.args[0]}",
            expected="a CLIP with its image tower and projection, under transformers' or OpenAI's names",
            mend="Take another file, or the folder of this CLIP in transformers' format.",
        ) from error


def vision_settings(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The settings of the image tower."""
    width, _, _, patch = shapes["vision_model.embeddings.patch_embedding.weight"]
    # One position is the class token's.
    patches = shapes["vision_model.embeddings.position_embedding.weight"][0] - 1
    return {
        **tower_settings(shapes, "vision_model.", width),
        "projection_dim": shapes["visual_projection.weight"][0],
        "patch_size": patch,
        "image_size": patch * round(patches**0.5),
        "hidden_act": "quick_gelu" if (width, patch) in OPENAI_VISION else "gelu",
    }


def text_settings(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The settings of the text tower."""
    vocab_size, width = shapes["text_model.embeddings.token_embedding.weight"]
    vision = vision_settings(shapes)
    return {
        **tower_settings(shapes, "text_model.", width),
        "projection_dim": shapes["text_projection.weight"][0],
        "vocab_size": vocab_size,
        "max_position_embeddings": shapes["text_model.embeddings.position_embedding.weight"][0],
        "hidden_act": vision["hidden_act"] if width in OPENAI_TEXT else "gelu",
        # A CLIP vocabulary ends with <|startoftext|> and <|endoftext|>.
        "bos_token_id": vocab_size - 2,
        "eos_token_id": vocab_size - 1,
        "pad_token_id": vocab_size - 1,
    }


def tower_settings(shapes: Mapping[str, tuple[int, ...]], tower: str, width: int) -> dict[str, Any]:
    """The settings that both towers have."""
    return {
        "hidden_size": width,
        "intermediate_size": shapes[f"{tower}encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": count_parts(shapes, f"{tower}encoder.layers."),
        "num_attention_heads": max(1, width // HEAD_SIZES.get(width, HEAD_SIZE)),
    }
