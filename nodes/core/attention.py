"""Which of ComfyUI's attentions our layers call."""

from __future__ import annotations

from collections.abc import Callable

import comfy.ldm.modules.attention as core_attention
from comfy.cli_args import args
from torch import Tensor


def find_attention(tokens: Tensor) -> Callable[..., Tensor]:
    """ComfyUI's attention for these tokens: its own choice, but PyTorch's on a CPU.

    There ComfyUI takes the sub-quadratic one, unless the user asks for another. PyTorch's needs no more memory, because
    neither holds all scores at once, and it takes a third to a half of the time on tokens of whole frames.
    """
    chosen = core_attention.optimized_attention
    slow = chosen is core_attention.attention_sub_quad and not args.use_quad_cross_attention
    return core_attention.attention_pytorch if slow and tokens.device.type == "cpu" else chosen
