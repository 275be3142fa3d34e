"""Reads a LoRA file (arXiv 2106.09685): pairs of thin matrices whose product is a difference of a layer's weight.

    kohya's and ComfyUI's   lora_unet_<layer, with _ for dots>.lora_down.weight, .lora_up.weight, .alpha
    diffusers', peft's      unet.<layer>.lora_A.weight, .lora_B.weight; older ones .lora.down.weight, .lora.up.weight
    the oldest              <layer>.processor.to_q_lora.down.weight

The difference is scale * alpha / rank * up @ down; a file without alpha means alpha = rank. peft's alphas stand in the
metadata of diffusers' files, or in adapter_config.json beside the file. lora_names.py says which layer a name means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..layouts import all_finite
from ..settings import is_number
from .weight_files import WeightFile, open_weights

# The endings of the tensors' names, and what such a tensor is.
ENDINGS = {
    **dict.fromkeys((".lora_down.weight", ".lora.down.weight", "_lora.down.weight"), "down"),
    **dict.fromkeys((".lora_up.weight", ".lora.up.weight", "_lora.up.weight"), "up"),
    **dict.fromkeys((".lora_A.weight", ".lora_A.default.weight", ".lora_linear_layer.down.weight"), "down"),
    **dict.fromkeys((".lora_B.weight", ".lora_B.default.weight", ".lora_linear_layer.up.weight"), "up"),
    ".lora_mid.weight": "mid",
    ".alpha": "alpha",
}
# What ends or goes on the names of layers in files of other methods, and the names of these.
OTHER_METHODS = {
    r"\.hada_": "a LoHa (LyCORIS)",
    r"\.lokr_": "a LoKr (LyCORIS)",
    r"\.dora_scale$|\.lora_magnitude_vector": "a DoRA",
    r"\.b?oft_": "an OFT (LyCORIS)",
    r"\.on_input$": "an IA3 (LyCORIS)",
    r"\.[ab][12]\.weight$": "a GLoRA (LyCORIS)",
    r"\.diff(_b)?$|\.[wb]_norm$": "whole differences of weights (LyCORIS)",
    r"motion_modules\.": "a motion LoRA of AnimateDiff",
}
# Embeddings of words, which some files hold beside; those in checkpoints are not read either.
BUNDLED = "bundle_emb."
CONFIG_BESIDE = "adapter_config.json"
CONFIG_INSIDE = "lora_adapter_metadata"
MERGE = "Merge it into the checkpoint with the tool that made it, or use it in ComfyUI, which reads it."


@dataclass(frozen=True, kw_only=True, eq=False)
class LoraLayer:
    """The difference of one layer's weight, as in the file.

    Args:
        name: the layer's name in the file.
        up, down: `out rank` and `rank in`, or of a convolution with its kernel behind.
        mid: `rank rank height width`, the kernel of a convolution that is split in three (LoCon's Tucker).
        factor: alpha / rank.
    """

    name: str
    up: Tensor
    down: Tensor
    mid: Tensor | None = None
    factor: float = 1.0

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def difference(self, device: torch.device | str = "cpu") -> Tensor:
        """The difference of the weight, flattened to `out (in height width)`, in float32."""
        up, down = (part.to(device, torch.float32).flatten(1) for part in (self.up, self.down))
        if self.mid is not None:
            kernel = self.mid.to(device, torch.float32)
            return self.factor * torch.einsum("o s, s r h w, r i -> o i h w", up, kernel, down).flatten(1)
        return self.factor * (up @ down)


@dataclass(frozen=True, kw_only=True, eq=False)
class LoraFile:
    """What a LoRA file holds: the differences by layer, and what it says about itself."""

    path: Path
    layers: tuple[LoraLayer, ...]
    metadata: Mapping[str, str]


def is_lora(names: Iterable[str]) -> bool:
    """Whether tensors of these names are those of a LoRA, or of another method to change a model's layers."""
    ups = tuple(ending for ending, part in ENDINGS.items() if part == "up")
    return any(name.endswith(ups) for name in names) or find_other_method(names) is not None


def find_other_method(names: Iterable[str]) -> str | None:
    """The name of another method than LoRA whose files have tensors of these names; None for none."""
    found = (title for mark, title in OTHER_METHODS.items() if any(re.search(mark, name) for name in names))
    return next(found, None)


def read_lora(path: str | Path) -> LoraFile:
    """Reads a LoRA file onto the CPU.

    Raises:
        CheckpointError: no such file, a damaged one, one that would run code, or one of another method or kind.
    """
    file = open_weights(path)
    refuse_other_methods(file)
    names = [name for name in file.shapes if not name.startswith(BUNDLED)]
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.fetch(names).items():
        ending = next((ending for ending in ENDINGS if name.endswith(ending)), None)
        if ending is None or not all_finite(tensor) or not (tensor.is_floating_point() or ending == ".alpha"):
            raise not_a_lora(file.path, f"{name}, {tensor.dtype}, which is no part of a LoRA or not finite")
        found.setdefault(name.removesuffix(ending), {})[ENDINGS[ending]] = tensor
    alphas = read_alphas(file)
    return LoraFile(
        path=file.path,
        layers=tuple(build_layer(file.path, name, parts, alphas) for name, parts in found.items()),
        metadata=file.metadata,
    )


def refuse_other_methods(file: WeightFile) -> None:
    """Raises `CheckpointError` for weights that no LoRA has: those of other methods, and whole models."""
    if title := find_other_method(file.shapes):
        raise CheckpointError(got=f"{title}: {file.path}", expected="a LoRA or LoCon", mend=MERGE)
    if not is_lora(file.shapes):
        raise not_a_lora(file.path, f"{next(iter(file.shapes), 'nothing')}")


def not_a_lora(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        got=f"a file with {what}: {path}",
        expected="a LoRA file, in the layout of kohya, ComfyUI, diffusers or peft",
        mend="Give the file of a LoRA; a checkpoint belongs after --model.",
    )


def build_layer(path: Path, name: str, parts: Mapping[str, Tensor], alphas: Alphas) -> LoraLayer:
    """One layer from its tensors, whose shapes are checked against each other."""
    up, down, mid = parts.get("up"), parts.get("down"), parts.get("mid")
    if up is None or down is None:
        raise CheckpointError(
            got=f"{path}, in which {name} has no {'up' if up is None else 'down'} matrix",
            expected="two matrices for each layer",
            mend="The file is cut short or damaged: get it again.",
        )
    rank = down.shape[0] if down.ndim > 1 else 0
    fits = up.ndim > 1 and up.shape[1:].numel() == rank > 0
    if not fits or (mid is not None and (mid.ndim != 4 or mid.shape[:2] != (rank, rank))):
        raise CheckpointError(
            got=f"{path}, in which {name} has matrices of {tuple(up.shape)} and {tuple(down.shape)}",
            expected="matrices that can be multiplied, as many columns in the first as rows in the second",
            mend="The file is damaged: get it again.",
        )
    own = parts.get("alpha")
    if own is not None and not own.numel():
        raise not_a_lora(path, f"{name}.alpha without a value")
    factor = alphas.factor(name, rank) if own is None else own.float().reshape(-1)[0].item() / rank
    return LoraLayer(name=name, up=up, down=down, mid=mid, factor=factor)


@dataclass(frozen=True, kw_only=True)
class Alphas:
    """peft's settings of a file: what scales the layers, by the beginning of their names.

    Args:
        configs: fields of `LoraConfig` by the prefix of the layers that they are of, such as "unet.".
    """

    configs: Mapping[str, Mapping[str, Any]]

    def factor(self, name: str, rank: int) -> float:
        """alpha / rank of a layer, or alpha / sqrt(rank) (rsLoRA, arXiv 2312.03732); 1 if nothing is said."""
        for prefix, config in self.configs.items():
            alpha: Any = config.get("lora_alpha")
            if not name.startswith(prefix) or not is_number(alpha):
                continue
            patterns = config.get("alpha_pattern") or {}
            alpha = next((other for pattern, other in patterns.items() if matches(pattern, name)), alpha)
            return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)
        return 1.0


def matches(pattern: str, name: str) -> bool:
    """Whether peft applies a pattern to a layer: a regular expression for the end of its name, from a dot on."""
    return re.fullmatch(rf"(.*\.)?({pattern})", name) is not None


def check_patterns(patterns: Mapping[str, Any]) -> None:
    """Raises ValueError or TypeError unless these are regular expressions with numbers."""
    for pattern, alpha in patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"alpha_pattern {pattern!r}: {error}") from error
        if not is_number(alpha):
            raise TypeError(f"alpha_pattern {pattern!r} has {alpha!r}")


def find_settings(path: Path) -> Path | None:
    """The file of peft's settings beside a LoRA; None if there is none."""
    beside = path.parent / CONFIG_BESIDE
    # Beside adapter_model.safetensors alone: other files in such a folder are not of this adapter.
    return beside if path.stem == "adapter_model" and beside.is_file() else None


def read_alphas(file: WeightFile) -> Alphas:
    """peft's settings in a file's metadata, or in the adapter_config.json beside it; none are none."""
    try:
        inside = json.loads(file.metadata.get(CONFIG_INSIDE, "{}"))
        # Some trainers write it as it is: unet.lora_alpha.
        plain = {name: text for name, text in file.metadata.items() if name.split(".")[-1] == "lora_alpha"}
        inside = inside or {name: json.loads(text) for name, text in plain.items()}
        if not inside and (beside := find_settings(file.path)):
            inside = json.loads(beside.read_text("utf-8"))
        configs: dict[str, dict[str, Any]] = {}
        for name, value in inside.items():
            # The settings of one model alone, as `save_lora_adapter` writes them, have no part in front.
            part, dot, setting = ("", "", name) if "lora_alpha" in inside else name.partition(".")
            configs.setdefault(f"{part}{dot}", {})[setting] = value
        for config in configs.values():
            check_patterns(config.get("alpha_pattern") or {})
        return Alphas(configs=configs)
    except (OSError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            got=f"{file.path}, whose settings of peft cannot be read ({error})",
            expected=f"JSON in its metadata, or in {CONFIG_BESIDE}",
            mend="Get the file again.",
        ) from error
