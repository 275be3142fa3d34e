"""The copy of a model that is trained: it shares the frozen weights, and has float32 masters of the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..cancelling import check_cancelled, check_in_backward
from ..errors import ConfigError
from ..models.parameter_names import is_temporal
from ..models.precision import hold_masters
from ..models.shared_weights import cast, copy_structure
from ..models.unet import InflatedUNet
from .low_rank import add_factors


def copy_for_training(
    unet: InflatedUNet, modules: Sequence[str], compute_dtype: torch.dtype, *, rank: int = 0, seed: int = 0
) -> InflatedUNet:
    """A copy of a UNet that shares its frozen weights and owns float32 masters of the trainable ones.

    Args:
        modules: endings of module names, as the original selects them.
        compute_dtype: the copy's dtype; frozen weights in another dtype are not shared but cast.
        rank: of the factors that are trained in place of chosen linear layers, unless these are temporal; 0 for none.
        seed: of these factors.

    Raises:
        ConfigError: no module has one of the endings.
    """
    copied = copy_structure(unet).requires_grad_(False).train()
    if copied.dtype != compute_dtype:
        cast(copied, copied.device, compute_dtype)
    for ending in modules:
        chosen = [name for name, _ in copied.named_modules() if name.endswith(ending)]
        if not chosen:
            raise ConfigError(
                got=f"modules ending in {ending!r}, of which the UNet has none",
                expected="endings such as attn1.to_q, attn2.to_q, attn_temp",
                mend="Check the spelling.",
            )
        low_rank = [name for name in chosen if rank and isinstance(copied.get_submodule(name), nn.Linear)]
        low_rank = [name for name in low_rank if not is_temporal(f"{name}.")]
        add_factors(copied, low_rank, rank=rank, seed=seed)
        for name in chosen:
            if name not in low_rank:
                hold_masters(copied, name, source=unet)
    hear_cancels(copied)
    return copied


def hear_cancels(unet: InflatedUNet) -> None:
    """Lets the ResNets ask, forwards and backwards, whether the user has cancelled, as transformer blocks always do."""
    from diffusers.models.resnet import ResnetBlock2D

    def ask(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        check_cancelled()
        return check_in_backward(output)

    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            module.register_forward_hook(ask)
