"""The diffusers configs of a single-file checkpoint, inferred from the shapes of its tensors.

A single file holds no config. The family determines what shapes do not show (models/families.py). All families have 32
groups in every group norm, and heads of 64 channels in the text encoders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..models.families import SD2, TEXT_TIME, count_heads, find_family

Shapes = Mapping[str, tuple[int, ...]]
# The width of each sinusoid of SDXL's six sizes, in all its configs.
SIZE_EMBEDDING = 256
# The first of the layers that take the added conditions in.
ADDED = "label_emb.0.0.weight"


class Level(NamedTuple):
    """One resolution of the UNet: its channels, its ResNets, and the transformer blocks after each; 0 for none."""

    width: int
    layers: int
    depth: int

    @property
    def attends(self) -> bool:
        """Whether it attends to the text."""
        return self.depth > 0


def unet_config(shapes: Shapes, *, v_prediction: bool = False) -> dict[str, Any]:
    """The config of a UNet2DConditionModel from the shapes under `model.diffusion_model.`, the prefix taken off.

    Args:
        v_prediction: whether it predicts velocity; such models attend in float32, except SDXL's.

    Raises:
        KeyError: a tensor that every such UNet has is missing.
        ValueError: the levels differ in their number of layers, or the coarsest and the middle in their depth.
    """
    levels = read_levels(shapes)
    if len({level.layers for level in levels}) > 1:
        raise ValueError(f"levels of {[level.layers for level in levels]} layers")
    first_attention = next(name for name in shapes if name.endswith(".proj_in.weight"))
    linear = len(shapes[first_attention]) == 2
    attends, widths = [level.attends for level in levels], [level.width for level in levels]
    added = added_settings(shapes)
    family = find_family({"use_linear_projection": linear, **added})
    prediction = "v_prediction" if v_prediction else family.usual_prediction
    return {
        "sample_size": family.predictions.get(prediction, family.predictions[family.usual_prediction]),
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        "block_out_channels": widths,
        "layers_per_block": levels[0].layers,
        "cross_attention_dim": shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
        "attention_head_dim": family.attention_heads(widths),
        "use_linear_projection": linear,
        "upcast_attention": v_prediction and family.upcast_velocity,
        **added,
        **depth_settings(levels, count_depth(shapes, "middle_block.1.")),
    }


def added_settings(shapes: Shapes, *, first: str = ADDED) -> dict[str, Any]:
    """The settings of a UNet or ControlNet that is told a pooled text and sizes; none for others.

    Args:
        first: the name of the first layer's weight that takes them in.
    """
    if first not in shapes:
        return {}
    return {
        "addition_embed_type": TEXT_TIME,
        "addition_time_embed_dim": SIZE_EMBEDDING,
        "projection_class_embeddings_input_dim": shapes[first][1],
    }


def depth_settings(levels: Sequence[Level], middle: int) -> dict[str, Any]:
    """The transformer blocks at each level, the finest first; none where there is one everywhere.

    Args:
        middle: how many are in the middle; diffusers has no setting for it, but takes the coarsest level's.

    Raises:
        ValueError: the coarsest level has another number.
    """
    depths = [level.depth or 1 for level in levels[:-1]] + [middle]
    if levels[-1].depth not in (0, middle):
        raise ValueError(f"{levels[-1].depth} transformer blocks at the coarsest level and {middle} in the middle")
    return {} if set(depths) == {1} else {"transformer_layers_per_block": depths}


def read_levels(shapes: Shapes) -> list[Level]:
    """Walks through the input blocks; each downsampler ends a level.

    Raises:
        ValueError: the transformers of one level differ in their depth.
    """
    levels = [Level(0, 0, 0)]
    for index in range(1, count_parts(shapes, "input_blocks.")):
        if f"input_blocks.{index}.0.op.weight" in shapes:
            levels.append(Level(0, 0, 0))
            continue
        width = shapes[f"input_blocks.{index}.0.in_layers.2.weight"][0]
        depth, level = count_depth(shapes, f"input_blocks.{index}.1."), levels[-1]
        if level.depth and depth not in (0, level.depth):
            raise ValueError(f"a level of {level.depth} and {depth} transformer blocks")
        levels[-1] = Level(width, level.layers + 1, level.depth or depth)
    return levels


def vae_config(shapes: Shapes, *, scaling_factor: float) -> dict[str, Any]:
    """The config of an AutoencoderKL from the shapes under `first_stage_model.`, the prefix taken off.

    Args:
        scaling_factor: the family's; autoencoders of the same shapes have different ones.

    Raises:
        KeyError: a tensor that every such VAE has is missing.
    """
    levels = count_parts(shapes, "encoder.down.")
    return {
        "sample_size": 512,
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)],
        "layers_per_block": count_parts(shapes, "encoder.down.0.block."),
        "latent_channels": shapes["post_quant_conv.weight"][1],
        "scaling_factor": scaling_factor,
    }


def diffusers_vae_config(shapes: Shapes, *, scaling_factor: float) -> dict[str, Any]:
    """The config of an AutoencoderKL from the shapes of its tensors in diffusers' names.

    Raises:
        KeyError: a tensor that every such VAE has is missing.
    """
    levels = range(count_parts(shapes, "encoder.down_blocks."))
    return {
        "sample_size": 512,
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "down_block_types": ["DownEncoderBlock2D"] * len(levels),
        "up_block_types": ["UpDecoderBlock2D"] * len(levels),
        "block_out_channels": [shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0] for level in levels],
        "layers_per_block": count_parts(shapes, "encoder.down_blocks.0.resnets."),
        "latent_channels": shapes["post_quant_conv.weight"][1],
        "scaling_factor": scaling_factor,
    }


def clip_text_config(shapes: Shapes) -> dict[str, Any]:
    """The config of the CLIPTextModel of 1.x, and of XL's first, from its shapes.

    Args:
        shapes: in transformers' names without `text_model.`.

    Raises:
        KeyError: a tensor that every such text encoder has is missing.
    """
    vocab_size, width = shapes["embeddings.token_embedding.weight"]
    return _text_config(
        vocab_size=vocab_size,
        width=width,
        positions=shapes["embeddings.position_embedding.weight"][0],
        inner_width=shapes["encoder.layers.0.mlp.fc1.weight"][0],
        layers=count_parts(shapes, "encoder.layers."),
        activation="quick_gelu",
    )


def open_clip_text_config(shapes: Shapes) -> dict[str, Any]:
    """The config of the CLIPTextModel of 2.x from the shapes under `cond_stage_model.model.`, the prefix taken off.

    The last layer is left out: `last_hidden_state` is then the penultimate layer, normed, as 2.x was trained with.

    Raises:
        KeyError: a tensor that every such text encoder has is missing.
    """
    vocab_size, width = shapes["token_embedding.weight"]
    layers = count_parts(shapes, "transformer.resblocks.")
    return _text_config(
        vocab_size=vocab_size,
        width=width,
        positions=shapes["positional_embedding"][0],
        inner_width=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        # Files converted back from a diffusers folder hold 23 layers to begin with.
        layers=min(layers, SD2.text_layers) if width == SD2.text_width else layers - 1,
        activation="gelu",
    )


def projected_text_config(shapes: Shapes) -> dict[str, Any]:
    """The config of XL's second text encoder, a CLIPTextModelWithProjection, from its shapes in transformers' names.

    Raises:
        KeyError: a tensor that every such text encoder has is missing.
    """
    own = clip_text_config({name.removeprefix("text_model."): shape for name, shape in shapes.items()})
    return {**own, "projection_dim": shapes["text_projection.weight"][0], "hidden_act": "gelu"}


def _text_config(
    *, vocab_size: int, width: int, positions: int, inner_width: int, layers: int, activation: str
) -> dict[str, Any]:
    return {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "projection_dim": width,
        "max_position_embeddings": positions,
        "intermediate_size": inner_width,
        "num_hidden_layers": layers,
        "num_attention_heads": count_heads(width),
        "hidden_act": activation,
        # A CLIP vocabulary ends with <|startoftext|> and <|endoftext|>.
        "bos_token_id": vocab_size - 2,
        "eos_token_id": vocab_size - 1,
    }


def count_depth(names: Iterable[str], prefix: str) -> int:
    """How many transformer blocks there are under a transformer's prefix."""
    return count_parts((name for name in names if name.endswith(".attn1.to_q.weight")), f"{prefix}transformer_blocks.")


def count_parts(names: Iterable[str], prefix: str) -> int:
    """How many numbered parts there are under a prefix: 3 for names that start with `prefix` and 0., 1. or 2."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({match[1] for name in names if (match := pattern.match(name))})
