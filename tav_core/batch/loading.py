"""What a process keeps between jobs: the checkpoint and the judges, one set of them, loaded when first used."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints.load import Checkpoint, load_checkpoint
from ..checkpoints.lora import apply_loras, load_lora
from ..checkpoints.refusals import wrong_family
from ..metrics.clip import ClipEncoder, load_clip_model
from ..metrics.dino import load_dino_model
from ..models.devices import choose_dtype, find_device
from ..models.unsupported import INSTRUCT
from .recipe import Recipe

if TYPE_CHECKING:
    from ..metrics.clip import ImageEncoder

_kept: dict[str, tuple[Any, Any]] = {}


def checkpoint_of(recipe: Recipe) -> Checkpoint:
    """The batch's model with its LoRAs, on its device.

    Raises:
        CheckpointError: it cannot be loaded, or is InstructPix2Pix's; or a LoRA does not fit it.
    """
    precision = "fp16" if recipe.tuning.precision == "auto" else recipe.tuning.precision
    asked: dict[str, Any] = {
        "path": recipe.model,
        "dtype": choose_dtype(recipe.device or None, recipe.dtype or None, precision=precision),
        "device": find_device(recipe.device or None),
        "prediction_type": recipe.prediction_type or None,
        "tokenizer": recipe.tokenizer or None,
        "vae": recipe.vae or None,
    }
    return kept("checkpoint", [asked, recipe.loras], lambda: load_model(asked, recipe.loras))


def load_model(asked: Mapping[str, Any], loras: Mapping[str, float]) -> Checkpoint:
    """A text-to-image checkpoint with LoRAs, by the arguments of `load_checkpoint`."""
    found = load_checkpoint(**asked)
    if found.takes_pictures:
        raise wrong_family(found.path, INSTRUCT, mend="Use it with the command instruct.")
    return apply_loras(found, [load_lora(path, scale) for path, scale in loras.items()])


def clip_judge(path: str, recipe: Recipe) -> ClipEncoder | None:
    """A CLIP, such as PickScore's; None for no path."""
    device = find_device(recipe.device or None)
    return kept(f"clip {path}", device, lambda: load_clip_model(path, device=device)) if path else None


def dino_judge(recipe: Recipe) -> ImageEncoder | None:
    """The batch's DINO; None if it has none."""
    path, device = recipe.dino, find_device(recipe.device or None)
    return kept(f"dino {path}", device, lambda: load_dino_model(path, device=device)) if path else None


def kept(name: str, asked: Any, load: Any) -> Any:
    """What was loaded under a name, loaded again if something else is asked for."""
    if name not in _kept or _kept[name][0] != asked:
        _kept.pop(name, None)
        _kept[name] = (asked, load())
    return _kept[name][1]


def let_go() -> None:
    """Frees what is kept, for a job that ran out of memory."""
    _kept.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
