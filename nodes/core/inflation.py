"""What every video model on core consists of: modules recast with the library's mixins, as patches of a clone.

blocks            object patches: each block re-cast; its submodules and their names stay
temporal layers   a model of their own, which ComfyUI loads and frees with the MODEL; the blocks call them
group norms       object patches: twins that take their statistics over all frames of a clip
frame count       from the batch, in a wrapper around the model: ComfyUI lays n videos out as (n f) c h w
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import comfy.ldm.modules.attention as core_attention
import comfy.ops
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import Tensor, nn

from ...tav_core.errors import ConfigError
from ...tav_core.models.inflation import ClipGroupNorm, FrameCount, TemporalLayer, recast
from .patchers import core_patcher, give_weights, kept_dtype
from .unet import PREFIX

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

KEY = "tune_a_video"
BLOCK_MARK = ".norm1.weight"
NORMS = ("in_layers.0", "out_layers.0")


@lru_cache
def mixed(mixin: type[nn.Module], cls: type[nn.Module]) -> type[nn.Module]:
    """A class of ComfyUI with one of the library's in front of it; its layers still cast their weights as ComfyUI's."""
    return type(mixin.__name__, (mixin, cls), {})


def recast_as(module: nn.Module, mixin: type[nn.Module], **attributes: Any) -> nn.Module:
    """A shallow copy of a module with one of the library's classes mixed in."""
    return recast(module, mixed(mixin, type(module)), **attributes)


def twin_of(layer: nn.Module, mixin: type[nn.Module], **attributes: Any) -> nn.Module:
    """A layer once more, with one of the library's classes mixed in, on the same state: what changes in one of them
    changes in both.

    `recast` would copy the state. That will not do for layers with weights of their own: ComfyUI swaps a layer's
    weights for patched ones and back, in whichever of the two is in the model at the time, and the other must follow.

    Args:
        attributes: of the class, as the instance's are the layer's.
    """
    cls = type(f"{mixin.__name__}{type(layer).__name__}", (mixin, type(layer)), attributes)
    twin = cls.__new__(cls)
    twin.__dict__ = layer.__dict__
    return twin


def block_paths(names: Mapping[str, str]) -> dict[str, str]:
    """diffusers' path of each transformer block, with a dot at its end, mapped to ComfyUI's path."""
    marked = {
        ours: theirs for ours, theirs in names.items() if ours.endswith(BLOCK_MARK) and ".transformer_blocks." in ours
    }
    return {ours.removesuffix(BLOCK_MARK) + ".": theirs.removesuffix(BLOCK_MARK) for ours, theirs in marked.items()}


def norm_paths(model: ModelPatcher) -> Iterator[str]:
    """ComfyUI's paths of the group norms that span a clip: those of the ResNets, and the last one."""
    modules = dict(model.model.named_modules())
    yield from (name for name in modules if name.startswith(PREFIX) and name.endswith(NORMS))
    yield f"{PREFIX}out.0"


def empty_layer(block: nn.Module) -> nn.ModuleDict:
    """A temporal layer for a block of ComfyUI, whose weights are to be filled in: `norm_temp` and `attn_temp`."""
    like = block.attn1.to_q
    make = {"dtype": kept_dtype(like), "device": "cpu"}
    attention = core_attention.CrossAttention(
        query_dim=like.in_features,
        heads=block.n_heads,
        dim_head=block.d_head,
        attn_precision=block.attn_precision,
        operations=comfy.ops.manual_cast,
        **make,
    )
    norm = comfy.ops.manual_cast.LayerNorm(block.norm1.normalized_shape, **make)
    return give_weights(nn.ModuleDict({"norm_temp": norm, "attn_temp": attention}))


def with_layer(block: nn.Module, frames: FrameCount, layer: nn.ModuleDict | None) -> nn.Module:
    """A block that calls a temporal layer at its end; without one, nothing is added to what the block does.

    The layer is an attribute of the block and no submodule, see `load_beside`.
    """
    parts = layer or {"norm_temp": None, "attn_temp": None}
    return recast_as(block, TemporalLayer, frames=frames, **parts)


def load_beside(patched: ModelPatcher, layers: Iterable[nn.Module]) -> None:
    """Makes ComfyUI load and free temporal layers together with a clone, as a model of their own.

    As submodules of the clone's blocks they would be among the weights that all clones share. With DynamicVRAM (see
    patchers.py), ComfyUI puts back what it has moved when it frees the model or loads another clone. The blocks of that
    one have no such layers, and it would end with an AttributeError. The memory of layers that are no longer used would
    not be given back either.
    """
    beside = nn.ModuleList(layers).requires_grad_(False)
    own = core_patcher()(beside, load_device=patched.load_device, offload_device=patched.offload_device)
    patched.set_additional_models(KEY, [own])


def norms_over_frames(patched: ModelPatcher, frames: FrameCount) -> None:
    """Makes a clone's group norms take their statistics over all frames of a clip."""
    for path in norm_paths(patched):
        patched.add_object_patch(path, twin_of(patched.get_model_object(path), ClipGroupNorm, frames=frames))


def watch_frames(patched: ModelPatcher, frames: FrameCount) -> None:
    """Makes a clone note the number of frames of each batch, and refuse to be put on other weights."""
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, partial(count_frames, frames))
    patched.add_callback_with_key(CallbacksMP.ON_CLONE, KEY, check_same_weights)


def check_same_weights(patched: ModelPatcher, clone: ModelPatcher) -> None:
    """Raises `ConfigError` if a clone is a copy with weights of its own: our blocks hold the layers of the first model,
    so that ComfyUI would patch those, and leave them patched.
    """
    if clone.model is not patched.model:
        raise ConfigError(
            got="a MODEL of this pack that is to be copied with its weights: TorchCompileModel, hooks of a prompt and "
            "nodes for a device do so where ComfyUI has DynamicVRAM",
            expected="such nodes in front of Apply Motion or Cross-Frame Model, and none behind Load LaVie",
            mend="Move them there, or start ComfyUI with --disable-dynamic-vram.",
        )


def count_frames(frames: FrameCount, executor: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Wraps ComfyUI's `apply_model`: notes how many frames each video of this batch has.

    ComfyUI may run the positive and the negative conditioning in separate batches, but it never splits a video.
    """
    frames.value = frames_in(x, options_in(args, kwargs))
    return executor(x, *args, **kwargs)


def options_in(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """ComfyUI's options of a batch, among the arguments of `apply_model`; empty without any."""
    found = (a for a in args if isinstance(a, dict) and "cond_or_uncond" in a)
    return kwargs.get("transformer_options") or next(found, {})


def frames_in(x: Tensor, options: Mapping[str, Any]) -> int:
    """How many frames each video of a batch `(n f) c h w` has."""
    return len(x) // len(options.get("cond_or_uncond", [0]))
