"""What each of several clips looks like, kept apart from how all of them move (MotionDirector, arXiv 2310.08465).

Every linear layer of the spatial transformers gets two factors per clip, a LoRA (low_rank.py). They learn single frames
of their clip while the temporal attention is off; with them on, the temporal attention learns the whole clip. Whoever
renders leaves them out, or loads one as an ordinary LoRA.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.inflation import TemporalLayer, recast
from ..models.parameter_names import is_temporal
from ..tensor_files import save_tensors

# The endings of the factors' names, before the number of their clip.
DOWN, UP = ".appearance_down.", ".appearance_up."
# Which linear layers get factors: attention within a frame and to the text, and the feed-forward.
PARTS = (".attn1.", ".attn2.", ".ff.")


class ActiveClip:
    """Which clip's factors are on; None for none. All layers of a UNet share one."""

    def __init__(self) -> None:
        self.value: int | None = None


class AppearanceLinear(nn.Module):
    """A mixin for a linear layer with a difference of low rank for each clip, one of which may be on."""

    appearance_down: nn.ParameterList
    appearance_up: nn.ParameterList
    active: ActiveClip

    def forward(self, tokens: Tensor) -> Tensor:
        output = super().forward(tokens)
        at = self.active.value
        if at is None:
            return output
        down, up = (factors[at].to(tokens.dtype) for factors in (self.appearance_down, self.appearance_up))
        return output + F.linear(F.linear(tokens, down), up)


def add_appearances(root: nn.Module, num_clips: int, *, rank: int, seed: int) -> ActiveClip:
    """Gives the linear layers of the spatial transformers, in place, factors for each clip that train in float32.

    Args:
        rank: of each difference; at most a layer's lesser width.
        seed: of the factors `down`, which are drawn from N(0, 1 / rank^2) on the CPU.
    """
    active, generator = ActiveClip(), torch.Generator("cpu").manual_seed(seed)
    for path in [name for name, module in root.named_modules() if is_spatial(name) and isinstance(module, nn.Linear)]:
        layer = root.get_submodule(path)
        assert isinstance(layer, nn.Linear), "chosen above"
        own, device = min(rank, layer.in_features, layer.out_features), layer.weight.device
        shape = (num_clips, own, layer.in_features)
        downs = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu").to(device) / own
        ups = torch.zeros((num_clips, layer.out_features, own), dtype=torch.float32, device=device)
        kind = type(f"Appearance{type(layer).__name__}", (AppearanceLinear, type(layer)), {})
        changed: nn.Module = recast(layer, kind, active=active)
        changed.appearance_down = nn.ParameterList([nn.Parameter(down.clone()) for down in downs])
        changed.appearance_up = nn.ParameterList([nn.Parameter(up.clone()) for up in ups])
        owner, _, attribute = path.rpartition(".")
        setattr(root.get_submodule(owner), attribute, changed)
    return active


def is_spatial(name: str) -> bool:
    """Whether a layer's name is of a spatial transformer block."""
    return ".transformer_blocks." in name and any(part in f"{name}." for part in PARTS) and not is_temporal(f"{name}.")


def is_appearance(name: str) -> bool:
    """Whether a parameter's name is that of one of the factors."""
    return DOWN in name or UP in name


@contextmanager
def without_time(unet: nn.Module) -> Iterator[None]:
    """Leaves the temporal attention out: frames are then pictures of their own."""
    layers = [module for module in unet.modules() if isinstance(module, TemporalLayer) and module.attn_temp is not None]
    kept = [layer._modules["attn_temp"] for layer in layers]
    for layer in layers:
        layer._modules["attn_temp"] = None
    try:
        yield
    finally:
        for layer, attention in zip(layers, kept, strict=True):
            layer._modules["attn_temp"] = attention


@contextmanager
def frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Keeps parameters from learning."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def factors_of(trained: Mapping[str, Tensor], clip: int) -> dict[str, tuple[Tensor, Tensor]]:
    """A clip's factors, `down` and `up` by the name of their layer, as copies on the CPU in float32."""
    found = {}
    for name, down in trained.items():
        layer, is_down, number = name.rpartition(DOWN)
        if is_down and number == str(clip):
            pair = (down, trained[f"{layer}{UP}{number}"])
            found[layer] = (pair[0].detach().cpu().float().clone(), pair[1].detach().cpu().float().clone())
    return found


def save_lora(path: str | Path, factors: Mapping[str, tuple[Tensor, Tensor]], *, dtype: torch.dtype) -> Path:
    """Writes factors as a LoRA in kohya's layout, which ComfyUI, the stock pipelines and `--lora` read.

    Args:
        path: a new file, .safetensors.
        factors: as `factors_of` gives them.
        dtype: of the file.
    """
    tensors = {}
    for layer, (down, up) in factors.items():
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{name}.lora_down.weight"] = down.to(dtype)
        tensors[f"{name}.lora_up.weight"] = up.to(dtype)
        # The rank, so that strength 1 is what was trained.
        tensors[f"{name}.alpha"] = torch.tensor(len(down), dtype=torch.float32, device="cpu")
    return save_tensors(path, tensors, {})
