"""Token merging (ToMe, arXiv 2303.17604): a denoiser whose self-attentions take tokens that are alike as one."""

from __future__ import annotations

import dataclasses

from ..errors import ConfigError
from ..models.attention import SelfAttention
from ..models.shared_weights import copy_structure
from ..models.token_merging import TokenMerging
from ..models.unet import InflatedUNet
from .denoiser import Denoiser, UNetDenoiser
from .flow_guided import first_with_attention
from .windows import WindowedDenoiser


def merge_tokens(denoiser: Denoiser, ratio: float) -> Denoiser:
    """A denoiser that merges a share of each frame's tokens; with 0, the same one.

    The given one is not changed: a copy of its UNet shares the weights.

    Args:
        denoiser: a tuned model, with or without controls, and context windows around it.
        ratio: see `EditConfig.merge_tokens`.

    Raises:
        ConfigError: it injects a source or is guided by a flow, for which every token has to be in its place.
    """
    if ratio == 0:
        return denoiser
    if isinstance(denoiser, WindowedDenoiser):
        return dataclasses.replace(denoiser, denoiser=merge_tokens(denoiser.denoiser, ratio))
    if not isinstance(denoiser, UNetDenoiser):
        raise ConfigError(
            got=f"merge_tokens {ratio:g} with {type(denoiser).__name__}",
            expected="a tuned model without injection and flow guidance, which need every token in its place",
            mend="Set merge_tokens to 0, or leave the other out.",
        )
    return dataclasses.replace(denoiser, unet=merging_unet(denoiser.unet, ratio))


def merging_unet(unet: InflatedUNet, ratio: float) -> InflatedUNet:
    """A copy of a UNet with the same weights, whose self-attentions merge tokens."""
    merging = TokenMerging(ratio=ratio, level=first_with_attention(unet.config.down_block_types))
    copied = copy_structure(unet)
    for block in copied.blocks().values():
        if isinstance(block.attn1.processor, SelfAttention):
            block.attn1.set_processor(dataclasses.replace(block.attn1.processor, merging=merging))
    return copied
