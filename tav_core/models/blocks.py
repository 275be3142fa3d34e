"""diffusers' transformer block with a temporal attention: how the diffusers host inflates one."""

from __future__ import annotations

from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from torch import nn

from .inflation import AfterTime, Chunked, FrameCount, PassedOn, TemporalLayer, move_before_feed_forward, recast
from .positions import RelativeBias


class InflatedBlock(TemporalLayer, BasicTransformerBlock):
    """A spatial transformer block of diffusers with a temporal attention after it, or before its feed-forward."""

    attn1: Attention
    attn2: Attention
    attn_temp: Attention | None


class ChunkedFeedForward(Chunked, FeedForward):
    """diffusers' feed-forward, on a few frames at a time."""


class LateFeedForward(AfterTime, ChunkedFeedForward):
    """diffusers' feed-forward, after the temporal attention."""


class PassedOnNorm(PassedOn, nn.LayerNorm):
    """PyTorch's layer norm, taken along by `LateFeedForward`."""


def inflate_block(
    block: BasicTransformerBlock, frames: FrameCount, *, temporal: bool, place: str, positions: str
) -> InflatedBlock:
    """Adds to a spatial block a temporal attention of the same width and heads, whose output starts at zero.

    Args:
        temporal, place, positions: see `InflatedUNet.from_2d`.
    """
    weight = block.norm1.weight
    inflated = recast(block, InflatedBlock, frames=frames)
    inflated.ff = recast(block.ff, ChunkedFeedForward)
    if not temporal:
        inflated.norm_temp = inflated.attn_temp = None
        return inflated
    inflated.norm_temp = nn.LayerNorm(block.dim, eps=block.norm1.eps)
    inflated.attn_temp = Attention(
        query_dim=block.dim,
        heads=block.num_attention_heads,
        dim_head=block.attention_head_dim,
        upcast_attention=block.attn1.upcast_attention,
    )
    if positions == "lavie":
        inflated.attn_temp.time_rel_pos_bias = RelativeBias(block.num_attention_heads)
    if place == "before_feed_forward":
        move_before_feed_forward(inflated, norm=recast(block.norm3, PassedOnNorm), feed_forward=LateFeedForward)
    nn.init.zeros_(inflated.attn_temp.to_out[0].weight)
    nn.init.zeros_(inflated.attn_temp.to_out[0].bias)
    inflated.norm_temp.to(weight.device, weight.dtype)
    inflated.attn_temp.to(weight.device, weight.dtype)
    return inflated
