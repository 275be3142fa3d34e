"""A plain twin of the inflated UNet: the original's mathematics, written out without any of the library's savings.

    attention       the scores of all frames are held in full: a matrix product, a softmax, a matrix product
    attn1           the keys and values of two frames are copied together for every frame
    attn2           the text is repeated for every frame, and projected for every frame
    checkpointing   reentrant, of whole ResNets and transformer blocks, as in the original; because the input is frozen,
                    the down blocks get no gradients, so its tuning step does less work than ours

It shares its weights, but no computation, with the library's UNet, and gives the same result up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tav_core.models.inflation import FrameCount, recast
from tav_core.models.shared_weights import copy_structure
from tav_core.tuning.config import TuneConfig

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from tav_core.models.unet import InflatedUNet


def materialized_attention(query: Tensor, key: Tensor, value: Tensor, *, upcast: bool) -> Tensor:
    """Attention of `b n e` over `b m e` that holds all scores `b n m`; `upcast` computes them in float32."""
    if upcast:
        query, key = query.float(), key.float()
    scores = query.new_empty(query.shape[0], query.shape[1], key.shape[1])
    scores = torch.baddbmm(scores, query, key.transpose(1, 2), beta=0, alpha=query.shape[2] ** -0.5)
    return torch.bmm(scores.softmax(dim=-1).to(value.dtype), value)


class PlainAttention:
    """A diffusers attention processor: tokens `b n d` that attend to `b m d`, to `b n d`.

    Args:
        frames: the frame count, for attention to the first and the previous frame; None for attention within a row.
    """

    def __init__(self, frames: FrameCount | None = None) -> None:
        self.frames = frames

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        if self.frames is not None:
            key, value = (self.first_and_previous(x) for x in (key, value))
        query, key, value = (rearrange(x, "b n (h e) -> (b h) n e", h=attn.heads) for x in (query, key, value))
        output = materialized_attention(query, key, value, upcast=attn.upcast_attention)
        return attn.to_out[1](attn.to_out[0](rearrange(output, "(b h) n e -> b n (h e)", h=attn.heads)))

    def first_and_previous(self, tokens: Tensor) -> Tensor:
        """`(b f) n d` to `(b f) (2 n) d`: frame 0 and the previous frame; for the first frame, itself twice."""
        num_frames = self.frames.value
        clips = rearrange(tokens, "(b f) n d -> b f n d", f=num_frames)
        previous = [max(i - 1, 0) for i in range(num_frames)]
        pairs = torch.cat([clips[:, [0] * num_frames], clips[:, previous]], dim=2)
        return rearrange(pairs, "b f n d -> (b f) n d")


class PlainClipNorm(nn.GroupNorm):
    """A group norm over all frames of a clip, `(b f) c h w`."""

    frames: FrameCount

    def forward(self, folded: Tensor) -> Tensor:
        clips = rearrange(folded, "(b f) c h w -> b c f h w", f=self.frames.value)
        return rearrange(super().forward(clips), "b c f h w -> (b f) c h w")


class PlainBlock(BasicTransformerBlock):
    """A transformer block followed by temporal attention, `(b f) n d`."""

    frames: FrameCount

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        tokens = super().forward(hidden_states, *args, **kwargs)
        lines = rearrange(tokens, "(b f) n d -> (b n) f d", f=self.frames.value)
        lines = lines + self.attn_temp(self.norm_temp(lines))
        return rearrange(lines, "(b n) f d -> (b f) n d", n=tokens.shape[1])


class PlainUNet(nn.Module):
    """The twin of an inflated UNet in its original modes: sparse-causal attention, group norms over the clip.

    Args:
        unet: the 2-D UNet; its weights are shared.
        temporal: the temporal weights under their published names, shared too.
    """

    def __init__(self, unet: UNet2DConditionModel, temporal: InflatedUNet) -> None:
        super().__init__()
        self.frames = FrameCount()
        self.unet = copy_structure(unet)
        blocks = temporal.blocks()
        for name, module in list(self.unet.named_modules()):
            if isinstance(module, BasicTransformerBlock):
                self.put(name, self.inflate(module, blocks[name]))
            elif isinstance(module, ResnetBlock2D):
                module.norm1, module.norm2 = self.over_clip(module.norm1), self.over_clip(module.norm2)
        self.unet.conv_norm_out = self.over_clip(self.unet.conv_norm_out)

    def put(self, name: str, module: nn.Module) -> None:
        owner, _, last = name.rpartition(".")
        setattr(self.unet.get_submodule(owner), last, module)

    def over_clip(self, norm: nn.GroupNorm) -> PlainClipNorm:
        return recast(norm, PlainClipNorm, frames=self.frames)

    def inflate(self, block: BasicTransformerBlock, temporal: nn.Module) -> PlainBlock:
        plain = recast(block, PlainBlock, frames=self.frames)
        plain.norm_temp, plain.attn_temp = copy_structure(temporal.norm_temp), copy_structure(temporal.attn_temp)
        plain.attn1.set_processor(PlainAttention(self.frames))
        plain.attn2.set_processor(PlainAttention())
        plain.attn_temp.set_processor(PlainAttention())
        return plain

    def enable_gradient_checkpointing(self, *, reentrant: bool = True) -> None:
        """Recomputes activations in the backward pass, block by block; the middle block keeps its activations."""

        def run(module: nn.Module, *args: Any) -> Any:
            return checkpoint(module, *args, use_reentrant=reentrant)

        self.unet.enable_gradient_checkpointing(run)
        self.unet.mid_block.apply(lambda module: setattr(module, "gradient_checkpointing", False))

    def forward(self, latents: Tensor, timestep: int, context: Tensor) -> Tensor:
        """The prediction for latents `b c f h w` at one timestep under text embeddings `b m d`."""
        num_frames = self.frames.value = latents.shape[2]
        folded = rearrange(latents, "b c f h w -> (b f) c h w")
        texts = repeat(context, "b m d -> (b f) m d", f=num_frames)
        (predicted,) = self.unet(folded, timestep, texts, return_dict=False)
        return rearrange(predicted, "(b f) c h w -> b c f h w", f=num_frames)


def plain_tuning(unet: nn.Module, latents: Tensor, context: Tensor, *, dtype: torch.dtype) -> Callable[[], float]:
    """One plain optimizer step on a UNet: AdamW, gradients clipped, autocast below float32, no savings.

    Args:
        unet: called with latents, a timestep and a text; it is copied, so that its weights do not change.

    Returns:
        The step, as a function that returns its loss.
    """
    config = TuneConfig()
    unet = copy_structure(unet).train()
    chosen = [module for name, module in unet.named_modules() if name.endswith(config.modules)]
    for module in chosen:
        for name, parameter in module.named_parameters():
            owner, _, last = name.rpartition(".")
            master = nn.Parameter(parameter.detach().to(torch.float32, copy=True))
            setattr(module.get_submodule(owner), last, master)
    trainable = [parameter for module in chosen for parameter in module.parameters()]
    optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=config.weight_decay)
    scaler = torch.amp.GradScaler(latents.device.type, enabled=dtype == torch.float16)

    def step() -> float:
        noise = torch.randn_like(latents)
        with torch.autocast(latents.device.type, dtype, enabled=dtype != torch.float32):
            predicted = unet(latents + noise, 500, context)
        loss = F.mse_loss(predicted.float(), noise)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(trainable, config.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step
