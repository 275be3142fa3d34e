"""The motion: what tuning learned, as one small file that fits every checkpoint of the same architecture.

The file is safetensors. Tensor names are the published ones behind a prefix:
    delta.<name>      difference from the base model's weight (the tuned query projections)
    down.<name>, up.<name>   or its two factors of low rank, see low_rank.py
    temporal.<name>   a weight that inflation added, as it is
The metadata are strings, one for each field of `MotionInfo`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, MotionError
from ..models.families import (
    OPTIONAL_ARCHITECTURE,
    describe_architecture,
    find_family,
    read_setting,
    title_by_text_width,
)
from ..models.parameter_names import check_same_shapes, is_temporal
from ..settings import is_number
from ..tensor_files import digest, holds_finite_floats, load_tensors, save_tensors
from .low_rank import LowRankDeltas, pack_deltas, unpack_deltas
from .motion_info import FORMAT_VERSION, NEWEST_FORMAT, UNNAMED_TEMPORAL, MotionInfo, read_info

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from ..models.unet import InflatedUNet


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A tuned motion, on the CPU in float32.

    Args:
        deltas: differences from the base UNet's weights, by published name; `LowRankDeltas` if they are of low rank.
        temporal: the temporal blocks' weights, by published name.
        info: where the motion comes from.
    """

    deltas: Mapping[str, Tensor]
    temporal: Mapping[str, Tensor]
    info: MotionInfo

    def save(self, path: str | Path, *, dtype: torch.dtype = torch.float16) -> Path:
        """Writes one safetensors file, completely or not at all.

        Args:
            dtype: float16 halves the file (about 150 MB for SD 1.x); float32 keeps every bit.

        Raises:
            OutputError: no space, no permission.
        """
        tensors = {name: tensor.to(dtype) for name, tensor in pack_deltas(self.deltas).items()}
        tensors |= {f"temporal.{name}": tensor.to(dtype) for name, tensor in self.temporal.items()}
        return save_tensors(path, tensors, self.info.to_metadata())

    @classmethod
    def load(cls, path: str | Path) -> Motion:
        """Reads a file that `save` wrote. It is read as numbers and text only; no code in it can run.

        Raises:
            MotionError: there is no such file, or it is damaged, not a motion, not finite, or of a later format.
        """
        tensors, metadata = load_tensors(path, error=MotionError, what="a motion file (.safetensors)")
        info = read_info(path, metadata)
        parts: dict[str, dict[str, Tensor]] = {"delta": {}, "down": {}, "up": {}, "temporal": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts or not holds_finite_floats(tensor):
                raise MotionError(
                    got=f"{path}, whose tensor {name} is unknown or holds values that are not finite numbers",
                    expected="the tensors of a tuned motion",
                    mend="The file is damaged: make or copy it again.",
                )
            parts[part][rest] = tensor.float()
        deltas = unpack_deltas(parts["delta"], parts["down"], parts["up"], where=str(path))
        return cls(deltas=deltas, temporal=parts["temporal"], info=info)

    def apply_to(
        self,
        unet: UNet2DConditionModel,
        *,
        strength: float = 1.0,
        temporal_strength: float = 1.0,
        **modes: Any,
    ) -> InflatedUNet:
        """Inflates a 2-D UNet and applies the motion to it. The given UNet is not changed.

        Args:
            unet: the UNet of any checkpoint with the architecture that the motion was tuned on.
            strength: factor on the differences; 0 keeps the base model's queries.
            temporal_strength: factor on the output of the temporal blocks.
            modes: `attention`, `attention_k`, `group_norm`, `positions`, `backend` of `InflatedUNet.from_2d`; by
                default those that the motion was tuned with.

        Raises:
            MotionError: the architecture differs; the first difference is named.
            ConfigError: a strength is not a finite number.
        """
        from ..models.unet import InflatedUNet

        check_strengths(strength=strength, temporal_strength=temporal_strength)
        self.check_fits(unet)
        inflated = InflatedUNet.from_2d(unet, **{**self.info.all_modes, **modes})
        inflated.load_temporal(self.temporal)
        inflated.set_size_ids(self.info.size_ids)
        with torch.no_grad():
            layers = (block.attn_temp for block in inflated.blocks().values() if block.attn_temp is not None)
            for layer in layers:
                for parameter in layer.to_out[0].parameters():
                    parameter.mul_(temporal_strength)
            for name, delta in self.deltas.items():
                base = inflated.get_parameter(name)
                changed = base.float() + strength * delta.to(base.device)
                set_parameter(inflated, name, nn.Parameter(changed.to(base.dtype), requires_grad=False))
        return inflated

    def check_fits(self, unet: UNet2DConditionModel) -> None:
        """Checks that this motion was tuned on the architecture of `unet`.

        Raises:
            MotionError: names the first thing that differs.
        """
        self.check_architecture(unet.config)
        base = {name: tensor for name, tensor in unet.state_dict().items() if name in self.deltas}
        check_same_shapes(self.deltas, base, what="a motion")

    def check_architecture(self, config: Mapping[str, Any]) -> None:
        """Checks that this motion was tuned on a UNet of the same config.

        Raises:
            MotionError: names the first setting that differs.
        """
        unsaid = {name: value for name, value in OPTIONAL_ARCHITECTURE.items() if name not in self.info.architecture}
        for name, value in {**self.info.architecture, **unsaid}.items():
            own = read_setting(config, name)
            if own != value:
                raise MotionError(
                    got=f"a motion tuned on {title_by_text_width(self.info.architecture)}, with {name} {value}",
                    expected=f"{name} {own}, as in this model, {title_by_text_width(config)}",
                    mend="Use a checkpoint of the family it was tuned on, or tune again on this one.",
                )


def format_for(deltas: Mapping[str, Tensor], modes: Mapping[str, Any]) -> int:
    """The oldest file format that holds a motion with these differences and recorded modes."""
    newer = isinstance(deltas, LowRankDeltas) or modes.get("temporal", UNNAMED_TEMPORAL) != UNNAMED_TEMPORAL
    return NEWEST_FORMAT if newer else FORMAT_VERSION


def check_strengths(**strengths: float) -> None:
    """Raises `ConfigError` unless all are finite numbers."""
    for name, value in strengths.items():
        if not is_number(value) or not math.isfinite(value):
            raise ConfigError(
                got=f"{name} {value!r}", expected="a finite number", mend="Use 1 for the motion as tuned, or 0 to 2."
            )


def hash_base(unet: UNet2DConditionModel) -> str:
    """A hash of a UNet's 2-D weights; inflation and half precision do not change it."""
    return digest({name: tensor for name, tensor in unet.state_dict().items() if not is_temporal(name)})


def set_parameter(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Replaces the parameter with this dotted name."""
    owner, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(owner), attribute, parameter)


def check_original_tunes(config: Mapping[str, Any]) -> None:
    """Raises `MotionError` for the config of Stable Diffusion XL's UNet, which the original never tuned."""
    if find_family(config).added_conditions:
        raise MotionError(
            got="a motion of the original to import for Stable Diffusion XL",
            expected="the 1.x or 2.x checkpoint that the original was tuned on, because it tunes no other",
            mend="Load that checkpoint; on Stable Diffusion XL, tune again.",
        )


def import_original(state_dict: Mapping[str, Tensor], unet: UNet2DConditionModel) -> Motion:
    """A motion from a UNet that the original implementation saved.

    Args:
        state_dict: the saved UNet, from `checkpoints.load_original_unet`.
        unet: the 2-D UNet of the checkpoint that it was tuned on.

    Raises:
        MotionError: the model is Stable Diffusion XL; the architecture differs; or weights that the original never
            tunes differ, so `unet` is not its base.
    """
    check_original_tunes(unet.config)
    base = unet.state_dict()
    check_same_shapes({n: t for n, t in state_dict.items() if not is_temporal(n)}, base, what="a saved UNet")
    deltas = {}
    for name, tensor in base.items():
        difference = state_dict[name].detach().cpu().float() - tensor.detach().cpu().float()
        if name.endswith(("attn1.to_q.weight", "attn2.to_q.weight")):
            deltas[name] = difference
        elif difference.abs().max() > 2e-3 * tensor.abs().max():
            raise MotionError(
                got=f"a saved UNet whose {name} differs from this model's",
                expected="the checkpoint that the original was tuned on, because tuning does not change this weight",
                mend="Load the checkpoint named in its training config as the base.",
            )
    temporal = {name: tensor.detach().cpu().float() for name, tensor in state_dict.items() if is_temporal(name)}
    modes = {"attention": "sparse_causal", "group_norm": "clip"}
    info = MotionInfo(architecture=describe_architecture(unet), base_hash=hash_base(unet), modes=modes)
    motion = Motion(deltas=deltas, temporal=temporal, info=info)
    motion.apply_to(unet)
    return motion
