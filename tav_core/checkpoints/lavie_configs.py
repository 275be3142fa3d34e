"""Which of LaVie's models a file holds, and the config of its UNet, from the names and shapes of its tensors.

The files hold no config. 32 groups in every group norm, and what else shapes do not show, are as published; a bias
table shows the number of heads of its layer, and where there is none, there are 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..models.families import SD1
from .ldm_configs import count_parts

# The names of the published files.
PUBLISHED = {"base": "lavie_base.pt", "interpolation": "lavie_interpolation.pt", "super_resolution": "lavie_vsr.pt"}
Shapes = Mapping[str, tuple[int, ...]]
TABLE = "time_rel_pos_bias.relative_attention_bias.weight"
MARK = re.compile(r"\.(attn_temp|attn_temporal)\.to_q\.weight$")


def find_lavie_kind(shapes: Shapes) -> str | None:
    """ "base", "interpolation" or "super_resolution"; None for a file of something else.

    Interpolation has exactly the names of a UNet that the original Tune-A-Video saved, and twice the input channels.
    """
    names = [name.removeprefix("module.") for name in shapes]
    bare = dict(zip(names, shapes.values(), strict=True))
    if "conv_in.weight" not in bare or not any(MARK.search(name) for name in names):
        return None
    if any(name.startswith("down_temporal_blocks.") for name in names):
        return "super_resolution"
    if any(name.endswith(TABLE) for name in names):
        return "base"
    twice = 2 * bare["conv_out.weight"][0] if "conv_out.weight" in bare else None
    return "interpolation" if bare["conv_in.weight"][1] == twice else None


def lavie_unet_config(shapes: Shapes) -> dict[str, Any]:
    """The config of the diffusers UNet2DConditionModel in one of LaVie's models.

    Raises:
        CheckpointError: a tensor that every such UNet has is missing.
    """
    bare = {name.removeprefix("module."): shape for name, shape in shapes.items()}
    try:
        return read_config(bare)
    except (KeyError, StopIteration, IndexError) as error:
        from ..errors import CheckpointError

        raise CheckpointError(
            got=f"a video UNet without {error}",
            expected="every tensor of one of LaVie's UNets",
            mend="The file is cut short: get it again.",
        ) from error


def read_config(shapes: Shapes) -> dict[str, Any]:
    """The config, from complete shapes."""
    levels = range(count_parts(shapes, "down_blocks."))
    widths = [shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in levels]
    attends = [f"down_blocks.{level}.attentions.0.norm.weight" in shapes for level in levels]
    text_width = next(shape[1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight"))
    config = {
        "in_channels": shapes["conv_in.weight"][1],
        "out_channels": shapes["conv_out.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": count_parts(shapes, "down_blocks.0.resnets."),
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        "cross_attention_dim": text_width,
        "attention_head_dim": [count_heads(shapes, level) for level in levels],
        "use_linear_projection": len(next(s for n, s in shapes.items() if n.endswith(".proj_in.weight"))) == 2,
        "only_cross_attention": [is_cross(shapes, level, text_width) for level in levels],
    }
    classes = shapes.get("class_embedding.weight")
    return config if classes is None else {**config, "num_class_embeds": classes[0]}


def count_heads(shapes: Shapes, level: int) -> int:
    """The number of heads at a level, 8 where no bias table shows it. The deepest level's is the middle block's too."""
    last = count_parts(shapes, "down_blocks.") - 1
    places = [f"down_blocks.{level}.", *(["mid_block."] if level == last else [])]
    tables = (s[1] for place in places for n, s in shapes.items() if n.startswith(place) and n.endswith(TABLE))
    heads = next(tables, SD1.num_heads)
    assert heads is not None, "Stable Diffusion 1.x has a fixed number of heads"
    return heads


def is_cross(shapes: Shapes, level: int, text_width: int) -> bool:
    """Whether the first attention at a level attends to the text.

    Where text and tokens have one width, shapes do not tell; the published upscaler attends to itself there.
    """
    prefix = f"down_blocks.{level}.attentions.0.transformer_blocks.0.attn1."
    if f"{prefix}to_k.weight" not in shapes:
        return False
    width, keys = shapes[f"{prefix}to_q.weight"][1], shapes[f"{prefix}to_k.weight"][1]
    return keys == text_width and keys != width
