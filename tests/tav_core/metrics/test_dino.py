"""DINO's embeddings against transformers' own model."""

from __future__ import annotations

import pytest
import torch

from tav_core.errors import CheckpointError
from tav_core.metrics.dino import load_dino_model
from tav_core.metrics.images import IMAGENET_MEAN, IMAGENET_STD


def test_embeddings_are_those_of_transformers(dino_folder, offline):
    from transformers import ViTModel

    # 37 pixels high, as 256 is to 224: there is nothing to resize.
    frames = torch.randint(0, 256, (4, 37, 50, 3), generator=torch.Generator().manual_seed(1)) / 255
    model = ViTModel.from_pretrained(str(dino_folder), local_files_only=True).eval()
    pixels = (frames - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    with torch.no_grad():
        theirs = model(pixel_values=pixels[:, 2:34, 9:41].movedim(-1, 1)).last_hidden_state[:, 0]
    ours = load_dino_model(dino_folder).encode_images(frames)
    assert ours.shape == (4, 32)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_another_model(clip_folder):
    with pytest.raises(CheckpointError, match="model_type vit"):
        load_dino_model(clip_folder)
