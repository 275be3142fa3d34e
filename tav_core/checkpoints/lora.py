"""Puts LoRAs on a checkpoint: their differences are added to the weights, as ComfyUI's LoRA loader does.

lora_file.py reads the files, lora_names.py finds the layers. The sums are float32, and nothing but PyTorch is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..cancelling import cancellable
from ..errors import CheckpointError, ConfigError
from ..models.families import FAMILIES, find_family
from ..models.shared_weights import copy_structure
from ..settings import is_number
from .load import Checkpoint
from .lora_file import LoraFile, LoraLayer, read_lora
from .lora_names import list_layers, parts_of, split_name

# Where each layer of one LoRA belongs: the part of the checkpoint, and the layer's own name.
Places = dict[tuple[str, str], LoraLayer]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lora:
    """A LoRA to put on a checkpoint.

    Args:
        file: what `read_lora` read.
        scale: how strong; 1 is as trained, 0 nothing, below 0 the reverse. Of the UNet and the text encoder.

    Raises:
        ConfigError: the scale is not a finite number.
    """

    file: LoraFile
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not is_number(self.scale) or not math.isfinite(self.scale):
            raise ConfigError(
                got=f"a LoRA's scale of {self.scale!r}",
                expected="a finite number",
                mend="Use 1 for the LoRA as trained, or 0 to 2.",
            )


def load_lora(path: str | Path, scale: float = 1.0) -> Lora:
    """Reads a LoRA file, for `apply_loras`; for the arguments and errors see `Lora` and `read_lora`."""
    return Lora(file=read_lora(path), scale=scale)


@torch.inference_mode(False)
@torch.no_grad()
def apply_loras(checkpoint: Checkpoint, loras: Sequence[Lora]) -> Checkpoint:
    """A checkpoint with LoRAs in its UNet and text encoders. The given one is not changed; other weights are shared.

    A model with LoRAs is another model: a motion that is tuned on it records its hash, and a run continues only with
    the same LoRAs at the same scales. Motions fit both.

    Raises:
        CheckpointError: a LoRA is of another family, or has a layer that the checkpoint has not; the first is named.
    """
    if not loras:
        return checkpoint
    names = list_layers(checkpoint)
    placed = [(lora.scale, place_layers(lora.file, checkpoint, names)) for lora in loras]
    changed = {part: copy_structure(module) for part, module in parts_of(checkpoint).items()}
    for part, name in cancellable(dict.fromkeys(place for _, places in placed for place in places)):
        layer = changed[part].get_submodule(name)
        own = [(scale, places[part, name]) for scale, places in placed if (part, name) in places]
        layer.weight = nn.Parameter(add(weight_of(layer), own, where=f"{part}, {name}"), requires_grad=False)
    parts: dict[str, Any] = changed
    return replace(checkpoint, **parts)


def weight_of(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor), "linear layers and convolutions have a weight"
    return weight


def add(weight: Tensor, layers: Sequence[tuple[float, LoraLayer]], *, where: str) -> Tensor:
    """A weight with the differences of several LoRAs, summed in float32."""
    total = weight.detach().float()
    for scale, layer in layers:
        total = total + scale * layer.difference(weight.device).reshape(weight.shape)
    result = total.to(weight.dtype)
    if not torch.isfinite(result).all():
        raise CheckpointError(
            got=f"LoRAs with which {where} is no longer finite in {weight.dtype}",
            expected="weights that are finite",
            mend="Use a lower scale, or fp32 or bf16.",
        )
    return result


def place_layers(file: LoraFile, checkpoint: Checkpoint, names: Mapping[tuple[str, str], str]) -> Places:
    """The layers of a LoRA by their places in a checkpoint. Every layer must have one: what is left out is felt.

    Layers of a text encoder above the last one that the checkpoint has are left out, because nothing runs them: 2.x
    takes the text from the last but one.
    """
    parts, places, unused = parts_of(checkpoint), Places(), []
    for layer in file.layers:
        part, plain = split_name(layer.name)
        if (part, plain) in names:
            place = part, names[part, plain]
            check_shape(file.path, layer, weight_of(parts[part].get_submodule(place[1])), checkpoint)
            if place in places:
                raise misfit(file, checkpoint, f"two names for one layer, {places[place].name} and {layer.name}")
            places[place] = layer
        elif not is_above(parts.get(part), plain):
            unused.append(layer.name)
    if unused:
        raise misfit(file, checkpoint, f"{len(unused)} of {len(file.layers)} layers it has not, such as {unused[0]}")
    if not places:
        raise misfit(file, checkpoint, "no layer of it is one that this model runs")
    return places


def is_above(text_encoder: nn.Module | None, plain: str) -> bool:
    """Whether a layer's plain name is that of a text encoder's layer above the last one."""
    start, _, rest = plain.partition("encoder_layers_")
    number = rest.split("_")[0]
    layers = getattr(getattr(text_encoder, "config", None), "num_hidden_layers", None)
    return not start and number.isdecimal() and layers is not None and int(number) >= layers


def check_shape(path: Path, layer: LoraLayer, weight: Tensor, checkpoint: Checkpoint) -> None:
    """Raises `CheckpointError` unless a layer's difference has the shape of the weight."""
    kernel = layer.down.shape[1:].numel() if layer.mid is None else layer.down.shape[1] * layer.mid[0, 0].numel()
    found, own = (layer.up.shape[0], kernel), (weight.shape[0], weight[0].numel())
    if found != own:
        what = f"{layer.name} changes {found[0]}x{found[1]} weights, where it has {own[0]}x{own[1]}"
        raise misfit(LoraFile(path=path, layers=(layer,), metadata={}), checkpoint, what)


def misfit(file: LoraFile, checkpoint: Checkpoint, what: str) -> CheckpointError:
    own = find_family(checkpoint.unet.config).title
    family = find_lora_family(file)
    return CheckpointError(
        got=f"a LoRA{f' for {family}' if family else ''} on {own} ({what}): {file.path}",
        expected=f"a LoRA that was trained on {own}",
        mend="Use it with a checkpoint of the family that it was trained on.",
    )


def find_lora_family(file: LoraFile) -> str:
    """The title of the family that a LoRA was trained on, by the width of its text; "" if that is unknown."""
    widths = {str(family.text_width): family.title for family in FAMILIES}
    for layer in file.layers:
        part, plain = split_name(layer.name)
        if part == "text_encoder_2":
            return FAMILIES[-1].title
        if part == "unet" and plain.endswith(("attn2_to_k", "attn2_to_v")):
            return widths.get(str(layer.down.shape[1]), "")
    return ""


def describe_lora(file: LoraFile) -> dict[str, str]:
    """What a LoRA file is, as names and values to print."""
    parts = [split_name(layer.name)[0] for layer in file.layers]
    ranks = sorted({layer.rank for layer in file.layers})
    factors = sorted({round(layer.factor, 4) for layer in file.layers})
    return {
        "kind": "LoRA",
        "trained on": find_lora_family(file) or file.metadata.get("ss_base_model_version", "unknown"),
        "layers": ", ".join(f"{parts.count(part)} in {part}" for part in dict.fromkeys(parts)),
        "rank": join_range(ranks),
        "alpha / rank": join_range(factors),
    }


def join_range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
