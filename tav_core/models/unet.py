"""Inflation: an ordinary 2-D diffusers UNet turned into a video UNet, without copying a line or a weight of it.

What changes (Tune-A-Video, arXiv 2212.11565, section 4.2, and its code):
    convolutions     none: they run on every frame, folded into the batch
    attn1            looks at the frames that the attention mode names
    attn2            all frames of a video share one text
    after each block a temporal attention along each pixel's time line: `norm_temp`, `attn_temp`
    group norms      of the ResNets and the output take their statistics over all frames of a clip

The parameter names stay the published ones, those of the original's files and of the 2-D UNet.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import ConfigError
from ..layouts import fold, unfold
from .attention import SelfAttention, TextAttention, check_backend
from .attention_modes import GROUP_NORMS, check_positions, visible_frames
from .conditioning import Conditioning, as_conditioning
from .inflation import Chunked, ClipGroupNorm, FrameCount, TemporalLayer, recast
from .parameter_names import check_same_shapes, is_temporal
from .unet_inputs import added_arguments, join_channels

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class InflatedBlock(TemporalLayer, BasicTransformerBlock):
    """A spatial transformer block of diffusers with a temporal attention after it."""


class ChunkedFeedForward(Chunked, FeedForward):
    """diffusers' feed-forward, on a few frames at a time."""


class InflatedUNet(UNet2DConditionModel):
    """A 2-D UNet that denoises videos. Made by `from_2d`; everything diffusers does to a UNet can be done to it."""

    frames: FrameCount

    @classmethod
    def from_2d(
        cls,
        unet: UNet2DConditionModel,
        *,
        attention: str = "sparse_causal",
        attention_k: int = 2,
        group_norm: str = "clip",
        backend: str = "sdpa",
        positions: str = "none",
        seed: int = 33,
    ) -> InflatedUNet:
        """Inflates a 2-D UNet. The given one stays as it is; the weights are shared with it, not copied.

        With its temporal blocks untouched (their output projections start at zero), one frame gives exactly what the
        2-D UNet gives.

        Args:
            unet: a Stable Diffusion UNet.
            attention: which frames attn1 looks at, one of `attention.MODES`.
            attention_k: the longer step back of "sparse_causal_k".
            group_norm: statistics over the "clip" as in the original, or per "frame": exact 2-D behaviour.
            backend: "sdpa", or "xformers" where it is installed.
            positions: of the frames in the temporal attention: "none" as in the original, or "rotary".
            seed: for the temporal blocks' query, key and value projections; the original's seed by default.

        Raises:
            ConfigError: an unknown mode, norm, backend or positions, or a UNet that is inflated already.
        """
        if isinstance(unet, InflatedUNet):
            raise ConfigError(got="an inflated UNet", expected="a 2-D UNet", mend="Change its modes by `set_modes`.")
        check_options(attention, attention_k, group_norm, backend, positions)
        inflated = recast(copy_structure(unet), cls)
        inflated.frames = FrameCount()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            replace_modules(inflated, BasicTransformerBlock, lambda block: inflate_block(block, inflated.frames))
        inflated.set_modes(
            attention=attention, attention_k=attention_k, group_norm=group_norm, backend=backend, positions=positions
        )
        return inflated

    def set_modes(
        self,
        *,
        attention: str,
        group_norm: str,
        attention_k: int = 2,
        backend: str = "sdpa",
        positions: str = "none",
    ) -> None:
        """Sets in place which frames are looked at, whether their order counts, and what the group norms span."""
        check_options(attention, attention_k, group_norm, backend, positions)
        self.modes = {
            "attention": attention,
            "attention_k": attention_k,
            "group_norm": group_norm,
            "backend": backend,
            "positions": positions,
        }
        for block in self.blocks().values():
            block.attn1.set_processor(SelfAttention(frames=self.frames, mode=attention, k=attention_k, backend=backend))
            block.attn2.set_processor(TextAttention(frames=self.frames, backend=backend))
            block.attn_temp.set_processor(SelfAttention(frames=self.frames, backend=backend, positions=positions))
        norm = nn.GroupNorm if group_norm == "frame" else ClipGroupNorm
        for owner, name in self.clip_norms():
            setattr(owner, name, recast(getattr(owner, name), norm, frames=self.frames))

    def forward(
        self, latents: Tensor, timestep: Tensor | float, context: Conditioning | Tensor, **kwargs: Any
    ) -> Tensor:
        """Predicts the noise (or velocity) in a batch of videos.

        Args:
            latents: `b c f h w`; h and w of any size.
            timestep: one for all videos, or one a video: a number or a tensor of shape () or (b,).
            context: what it is told of the videos, or text embeddings `b m d` alone.
            kwargs: what `UNet2DConditionModel.forward` takes besides; ControlNet residuals are `(b f) c h w`.

        Returns:
            The prediction, `b c f h w`.

        Raises:
            LatentsError: latents of another rank or number of channels.
            ConfigError: a conditioning that holds more than this UNet knows, or less.
        """
        context = as_conditioning(context)
        latents = join_channels(latents, context, in_channels=self.config.in_channels)
        num_frames = self.frames.value = latents.shape[2]
        timestep = torch.as_tensor(timestep, device=latents.device)
        if timestep.ndim:
            timestep = timestep.expand(latents.shape[0]).repeat_interleave(num_frames)
        added = added_arguments(context, self.config, num_frames=num_frames)
        kwargs["return_dict"] = False
        (folded,) = super().forward(fold(latents), timestep, context.text, **added, **kwargs)
        return unfold(folded, num_frames)

    def enable_gradient_checkpointing(self, gradient_checkpointing_func: Callable | None = None) -> None:
        """Recomputes activations in the backward pass; non-reentrant, so frozen inputs cut no gradient off."""

        def checkpoint_frames(module: nn.Module, *args: Any) -> Any:
            num_frames = self.frames.value

            def run(*args: Any) -> Any:
                self.frames.value = num_frames
                return module(*args)

            return checkpoint(run, *args, use_reentrant=False)

        super().enable_gradient_checkpointing(gradient_checkpointing_func or checkpoint_frames)

    def blocks(self) -> dict[str, InflatedBlock]:
        """The transformer blocks by their path, in the order of the UNet's modules."""
        return {name: module for name, module in self.named_modules() if isinstance(module, InflatedBlock)}

    def clip_norms(self) -> list[tuple[nn.Module, str]]:
        """Owner and attribute name of each group norm that may span a clip; the transformers' own never do."""
        norms = [(m, name) for m in self.modules() if isinstance(m, ResnetBlock2D) for name in ("norm1", "norm2")]
        return [*norms, (self, "conv_norm_out")]

    def temporal_state(self) -> dict[str, Tensor]:
        """The weights that inflation added, under their published names; live tensors, not copies."""
        return {name: tensor for name, tensor in self.state_dict().items() if is_temporal(name)}

    def load_temporal(self, state_dict: Mapping[str, Tensor]) -> None:
        """Copies the temporal weights of a state dict, under their published names, into this UNet.

        Args:
            state_dict: `...transformer_blocks.N.attn_temp.*` and `norm_temp.*`. A whole UNet's state dict will do:
                what is not temporal is left alone.

        Raises:
            MotionError: a temporal weight is missing, has another shape, or belongs to no block of this UNet.
        """
        own = self.temporal_state()
        given = {name: tensor for name, tensor in state_dict.items() if is_temporal(name)}
        check_same_shapes(given, own, what="temporal weights")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(given[name])


def check_options(attention: str, attention_k: int, group_norm: str, backend: str, positions: str) -> None:
    """Checks the options of `InflatedUNet.from_2d` before anything is built."""
    visible_frames(attention, 1, attention_k)
    check_backend(backend)
    check_positions(positions)
    if group_norm not in GROUP_NORMS:
        raise ConfigError(
            got=f"group_norm {group_norm!r}", expected=f"one of {', '.join(GROUP_NORMS)}", mend="Use 'clip'."
        )


def inflate_block(block: BasicTransformerBlock, frames: FrameCount) -> InflatedBlock:
    """A spatial block with a temporal attention of the same width and heads, whose output starts at zero."""
    weight = block.norm1.weight
    inflated = recast(block, InflatedBlock, frames=frames)
    inflated.ff = recast(block.ff, ChunkedFeedForward)
    inflated.norm_temp = nn.LayerNorm(block.dim, eps=block.norm1.eps)
    inflated.attn_temp = Attention(
        query_dim=block.dim,
        heads=block.num_attention_heads,
        dim_head=block.attention_head_dim,
        upcast_attention=block.attn1.upcast_attention,
    )
    nn.init.zeros_(inflated.attn_temp.to_out[0].weight)
    nn.init.zeros_(inflated.attn_temp.to_out[0].bias)
    inflated.norm_temp.to(weight.device, weight.dtype)
    inflated.attn_temp.to(weight.device, weight.dtype)
    return inflated


def copy_structure(module: ModuleT) -> ModuleT:
    """A copy of a module tree that shares every weight's storage, but none of its modules or flags."""
    shared: dict[int, Any] = {}
    for parameter in module.parameters():
        shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=parameter.requires_grad)
    shared.update({id(buffer): buffer for buffer in module.buffers()})
    return copy.deepcopy(module, shared)


def cast(module: ModuleT, device: torch.device, dtype: torch.dtype) -> ModuleT:
    """Moves and casts a model in place.

    As torch does it: diffusers' own `to` (0.42) warns at each cast of modules to keep in float32, and names none.
    """
    return nn.Module.to(module, device, dtype)


def replace_modules(root: nn.Module, cls: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Replaces every module of a class below `root`, at the same place and so under the same names."""
    places: Iterable[tuple[nn.Module, str]] = [
        (owner, name) for owner in root.modules() for name, child in owner.named_children() if isinstance(child, cls)
    ]
    for owner, name in places:
        setattr(owner, name, make(getattr(owner, name)))
