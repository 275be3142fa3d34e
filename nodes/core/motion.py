"""A motion on a core MODEL, so that the stock samplers, LoRAs, ControlNets and masks work on a tuned model.

The model itself is not changed: a clone is patched, and ComfyUI takes the patches off again.
    queries          weight patches: differences, or a LoRA's two factors where they are of low rank
    blocks           object patches: each block re-cast to call a temporal layer where the motion has one; its
                     submodules and their names stay
    temporal layers  a model of their own beside the MODEL, see `load_beside`
    attn1            re-cast in the block, so that its keys and values come from the frames that the mode names
    group norms      object patches: re-cast to take their statistics over all frames of a clip
    frame count      from the batch, in a wrapper around the model: ComfyUI lays n videos out as (n f) c h w
    sizes            what XL was told in tuning is told again, in a wrapper around the sampling; see sizes.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from comfy.weight_adapter import LoRAAdapter
from torch import Tensor, nn

from ...tav_core.errors import MotionError
from ...tav_core.models.attention_modes import check_positions
from ...tav_core.models.inflation import AfterTime, FrameCount, TemporalLayer, recast
from ...tav_core.models.parameter_names import check_same_shapes
from ...tav_core.tensor_files import digest
from ...tav_core.tuning.low_rank import LowRankDeltas
from .frame_attention import FrameAttention, RotaryAttention
from .inflation import block_paths, empty_layer, load_beside, norms_over_frames, watch_frames, with_layer
from .sizes import tell_sizes
from .unet import check_model, core_names, is_quantised, key_patches, read_config, read_weights

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.tuning.motion import Motion

# The attribute in which a model keeps the hash of its weights: hashing takes long, and they do not change.
HASH = "tune_a_video_base_hash"


def apply_motion(
    model: ModelPatcher,
    motion: Motion,
    *,
    strength: float = 1.0,
    temporal_strength: float = 1.0,
    **modes: Any,
) -> ModelPatcher:
    """A clone of a MODEL with a motion on it; the MODEL itself is not changed.

    Args:
        model: Stable Diffusion 1.x, 2.x or XL of the architecture that the motion was tuned on, with or without LoRAs.
        strength: factor on the tuned differences of the weights.
        temporal_strength: factor on what the temporal blocks add.
        modes: attention, attention_k, group_norm, positions; those left out are as tuned.

    Raises:
        CheckpointError: the model is of another family.
        MotionError: the motion is for another architecture, or the model already has one.
        ConfigError: this version does not know the positions.
    """
    check_model(model)
    check_motion_fits(model, motion)
    modes = {**motion.info.all_modes, **modes}
    check_positions(modes["positions"])
    names, frames, patched = core_names(model), FrameCount(), model.clone()
    patched.add_patches({names[name]: patch for name, patch in weight_patches(motion.deltas).items()}, strength)
    layers = []
    for place, path in block_paths(names).items():
        block, layer = model.get_model_object(path), None
        if weights := {n.removeprefix(place): t for n, t in motion.temporal.items() if n.startswith(place)}:
            layer = fill_layer(block, weights, modes, temporal_strength)
            layers.append(layer)
        patched.add_object_patch(path, inflate_block(block, layer, frames, modes))
    load_beside(patched, layers)
    if modes["group_norm"] == "clip":
        norms_over_frames(patched, frames)
    watch_frames(patched, frames)
    tell_sizes(patched, motion.info.size_ids)
    return patched


def weight_patches(deltas: Mapping[str, Tensor]) -> dict[str, Any]:
    """ComfyUI's patches for a motion's differences, by the weights' names: factors stay factors, as a LoRA's."""
    if not isinstance(deltas, LowRankDeltas):
        return {name: ("diff", (delta,)) for name, delta in deltas.items()}
    # The rank is the alpha, so there is none; nor are there the parts that other kinds of LoRAs have.
    factors = {
        name: LoRAAdapter(set(), (up, down, None, None, None, None)) for name, (down, up) in deltas.factors.items()
    }
    return weight_patches(deltas.whole) | factors


def carries_motion(model: ModelPatcher) -> bool:
    """Whether a MODEL has temporal layers: those of a motion, or LaVie's."""
    return any(isinstance(patch, TemporalLayer) for patch in model.object_patches.values())


def is_lavie(model: ModelPatcher) -> bool:
    """Whether a MODEL is that of Load LaVie."""
    return any(isinstance(getattr(patch, "ff", None), AfterTime) for patch in model.object_patches.values())


def describe_video_model(model: ModelPatcher) -> str:
    """Where a MODEL has its attention across frames from, for the message of an error."""
    if is_lavie(model):
        return "a MODEL of Load LaVie"
    return "a MODEL that has a motion on it already" if carries_motion(model) else "a MODEL of Cross-Frame Model"


def looks_across_frames(model: ModelPatcher) -> bool:
    """Whether a MODEL has attention across frames, from a motion or without one."""
    return carries_motion(model) or any(isinstance(patch, FrameAttention) for patch in model.object_patches.values())


def check_carries_motion(model: ModelPatcher) -> None:
    """Raises `MotionError` unless a MODEL has a motion on it: without one, its batches are not videos."""
    if not carries_motion(model):
        raise MotionError(
            got="a MODEL without a motion",
            expected="the MODEL of Apply Motion or of Load LaVie",
            mend="Connect Apply Motion in front of this node.",
        )


def check_motion_fits(model: ModelPatcher, motion: Motion) -> None:
    """Checks that a motion was tuned on the architecture of a MODEL.

    Raises:
        MotionError: the message names the first difference, or says that the MODEL already has a motion.
    """
    if looks_across_frames(model) and not carries_motion(model):
        raise MotionError(
            got=describe_video_model(model),
            expected="the MODEL of a checkpoint loader, with or without LoRAs",
            mend="Connect Apply Motion to the loader; it has an attention widget of its own.",
        )
    if carries_motion(model):
        raise MotionError(
            got=describe_video_model(model),
            expected="the MODEL of a checkpoint loader, with or without LoRAs",
            mend="Connect Apply Motion to the loader; a MODEL takes one motion.",
        )
    motion.check_architecture(read_config(model))
    names, state = core_names(model), model.model.state_dict()
    own = {name: state[names[name]] for name in motion.deltas if names.get(name) in state}
    check_same_shapes(motion.deltas, own, what="a motion")
    check_temporal_places(block_paths(names), motion)


def check_temporal_places(blocks: Iterable[str], motion: Motion) -> None:
    """Checks that a motion has temporal weights for the blocks that it says, and for no others.

    Args:
        blocks: diffusers' paths of a model's transformer blocks, with a dot at the end.

    Raises:
        MotionError: the message names the first that differs.
    """
    which = motion.info.all_modes["temporal"]
    places = set(blocks if which == "all" else last_of_each(blocks))
    held = {place for place in blocks if any(name.startswith(place) for name in motion.temporal)}
    if differing := sorted(places ^ held):
        lacks = "without" if differing[0] in places else "with"
        raise MotionError(
            got=f"a motion {lacks} temporal weights for {differing[0].removesuffix('.')}",
            expected=f"the temporal blocks of {'every' if which == 'all' else 'the last of each'} transformer block",
            mend="The file is damaged or of another architecture: tune again on this checkpoint.",
        )


def last_of_each(blocks: Iterable[str]) -> list[str]:
    """Of the paths `...transformer_blocks.N.`, the one with the largest N of each transformer."""
    last: dict[str, int] = {}
    for path in blocks:
        transformer, _, number = path.removesuffix(".").rpartition(".")
        last[transformer] = max(last.get(transformer, 0), int(number))
    return [f"{transformer}.{number}." for transformer, number in last.items()]


def fill_layer(
    block: nn.Module, weights: Mapping[str, Tensor], modes: Mapping[str, Any], strength: float
) -> nn.ModuleDict:
    """A temporal layer for a block of ComfyUI, with a motion's weights.

    Raises:
        MotionError: they do not fit.
    """
    layer = empty_layer(block)
    slots = layer.state_dict()
    check_same_shapes(weights, slots, what="temporal weights")
    for name, slot in slots.items():
        slot.copy_(weights[name] * (strength if name.startswith("attn_temp.to_out.") else 1.0))
    if modes["positions"] == "rotary":
        layer["attn_temp"] = recast(layer["attn_temp"], RotaryAttention)
    return layer


def inflate_block(
    block: nn.Module, layer: nn.ModuleDict | None, frames: FrameCount, modes: Mapping[str, Any]
) -> nn.Module:
    """A block whose first attention looks across frames, and which calls a temporal layer if there is one for it."""
    inflated = with_layer(block, frames, layer)
    inflated._modules["attn1"] = recast(block.attn1, FrameAttention, frames=frames, modes=modes)
    return inflated


def same_base(model: ModelPatcher, motion: Motion) -> bool:
    """Whether a motion was tuned on exactly the weights of a MODEL, without its LoRAs or with them."""
    if is_quantised(model):
        return False
    held, expected = model.model, motion.info.base_hash
    patched = key_patches(model)
    names = {theirs: ours for ours, theirs in core_names(model).items()}
    if not hasattr(held, HASH):
        setattr(held, HASH, digest({names[name]: patched[name][0][0] for name in patched}))
    if getattr(held, HASH) == expected or all(len(parts) == 1 for parts in patched.values()):
        return getattr(held, HASH) == expected
    return digest({names[name]: tensor for name, tensor in read_weights(model, torch.float32).items()}) == expected
