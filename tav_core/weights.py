"""The motion: what tuning learned, as one small file that goes on any checkpoint of the same architecture.

The file is safetensors. Tensor names are the published ones behind a prefix:
    delta.<name>      difference from the base model's weight (the tuned query projections)
    temporal.<name>   a weight that inflation added, whole
Metadata are strings: one for each field of `MotionInfo`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .attention_modes import GROUP_NORMS, check_positions, visible_frames
from .errors import ConfigError, MotionError
from .files import digest, load_tensors, save_tensors
from .names import check_same_shapes, is_temporal
from .settings import is_number, is_whole

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from .unet import InflatedUNet

FORMAT_VERSION = 1
# float16 and float32 are written; the others are other tools'.
# What a file means that does not name a mode.
UNNAMED_MODES = {"attention": "sparse_causal", "attention_k": 2, "group_norm": "clip", "positions": "none"}
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ARCHITECTURE = (
    "block_out_channels",
    "layers_per_block",
    "down_block_types",
    "cross_attention_dim",
    "attention_head_dim",
    "use_linear_projection",
    "in_channels",
)


@dataclass(frozen=True, kw_only=True)
class MotionInfo:
    """Where a motion comes from. Shown to users, never executed.

    Args:
        architecture: the fields `ARCHITECTURE` of the base UNet's config.
        base_hash: `files.digest` of the base UNet's weights.
        prompt: the prompt it was tuned under.
        num_frames, stride, fps, width, height: the clip it was tuned on; fps and stride 0 where unknown.
        modes: attention mode, group norm and positions of the UNet it was tuned in; no positions where not named.
        config: the tuning settings.
        steps_done: tuning steps behind it.
        pack_version: of this library.
        format_version: of the file.
    """

    architecture: Mapping[str, Any]
    base_hash: str
    prompt: str = ""
    num_frames: int = 0
    stride: int = 0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    modes: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    steps_done: int = 0
    pack_version: str = ""
    format_version: int = FORMAT_VERSION

    def to_metadata(self) -> dict[str, str]:
        return {name: json.dumps(value) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> MotionInfo:
        """Reads what `to_metadata` wrote; fields of later formats are left out.

        Raises:
            KeyError, TypeError, ValueError: not a motion's metadata.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        info = cls(**{name: json.loads(value) for name, value in metadata.items() if name in known})
        if not all(isinstance(part, dict) for part in (info.architecture, info.modes, info.config)):
            raise TypeError("architecture, modes and config should be objects")
        return info


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A tuned motion, on the CPU in float32.

    Args:
        deltas: differences from the base UNet's weights, by their published names.
        temporal: the temporal blocks' weights, whole, by theirs.
        info: where it comes from.
    """

    deltas: Mapping[str, Tensor]
    temporal: Mapping[str, Tensor]
    info: MotionInfo

    def save(self, path: str | Path, *, dtype: torch.dtype = torch.float16) -> Path:
        """Writes one safetensors file, whole or not at all.

        Args:
            dtype: float16 halves the file (about 150 MB for SD 1.x); float32 keeps every bit.

        Raises:
            OutputError: no space, no permission.
        """
        tensors = {f"delta.{name}": tensor.to(dtype) for name, tensor in self.deltas.items()}
        tensors |= {f"temporal.{name}": tensor.to(dtype) for name, tensor in self.temporal.items()}
        return save_tensors(path, tensors, self.info.to_metadata())

    @classmethod
    def load(cls, path: str | Path) -> Motion:
        """Reads a file that `save` wrote. Nothing in it is more than numbers and text, whatever it says.

        Raises:
            MotionError: no such file, damaged, not a motion, not finite, or of a later format.
        """
        tensors, metadata = load_tensors(path, error=MotionError, what="a motion file (.safetensors)")
        info = read_info(path, metadata)
        parts: dict[str, dict[str, Tensor]] = {"delta": {}, "temporal": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts or tensor.dtype not in DTYPES or not torch.isfinite(tensor).all():
                raise MotionError(
                    got=f"{path}, whose tensor {name} is unknown or holds values that are not finite numbers",
                    expected="the tensors of a tuned motion",
                    mend="The file is damaged: make or copy it again.",
                )
            parts[part][rest] = tensor.float()
        return cls(deltas=parts["delta"], temporal=parts["temporal"], info=info)

    def apply_to(
        self,
        unet: UNet2DConditionModel,
        *,
        strength: float = 1.0,
        temporal_strength: float = 1.0,
        **modes: Any,
    ) -> InflatedUNet:
        """Inflates a 2-D UNet and puts the motion on it. The given UNet stays as it is.

        Args:
            unet: any checkpoint's UNet of the architecture it was tuned on.
            strength: factor on the differences; 0 leaves the base model's queries.
            temporal_strength: factor on what the temporal blocks add.
            modes: `attention`, `attention_k`, `group_norm`, `positions`, `backend` of `InflatedUNet.from_2d`; as tuned
                by default.

        Raises:
            MotionError: another architecture; names the first thing that differs.
            ConfigError: a strength that is no finite number.
        """
        from .unet import InflatedUNet

        check_strengths(strength=strength, temporal_strength=temporal_strength)
        self.check_fits(unet)
        inflated = InflatedUNet.from_2d(unet, **{**self.info.modes, **modes})
        inflated.load_temporal(self.temporal)
        with torch.no_grad():
            for block in inflated.blocks().values():
                for parameter in block.attn_temp.to_out[0].parameters():
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
        for name, value in self.info.architecture.items():
            own = as_json(config.get(name))
            if own != value:
                raise MotionError(
                    got=f"a motion tuned on {name_family(self.info.architecture)}, with {name} {value}",
                    expected=f"{name} {own}, as in this model, {name_family(config)}",
                    mend="Use a checkpoint of the family it was tuned on, or tune again on this one.",
                )


def check_strengths(**strengths: float) -> None:
    """Raises `ConfigError` unless all are finite numbers."""
    for name, value in strengths.items():
        if not is_number(value) or not math.isfinite(value):
            raise ConfigError(
                got=f"{name} {value!r}", expected="a finite number", mend="Use 1, which is as tuned, or 0 to 2."
            )


def read_info(path: str | Path, metadata: Mapping[str, str]) -> MotionInfo:
    """The metadata of a motion file, checked."""
    refuse_later_format(path, metadata)
    try:
        info = MotionInfo.from_metadata(metadata)
        check_info(info)
    # JSON that is nested too deep ends in a RecursionError.
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise MotionError(
            got=f"{path}, whose metadata is not a motion's ({error})",
            expected="a file written by Motion.save",
            mend="Give a motion file; a UNet saved by the original is read by import_original.",
        ) from error
    return info


def refuse_later_format(path: str | Path, metadata: Mapping[str, str]) -> None:
    """Refuses a file of a later version of this pack, whose metadata may be anything."""
    written = metadata.get("format_version", "0")
    if written.isdecimal() and len(written) < 9 and int(written) > FORMAT_VERSION:
        raise MotionError(
            got=f"{path}, a motion of format {written}",
            expected=f"format {FORMAT_VERSION} or older",
            mend="Update this pack.",
        )


def check_info(info: MotionInfo) -> None:
    """Checks what a file says of itself: these values become sizes, modes and texts elsewhere.

    Raises:
        ValueError, TypeError: names the first field that does not fit.
    """
    for name in ("num_frames", "stride", "width", "height", "steps_done", "format_version"):
        value = getattr(info, name)
        if not is_whole(value) or not 0 <= value < 2**31:
            raise ValueError(f"{name} should be a whole number")
    for name in ("base_hash", "prompt", "pack_version"):
        if not isinstance(getattr(info, name), str):
            raise TypeError(f"{name} should be text")
    if not is_number(info.fps) or not 0 <= info.fps < 1e6:
        raise ValueError("fps should be a number")
    if missing := [name for name in ARCHITECTURE if name not in info.architecture]:
        raise ValueError(f"architecture lacks {missing[0]}")
    modes = {**UNNAMED_MODES, **info.modes}
    if modes.keys() != UNNAMED_MODES.keys() or not is_whole(modes["attention_k"]):
        raise ValueError(f"modes should be {', '.join(UNNAMED_MODES)}")
    check_positions(modes["positions"])
    visible_frames(modes["attention"], 1, modes["attention_k"])
    if modes["group_norm"] not in GROUP_NORMS:
        raise ValueError(f"group_norm should be one of {', '.join(GROUP_NORMS)}")


def describe_architecture(unet: UNet2DConditionModel) -> dict[str, Any]:
    """The settings that a motion's base must share, as plain JSON values."""
    return {name: as_json(unet.config[name]) for name in ARCHITECTURE}


def name_family(config: Mapping[str, Any]) -> str:
    """The family of a UNet, by the width of the text it attends to."""
    width = config.get("cross_attention_dim")
    return {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}.get(width, "a model of another size")


def as_json(value: Any) -> Any:
    """A value as it comes back from a file: tuples become lists."""
    return json.loads(json.dumps(value))


def hash_base(unet: UNet2DConditionModel) -> str:
    """A hash of a UNet's 2-D weights, the same before and after inflation and in half precision."""
    return digest({name: tensor for name, tensor in unet.state_dict().items() if not is_temporal(name)})


def set_parameter(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Puts a parameter in the place of another of the same dotted name."""
    owner, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(owner), attribute, parameter)


def import_original(state_dict: Mapping[str, Tensor], unet: UNet2DConditionModel) -> Motion:
    """A motion from a UNet that the original implementation saved.

    Args:
        state_dict: the saved UNet, from `checkpoints.load_original_unet`.
        unet: the 2-D UNet of the checkpoint it was tuned on.

    Raises:
        MotionError: another architecture, or weights that the original never tunes differ: not its base.
    """
    base = unet.state_dict()
    check_same_shapes({n: t for n, t in state_dict.items() if not is_temporal(n)}, base, what="a saved UNet")
    deltas = {}
    for name, tensor in base.items():
        difference = state_dict[name].detach().cpu().float() - tensor.detach().cpu().float()
        if name.endswith(("attn1.to_q.weight", "attn2.to_q.weight")):
            deltas[name] = difference
        elif difference.abs().max() > 2e-3 * tensor.abs().max():
            raise MotionError(
                got=f"a saved UNet whose {name} is not this model's",
                expected="the checkpoint that the original was tuned on: it leaves this weight as it was",
                mend="Load the checkpoint named in its training config as the base.",
            )
    temporal = {name: tensor.detach().cpu().float() for name, tensor in state_dict.items() if is_temporal(name)}
    modes = {"attention": "sparse_causal", "group_norm": "clip"}
    info = MotionInfo(architecture=describe_architecture(unet), base_hash=hash_base(unet), modes=modes)
    motion = Motion(deltas=deltas, temporal=temporal, info=info)
    motion.apply_to(unet)
    return motion
