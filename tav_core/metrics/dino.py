"""DINO as a judge of likeness: it was trained without text, so it responds to shape and texture more than CLIP does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..checkpoints.transformers_folder import load_pretrained, read_model_type
from ..errors import CheckpointError
from .images import IMAGENET_MEAN, IMAGENET_STD, encode_in_batches, prepare_images

if TYPE_CHECKING:
    from transformers import ViTModel

# DINO's own evaluation resizes to 256 and crops 224 (eval_knn.py).
RESIZE_OVER_CROP = 256 / 224


@dataclass(frozen=True, kw_only=True, eq=False)
class DinoEncoder:
    """A frozen DINO model (ViT-S/16 in the papers that use it for scores).

    Args:
        model: the vision transformer.
        path: where it was loaded from.
    """

    model: ViTModel
    path: Path

    @torch.no_grad()
    def encode_images(self, frames: Tensor) -> Tensor:
        """The class token of each frame, `f d` float32 on the CPU, of frames `f h w 3` in [0, 1]."""
        crop = self.model.config.image_size
        spread = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}

        def encode(part: Tensor) -> Tensor:
            pixels = prepare_images(
                part.to(self.model.device), resize=round(crop * RESIZE_OVER_CROP), crop=crop, **spread
            )
            return self.model(pixel_values=pixels).last_hidden_state[:, 0]

        return encode_in_batches(encode, frames)


@torch.inference_mode(False)
def load_dino_model(path: str | Path, *, device: torch.device | str = "cpu") -> DinoEncoder:
    """Loads a DINO from the disk.

    Args:
        path: a folder that transformers saved, with the model_type "vit", for example facebook/dino-vits16.
        device: where the weights go; they are float32.

    Raises:
        CheckpointError: there is nothing at `path`, it is damaged, or it has another model type.
    """
    from transformers import ViTModel

    path = Path(path).expanduser()
    kind = read_model_type(path)
    if kind != "vit":
        raise CheckpointError(
            got=f"{path}, a model of type {kind or '(none)'}",
            expected="the model_type vit in its config.json, as in dino-vits16",
            mend="Give the folder of a DINO in transformers' format.",
        )
    return DinoEncoder(model=load_pretrained(ViTModel, path, add_pooling_layer=False).to(device), path=path)
