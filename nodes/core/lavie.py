"""LaVie's base as a core MODEL, so that the stock samplers, LoRAs and ControlNets work on it.

spatial weights   core's Stable Diffusion 1.x, under core's names, with LaVie's linear betas
blocks            object patches: each block re-cast to call a temporal layer between attn2 and the feed-forward
temporal layers   a model of their own beside the MODEL, see `load_beside`
group norms       object patches: statistics over all frames of a batch
frame count       from the batch
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.ldm.modules.attention as core_attention
import torch
from torch import Tensor, nn

from ...tav_core.checkpoints.lavie import check_kind, find_scaling_factor, own_names
from ...tav_core.checkpoints.lavie_configs import lavie_unet_config
from ...tav_core.checkpoints.weight_files import open_weights
from ...tav_core.errors import CheckpointError
from ...tav_core.models.inflation import AfterTime, FrameCount, PassedOn, move_before_feed_forward
from ...tav_core.models.lavie.inflate import TRAINED_DISTANCE
from ...tav_core.models.lavie.schedules import BETAS, lavie_schedule
from ...tav_core.models.parameter_names import is_temporal
from ...tav_core.models.positions import RelativeBias, rotate_pairs
from ...tav_core.sampling.noise_steps import plan_steps
from .build import build_model, check_numbers, check_same, sd15_config
from .inflation import (
    block_paths,
    empty_layer,
    load_beside,
    mixed,
    norms_over_frames,
    recast_as,
    twin_of,
    watch_frames,
    with_layer,
)
from .unet import core_names

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

# What core calls betas that are linear themselves; its "linear" is Stable Diffusion's, linear in the square root.
LINEAR_BETAS = {
    "beta_schedule": "sqrt_linear",
    "linear_start": BETAS["beta_start"],
    "linear_end": BETAS["beta_end"],
}
# Core's group norms always have as many.
GROUPS = 32


def load_base(path: Path) -> ModelPatcher:
    """LaVie's base from the disk as a MODEL, whose batches are videos of as many frames as the batch has.

    Raises:
        CheckpointError: the file is damaged, of another model, or of a LaVie that core cannot hold.
    """
    file = open_weights(path)
    check_kind(file, "base")
    weights = own_names(file.read(), file.path)
    check_numbers(weights, file.path)
    scale = find_scaling_factor(file, "base")
    config = sd15_config(core_config(lavie_unet_config(file.shapes), file.path), scaling_factor=scale)
    config.sampling_settings = dict(LINEAR_BETAS)
    spatial = {name: tensor for name, tensor in weights.items() if not is_temporal(name)}
    temporal = {name: tensor for name, tensor in weights.items() if is_temporal(name)}
    return add_time(build_model(config, spatial, file.path), temporal, file.path)


def core_config(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The config of core's UNet, from that of diffusers'.

    Raises:
        CheckpointError: its widths or heads are none that core's UNet can have.
    """
    widths, heads = settings["block_out_channels"], set(settings["attention_head_dim"])
    attends = [int(kind.startswith("CrossAttn")) for kind in settings["down_block_types"]]
    if any(width % widths[0] or width % GROUPS for width in widths) or heads != {8}:
        raise CheckpointError(
            got=f"a LaVie of widths {widths} and {', '.join(map(str, sorted(heads)))} heads: {path}",
            expected=f"multiples of the first width and of {GROUPS}, and 8 heads, as ComfyUI's UNet has them",
            mend="Use it by the command line, which takes any size.",
        )
    layers = settings["layers_per_block"]
    return {
        "image_size": 32,
        "in_channels": settings["in_channels"],
        "out_channels": settings["out_channels"],
        "model_channels": widths[0],
        "channel_mult": [width // widths[0] for width in widths],
        "num_res_blocks": [layers] * len(widths),
        "transformer_depth": [depth for depth in attends for _ in range(layers)],
        "transformer_depth_output": [depth for depth in attends for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "context_dim": settings["cross_attention_dim"],
        "use_spatial_transformer": True,
        "use_linear_in_transformer": settings["use_linear_projection"],
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "legacy": False,
    }


def add_time(model: ModelPatcher, weights: Mapping[str, Tensor], path: Path) -> ModelPatcher:
    """A clone of a MODEL with LaVie's temporal layers.

    Args:
        weights: those of the layers alone.

    Raises:
        CheckpointError: they do not fit the model.
    """
    frames, patched, layers, slots = FrameCount(), model.clone(), [], {}
    for place, where in block_paths(core_names(model)).items():
        block = model.get_model_object(where)
        layers.append(layer := lavie_layer(block))
        slots |= {place + name: slot for name, slot in layer.state_dict().items()}
        patched.add_object_patch(where, inflate_block(block, layer, frames))
    check_same(weights, slots, path)
    for name, slot in slots.items():
        slot.copy_(weights[name])
    load_beside(patched, layers)
    norms_over_frames(patched, frames)
    watch_frames(patched, frames)
    return patched


def lavie_layer(block: nn.Module) -> nn.ModuleDict:
    """LaVie's temporal layer for a block of ComfyUI, whose weights are to be filled in."""
    layer = empty_layer(block)
    layer["attn_temp"] = recast_as(layer["attn_temp"], LaVieAttention)
    # In float32, because ComfyUI may hold weights in types that a table cannot be read in.
    layer["attn_temp"].time_rel_pos_bias = RelativeBias(block.n_heads, longest=TRAINED_DISTANCE)
    return layer


def inflate_block(block: nn.Module, layer: nn.ModuleDict, frames: FrameCount) -> nn.Module:
    """A block that calls a temporal layer before its feed-forward."""
    inflated = with_layer(block, frames, layer)
    move_before_feed_forward(
        inflated, norm=twin_of(block.norm3, PassedOn), feed_forward=mixed(AfterTime, type(block.ff))
    )
    return inflated


class LaVieAttention(core_attention.CrossAttention):
    """ComfyUI's attention on tokens that are frames, with LaVie's rotary positions and biases: `b f d` in and out."""

    time_rel_pos_bias: RelativeBias

    def forward(self, x: Tensor, context=None, value=None, mask=None, transformer_options=None) -> Tensor:
        assert context is None and value is None and mask is None, "a temporal attention sees all frames"
        # PyTorch's, because others that ComfyUI may have chosen take no bias.
        output = core_attention.attention_pytorch(
            rotate_pairs(self.to_q(x), heads=self.heads),
            rotate_pairs(self.to_k(x), heads=self.heads),
            self.to_v(x),
            heads=self.heads,
            mask=self.time_rel_pos_bias(x.shape[1]).to(x),
            attn_precision=self.attn_precision,
            transformer_options=transformer_options or {},
        )
        return self.to_out(output)


def lavie_sigmas(sampler: str, num_steps: int) -> Tensor:
    """The noise levels that one of LaVie's samplers goes through, as ComfyUI's samplers take them."""
    steps = plan_steps(sampler, lavie_schedule("base"), num_steps)
    alphas = [*(step.alpha for step in steps), steps[-1].alpha_to]
    return torch.tensor([((1 - alpha) / alpha) ** 0.5 for alpha in alphas], dtype=torch.float32, device="cpu")
