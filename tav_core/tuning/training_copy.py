"""The copy of a model that is trained: it shares the frozen weights, and has float32 masters of the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from ..cancelling import check_cancelled, check_in_backward
from ..denoisers.denoiser import UNetDenoiser
from ..errors import ConfigError
from ..models.attention_modes import POSITIONS
from ..models.parameter_names import is_temporal
from ..models.precision import hold_masters
from ..models.saved_unet import INFLATION, PLACE
from ..models.shared_weights import cast, copy_structure
from ..models.unet import InflatedUNet
from .low_rank import add_factors


def check_tunable(denoiser: UNetDenoiser) -> None:
    """Checks that a denoiser is a model alone, and one whose tuning a motion can tell.

    Raises:
        ConfigError: it stands around a model, or has controls, neither of which takes part in tuning; or the UNet is
            inflated as LaVie's base.
    """
    if not isinstance(denoiser, UNetDenoiser) or denoiser.controls:
        wrapped = not isinstance(denoiser, UNetDenoiser)
        raise ConfigError(
            got=f"a {type(denoiser).__name__} to tune" if wrapped else "a model with controls to tune",
            expected="a UNetDenoiser without controls: the model alone",
            mend="Give TuneConfig.window for a long clip, and add controls when you invert and edit.",
        )
    check_motion_can_tell(denoiser.unet)


def check_motion_can_tell(unet: InflatedUNet) -> None:
    """Raises `ConfigError` for an inflation that a motion does not record, such as that of LaVie's base."""
    place, positions = unet.config[INFLATION].get(PLACE, "end"), unet.modes["positions"]
    if place != "end" or positions not in POSITIONS:
        raise ConfigError(
            got=f"a UNet with temporal attention {place!r} and positions {positions!r}, as LaVie's base",
            expected="one whose temporal attention is at the end of a block, with positions none or rotary",
            mend="Tune a text-to-image checkpoint, or train LaVie's base with train_video_layers.",
        )


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
    groups = [names_ending_in(ending, copied) for ending in modules]
    narrow = {name for name in chain(*groups) if rank and takes_factors(name, copied)}
    whole = dict.fromkeys(name for name in chain(*groups) if name not in narrow)
    # What trains whole, as a part of a larger module, has no factors beside; and no layer has two pairs.
    narrow = {name for name in narrow if not any(name.startswith(f"{other}.") for other in whole)}
    for group in groups:
        add_factors(copied, [name for name in group if name in narrow], rank=rank, seed=seed)
        narrow -= set(group)
    for name in whole:
        hold_masters(copied, name, source=unet)
    hear_cancels(copied)
    return copied


def names_ending_in(ending: str, unet: InflatedUNet) -> list[str]:
    """The names of the modules with an ending.

    Raises:
        ConfigError: there are none.
    """
    chosen = [name for name, _ in unet.named_modules() if name.endswith(ending)]
    if not chosen:
        raise ConfigError(
            got=f"modules ending in {ending!r}, of which the UNet has none",
            expected="endings such as attn1.to_q, attn2.to_q, attn_temp",
            mend="Check the spelling.",
        )
    return chosen


def takes_factors(name: str, unet: InflatedUNet) -> bool:
    """Whether a module can train by factors of low rank: a linear layer that is not temporal."""
    return isinstance(unet.get_submodule(name), nn.Linear) and not is_temporal(f"{name}.")


def hear_cancels(unet: InflatedUNet) -> None:
    """Lets the ResNets ask, forwards and backwards, whether the user has cancelled, as transformer blocks always do."""
    from diffusers.models.resnet import ResnetBlock2D

    def ask(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        check_cancelled()
        return check_in_backward(output)

    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            module.register_forward_hook(ask)
