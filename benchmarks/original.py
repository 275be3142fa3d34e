"""Loads the UNet from a checkout of the original Tune-A-Video, to time it beside ours on the same weights.

It was written for diffusers 0.11. What has moved since then is put back where it is imported from, in this process
only. The one class that is gone, the attention, is replaced by one with the same interface. None of its code is part of
this project.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor, nn

from tav_core.errors import ConfigError

from .plain import materialized_attention

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from tav_core.models.unet import InflatedUNet

UNET_FILE = Path("tuneavideo") / "models" / "unet.py"


class OriginalUNet(nn.Module):
    """The original's UNet with the weights of ours, called as ours is.

    Args:
        checkout: the folder that holds `tuneavideo/models/unet.py`.
        unet: the 2-D UNet, for its config.
        inflated: the inflated one; its weights are shared.
    """

    def __init__(self, checkout: Path, unet: UNet2DConditionModel, inflated: InflatedUNet) -> None:
        super().__init__()
        cls = load_class(checkout)
        known = inspect.signature(cls.__init__).parameters
        config = {name: rename(value) for name, value in unet.config.items() if name in known}
        with torch.device("meta"):
            self.unet = cls(**config)
        self.unet.load_state_dict(inflated.state_dict(), assign=True)
        self.unet.requires_grad_(False)

    def enable_gradient_checkpointing(self) -> None:
        """Recomputes activations as the original's training script does."""
        for module in self.unet.modules():
            if hasattr(module, "gradient_checkpointing"):
                module.gradient_checkpointing = True

    def forward(self, latents: Tensor, timestep: int, context: Tensor) -> Tensor:
        return self.unet(latents, timestep, context, return_dict=False)[0]


class CrossAttention(nn.Module):
    """Replaces diffusers 0.11's class of this name, which the original inherits from and calls."""

    group_norm = added_kv_proj_dim = _slice_size = None
    _use_memory_efficient_attention_xformers = False

    def __init__(
        self,
        query_dim: int,
        cross_attention_dim: int | None = None,
        heads: int = 8,
        dim_head: int = 64,
        dropout: float = 0.0,
        bias: bool = False,
        upcast_attention: bool = False,
    ) -> None:
        super().__init__()
        width, seen = heads * dim_head, cross_attention_dim or query_dim
        self.heads, self.upcast_attention = heads, upcast_attention
        self.to_q = nn.Linear(query_dim, width, bias=bias)
        self.to_k, self.to_v = nn.Linear(seen, width, bias=bias), nn.Linear(seen, width, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(width, query_dim), nn.Dropout(dropout)])

    def reshape_heads_to_batch_dim(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, "b n (h e) -> (b h) n e", h=self.heads)

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: None) -> Tensor:
        output = materialized_attention(query, key, value, upcast=self.upcast_attention)
        return rearrange(output, "(b h) n e -> b n (h e)", h=self.heads)

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, attention_mask=None
    ) -> Tensor:
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = (self.to_q(hidden_states), self.to_k(seen), self.to_v(seen))
        output = self._attention(*(self.reshape_heads_to_batch_dim(x) for x in projected), None)
        return self.to_out[1](self.to_out[0](output))


def load_class(checkout: Path) -> type[nn.Module]:
    """`UNet3DConditionModel` of a checkout.

    Raises:
        ConfigError: the folder does not hold the UNet's file.
    """
    if not (checkout / UNET_FILE).is_file():
        raise ConfigError(
            got=f"{checkout}, which holds no {UNET_FILE.as_posix()}",
            expected="a checkout of the original Tune-A-Video",
            mend="Give the folder that git cloned it into.",
        )
    stand_in()
    sys.path.insert(0, str(checkout))
    try:
        from tuneavideo.models.unet import UNet3DConditionModel
    finally:
        sys.path.remove(str(checkout))
    return UNet3DConditionModel


def stand_in() -> None:
    """Puts classes of diffusers 0.11 where the original imports them from."""
    from diffusers.models import attention, modeling_utils, normalization

    moved = ModuleType("diffusers.modeling_utils")
    moved.ModelMixin = modeling_utils.ModelMixin
    sys.modules[moved.__name__] = moved
    attention.CrossAttention, attention.AdaLayerNorm = CrossAttention, normalization.AdaLayerNorm


def rename(value: object) -> object:
    """A config's value with the original's names of block types: `...Block3D`."""
    if isinstance(value, str):
        return value.replace("Block2D", "Block3D")
    return [rename(item) for item in value] if isinstance(value, list | tuple) else value
