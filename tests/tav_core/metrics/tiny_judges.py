"""CLIP and DINO with random weights, in transformers' format, small enough for tests."""

from __future__ import annotations

import torch

from tav_core.checkpoints.tokenizer import CLIP_TOKENIZER

TOKENS = 49408


def randomize(module, seed):
    """Every weight differs from every other, so that none can stand in another's place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            center = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + center)
    return module.eval().requires_grad_(False)


def make_clip():
    """A CLIPModel with heads of 64 channels."""
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": TOKENS, "bos_token_id": TOKENS - 2, "eos_token_id": TOKENS - 1}
    config = CLIPConfig(
        text_config={**text, "hidden_act": "gelu"},
        vision_config={**tower, "hidden_act": "gelu", "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    return randomize(CLIPModel(config), 5)


def make_dino():
    """A ViTModel for pictures of 32 pixels."""
    from transformers import ViTConfig, ViTModel

    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return randomize(ViTModel(ViTConfig(**tower, image_size=32, patch_size=8)), 6)


def save_clip(model, folder):
    """A CLIP as transformers saves it, with the tokenizer that comes with the library."""
    model.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((CLIP_TOKENIZER / name).read_bytes())
    return folder
