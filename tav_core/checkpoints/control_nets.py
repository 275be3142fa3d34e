"""ControlNets and T2I-Adapters of Stable Diffusion, loaded offline in the files that people have them in.

Both may be of 1.x, 2.x or XL.

    a diffusers folder                 config.json and weights
    one file, ControlNet               diffusers' names, or those of the original's files: `control_model.*`, or bare
    one file, T2I-Adapter              diffusers' names, or those of the original's files: `conv_in.*` and `body.*`

A single file holds no config, so it is inferred from the shapes. ControlNets are renamed by diffusers' own function; an
adapter has few names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..models.families import ANY_FAMILY, TEXT_TIME, find_family
from ..models.unsupported import BLOCK_TYPES, REFUSED_NETS, find_refused
from ..paths import check_input_path
from .build import Builder
from .ldm_configs import Level, Shapes, added_settings, count_depth, count_parts, depth_settings, read_levels
from .part_folders import open_folder, read_json
from .weight_files import open_weights

if TYPE_CHECKING:
    from diffusers import ControlNetModel, T2IAdapter

SUPPORTED = f"a ControlNet or T2I-Adapter of {ANY_FAMILY}"
CONTROLNET, ADAPTER = "ControlNetModel", "T2IAdapter"
KINDS = {CONTROLNET: "a ControlNet", ADAPTER: "a T2I-Adapter"}
LDM = "control_model."
HINT = "controlnet_cond_embedding."
# The side of the square of pixels that the shuffle at an adapter's beginning puts into one, by diffusers' type.
SHUFFLES = {"light_adapter": 8, "full_adapter": 8, "full_adapter_xl": 16}
# The names of the layers that take XL's added conditions in, in the original's files.
LDM_ADDED = {"label_emb.0.0.": "add_embedding.linear_1.", "label_emb.0.2.": "add_embedding.linear_2."}
# Of each resolution in the original's full adapters; its files number the blocks through.
BLOCKS_PER_LEVEL = 2


class Net(NamedTuple):
    """What a folder or file holds, in diffusers' names."""

    kind: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@torch.inference_mode(False)
def load_control(
    path: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> ControlNetModel | T2IAdapter:
    """Loads a frozen ControlNet or T2I-Adapter, whichever it is.

    Args:
        path: a diffusers folder, or one file: .safetensors, or .pth, .bin, .ckpt as long as they hold only tensors.
        dtype: of all weights.
        device: of all weights.

    Raises:
        CheckpointError: nothing there, damaged, would run code, neither of the two, or of another family.
    """
    path = check_input_path(path, CheckpointError)
    builder = Builder(path, dtype, device)
    try:
        net = read_folder(path) if path.is_dir() else read_file(path)
    except (KeyError, ValueError, IndexError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise not_supported(path, f"weights whose layout is not known ({error})") from error
    build = {CONTROLNET: builder.controlnet, ADAPTER: builder.adapter}[net.kind]
    return build(net.config, net.tensors)


def load_controlnet(path: str | Path, **how: Any) -> ControlNetModel:
    """Loads a ControlNet; see `load_control`.

    Raises:
        CheckpointError: it is none, or what `load_control` raises.
    """
    return _load_kind(CONTROLNET, path, how)


def load_t2i_adapter(path: str | Path, **how: Any) -> T2IAdapter:
    """Loads a T2I-Adapter; see `load_control`.

    Raises:
        CheckpointError: it is none, or what `load_control` raises.
    """
    return _load_kind(ADAPTER, path, how)


def _load_kind(kind: str, path: str | Path, how: Mapping[str, Any]) -> Any:
    net = load_control(path, **how)
    if type(net).__name__ != kind:
        raise CheckpointError(
            got=f"{KINDS[type(net).__name__]}: {path}", expected=KINDS[kind], mend="Give another file, or load_control."
        )
    return net


def not_supported(path: Path, what: str, mend: str = "Choose another.") -> CheckpointError:
    """The error for anything that is not supported."""
    return CheckpointError(got=f"{what}: {path}", expected=SUPPORTED, mend=mend)


def read_folder(path: Path) -> Net:
    """A diffusers folder."""
    if not (path / "config.json").is_file():
        raise not_supported(path, "a folder without config.json", "Give the folder that holds config.json, or a file.")
    config = read_json(path / "config.json")
    kind = config.get("_class_name")
    if kind not in KINDS:
        raise not_supported(path, f"a {kind or 'model that does not say its class'}")
    if config.get("addition_embed_type") not in (None, TEXT_TIME):
        raise not_supported(path, f"{KINDS[kind]} with addition_embed_type {config['addition_embed_type']!r}")
    for block_type in config.get("down_block_types", ()):
        if block_type not in BLOCK_TYPES:
            raise not_supported(path, f"a ControlNet with a {block_type}")
    return Net(kind, config, open_folder(path).read())


def read_file(path: Path) -> Net:
    """One file of weights."""
    file = open_weights(path)
    if refused := find_refused(file.shapes, REFUSED_NETS):
        raise not_supported(path, refused.title)
    if any("input_hint_block." in name for name in file.shapes):
        tensors = controlnet_from_ldm(file.read())
    elif any(name.startswith(HINT) for name in file.shapes):
        tensors = file.read()
    elif any(name.startswith(("body.", "adapter.body.")) for name in file.shapes):
        tensors = adapter_from_original(file.read())
        return Net(ADAPTER, adapter_config(path, shapes_of(tensors)), tensors)
    else:
        refused = find_refused(file.shapes)
        raise not_supported(path, refused.title if refused else "weights of a model that is not known")
    return Net(CONTROLNET, controlnet_config(shapes_of(tensors)), tensors)


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def controlnet_from_ldm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ControlNet's tensors from the original's names to diffusers'."""
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

    prefix = LDM if any(name.startswith(LDM) for name in tensors) else ""
    bare = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    (layers,) = {level.layers for level in read_levels(shapes_of(bare))}
    converted = convert_controlnet_checkpoint(bare, {"layers_per_block": layers})
    for old, new in LDM_ADDED.items():
        converted |= {new + name.removeprefix(old): t for name, t in bare.items() if name.startswith(old)}
    # It returns None for tensors that the file lacks; all names are checked later.
    return {name: tensor for name, tensor in converted.items() if tensor is not None}


def controlnet_config(shapes: Shapes) -> dict[str, Any]:
    """The config of a ControlNetModel from the shapes of its tensors, in diffusers' names.

    Raises:
        KeyError: a tensor that every such net has is missing.
        ValueError: the levels differ in their number of layers.
    """
    levels = range(count_parts(shapes, "down_blocks."))
    widths = [shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in levels]
    (layers,) = {count_parts(shapes, f"down_blocks.{level}.resnets.") for level in levels}
    attends = [count_parts(shapes, f"down_blocks.{level}.attentions.") > 0 for level in levels]
    linear = len(shapes["mid_block.attentions.0.proj_in.weight"]) == 2
    hints = range(1, count_parts(shapes, f"{HINT}blocks."), 2)
    added = added_settings(shapes, first="add_embedding.linear_1.weight")
    depths = [count_depth(shapes, f"down_blocks.{level}.attentions.0.") for level in levels]
    read = [Level(width, layers, depth) for width, depth in zip(widths, depths, strict=True)]
    family = find_family({"use_linear_projection": linear, **added})
    return {
        "in_channels": shapes["conv_in.weight"][1],
        "conditioning_channels": shapes[f"{HINT}conv_in.weight"][1],
        "conditioning_embedding_out_channels": [
            shapes[f"{HINT}conv_in.weight"][0],
            *(shapes[f"{HINT}blocks.{index}.weight"][0] for index in hints),
        ],
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "cross_attention_dim": shapes["mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"][1],
        "attention_head_dim": family.attention_heads(widths),
        "use_linear_projection": linear,
        # Nets for 2.1 need it in half precision; for all others it only costs time.
        "upcast_attention": linear and family.upcast_velocity,
        **added,
        **depth_settings(read, count_depth(shapes, "mid_block.attentions.0.")),
    }


def adapter_from_original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A T2I-Adapter's tensors from the original's names to diffusers'; those that have them already stay."""
    light = "body.0.out_conv.weight" in tensors

    def rename(name: str) -> str:
        if name.startswith("adapter."):
            return name
        if light:
            return "adapter." + re.sub(r"^body\.(\d+)\.body\.", r"body.\1.resnets.", name)
        return "adapter." + re.sub(r"^body\.(\d+)\.", lambda found: full_block(int(found[1]), name), name)

    return {rename(name): tensor for name, tensor in tensors.items()}


def full_block(number: int, name: str) -> str:
    """The name in diffusers of a block that the original numbers across all levels."""
    level, block = divmod(number, BLOCKS_PER_LEVEL)
    return f"body.{level}." if ".in_conv." in name else f"body.{level}.resnets.{block}."


def adapter_config(path: Path, shapes: Shapes) -> dict[str, Any]:
    """The config of a T2IAdapter from the shapes of its tensors, in diffusers' names.

    Raises:
        CheckpointError: its first layer takes other pictures than grey and colour ones.
        KeyError: a tensor that every adapter has is missing.
    """
    light = "adapter.conv_in.weight" not in shapes
    first = shapes["adapter.body.0.in_conv.weight" if light else "adapter.conv_in.weight"][1]
    types = ["light_adapter"] if light else ["full_adapter", "full_adapter_xl"]
    # Grey or colour of one side's square, and of no other's: 64 or 192 channels, of XL 256 or 768.
    fitting = [(name, first // SHUFFLES[name] ** 2) for name in types if first in of_square(SHUFFLES[name])]
    if not fitting:
        raise not_supported(path, f"an adapter whose first layer takes {first} channels, as those of other families do")
    ((name, colours),) = fitting
    last = "out_conv" if light else "resnets.0.block1"
    levels = range(count_parts(shapes, "adapter.body."))
    widths = [shapes[f"adapter.body.{level}.{last}.weight"][0] for level in levels]
    return {
        "in_channels": colours,
        # diffusers' light adapter repeats its last width.
        "channels": widths[:-1] if light else widths,
        "num_res_blocks": count_parts(shapes, "adapter.body.0.resnets."),
        "downscale_factor": SHUFFLES[name],
        "adapter_type": name,
    }


def of_square(side: int) -> tuple[int, int]:
    """The values of a grey and of a coloured square of pixels."""
    return side**2, 3 * side**2
