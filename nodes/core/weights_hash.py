"""What a core model is, as a hash: its weights and the LoRAs on it, to tell whether a result is still of this model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...tav_core.cancelling import cancellable
from ...tav_core.tensor_files import digest
from .frames import check_has_vae
from .unet import is_distilled, key_patches, read_schedule

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def hash_model(model: ModelPatcher) -> str:
    """The hash of a MODEL's UNet with its LoRAs, and of its noise schedule."""
    schedule = read_schedule(model)
    told = [repr((schedule.prediction_type, schedule.alphas)), *(["distilled"] if is_distilled(model) else [])]
    return combine(hash_patched(key_patches(model)), *told)


def hash_clip(clip: Any) -> str:
    """The hash of a CLIP with its LoRAs, and of the layer that it stops at."""
    return combine(hash_patched(clip.patcher.get_key_patches()), repr(clip.layer_idx))


def hash_vae(vae: Any) -> str:
    """The hash of a VAE.

    Raises:
        CheckpointError: there is none.
    """
    check_has_vae(vae)
    return digest(vae.first_stage_model.state_dict())


def hash_patched(patched: dict[str, list]) -> str:
    """The hash of weights with patches on them, as ComfyUI's `get_key_patches` gives them."""
    total = hashlib.sha256(digest({name: parts[0][0] for name, parts in patched.items()}).encode())
    for name in cancellable(sorted(patched)):
        for patch in patched[name][1:]:
            total.update(name.encode())
            add(total, patch)
    return total.hexdigest()


def add(total: Any, value: Any) -> None:
    """Adds a patch to a hash: numbers, texts and tensors, in tuples or in what ComfyUI keeps the parts of a LoRA in."""
    if isinstance(value, Tensor):
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, (tuple, list)):
        for part in value:
            add(total, part)
    elif hasattr(value, "weights"):
        add(total, [type(value).__name__, value.weights])
    elif not callable(value):
        total.update(repr(value).encode())


def combine(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
