"""Tiny judges with random weights, saved as users have them, and clips with a known motion."""

from __future__ import annotations

import pytest
import torch

from tav_core.checkpoints import CLIP_TOKENIZER

TOKENS = 49408


def randomize(module, seed):
    """Every weight differs from every other, so that none can stand in another's place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            center = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + center)
    return module.eval().requires_grad_(False)


def make_clip(image_size=32):
    """A CLIPModel with heads of 64 channels."""
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": TOKENS, "bos_token_id": TOKENS - 2, "eos_token_id": TOKENS - 1}
    config = CLIPConfig(
        text_config={**text, "hidden_act": "gelu"},
        vision_config={**tower, "hidden_act": "gelu", "image_size": image_size, "patch_size": 8},
        projection_dim=24,
    )
    return randomize(CLIPModel(config), 5)


@pytest.fixture(scope="session")
def clip_model():
    return make_clip()


@pytest.fixture(scope="session")
def clip_folder(clip_model, tmp_path_factory):
    """The tiny CLIP as transformers saves it, with the tokenizer that comes with the library."""
    folder = tmp_path_factory.mktemp("clip")
    clip_model.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((CLIP_TOKENIZER / name).read_bytes())
    return folder


@pytest.fixture(scope="session")
def dino_folder(tmp_path_factory):
    from transformers import ViTConfig, ViTModel

    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    folder = tmp_path_factory.mktemp("dino")
    randomize(ViTModel(ViTConfig(**tower, image_size=32, patch_size=8)), 6).save_pretrained(folder)
    return folder


@pytest.fixture
def video():
    """Six frames of noise in blocks, `f h w 3`, larger than any judge's pictures and not square."""
    blocks = torch.rand((6, 3, 6, 9), generator=torch.Generator().manual_seed(7))
    return torch.nn.functional.interpolate(blocks, (48, 72), mode="bilinear").movedim(1, -1)


def texture(height, width, seed=0):
    """A smooth random picture `h w 3` in [0, 1], with detail that a flow can follow."""
    noise = torch.randn((1, 3, height // 4, width // 4), generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic")
    return smooth.mul(0.2).add(0.5).clamp(0, 1)[0].movedim(0, -1)


@pytest.fixture
def shifted():
    """A texture seen through a window that wanders: the picture moves 3 pixels left and 1 up from frame to frame."""
    whole = texture(128, 160)
    return torch.stack([whole[8 + t : 104 + t, 8 + 3 * t : 104 + 3 * t] for t in range(6)])


@pytest.fixture
def turned():
    """A texture that turns by 4 degrees a frame about the middle."""
    whole = texture(96, 96).movedim(-1, 0)[None]
    angles = torch.deg2rad(torch.arange(6) * 4.0)
    zeros = torch.zeros_like(angles)
    rows = [torch.stack([angles.cos(), -angles.sin(), zeros], -1), torch.stack([angles.sin(), angles.cos(), zeros], -1)]
    grid = torch.nn.functional.affine_grid(torch.stack(rows, 1), (6, 3, 96, 96), align_corners=False)
    spun = torch.nn.functional.grid_sample(
        whole.expand(6, -1, -1, -1), grid, padding_mode="reflection", align_corners=False
    )
    return spun.movedim(1, -1).clamp(0, 1)
