"""The configs that shapes give, at full size, against those of the published diffusers folders."""

from __future__ import annotations

import pytest
import torch

from tav_core.checkpoints.build import bare_text_names
from tav_core.checkpoints.ldm_configs import clip_text_config, open_clip_text_config, unet_config, vae_config
from tav_core.models.families import SD1 as SD1_FAMILY

WIDTHS = [320, 640, 1280, 1280]
# unet/config.json of stable-diffusion-v1-5, stable-diffusion-2-1-base and stable-diffusion-2-1.
SHARED = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": WIDTHS,
    "layers_per_block": 2,
}
SD1 = {
    **SHARED,
    "sample_size": 64,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "use_linear_projection": False,
    "upcast_attention": False,
}
SD2_BASE = {
    **SD1,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
SD2_VELOCITY = {**SD2_BASE, "sample_size": 96, "upcast_attention": True}
VAE = {
    "sample_size": 512,
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}


@pytest.mark.parametrize("config", [SD1, SD2_BASE, SD2_VELOCITY], ids=["1.5", "2.1-base", "2.1"])
def test_unet(ldm_shapes, config):
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    shapes = ldm_shapes("unet", unet)
    # Places that anyone can check in the real files.
    assert shapes["input_blocks.4.0.in_layers.2.weight"] == (640, 320, 3, 3)
    assert shapes["output_blocks.11.0.skip_connection.weight"] == (320, 640, 1, 1)
    assert unet_config(shapes, v_prediction=config is SD2_VELOCITY) == config


def test_vae(ldm_shapes):
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL(**VAE)
    assert vae_config(ldm_shapes("vae", vae), scaling_factor=SD1_FAMILY.scaling_factor) == VAE


@pytest.mark.parametrize(
    "width, layers, heads, activation", [(768, 12, 12, "quick_gelu"), (1024, 23, 16, "gelu")], ids=["1.x", "2.x"]
)
def test_text_encoder(ldm_shapes, width, layers, heads, activation):
    from transformers import CLIPTextConfig, CLIPTextModel

    official = {
        "vocab_size": 49408,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 77,
        "hidden_act": activation,
    }
    with torch.device("meta"):
        text_encoder = CLIPTextModel(CLIPTextConfig(**official))
    if activation == "gelu":
        shapes = ldm_shapes("open_clip", text_encoder)
        shapes = {name.removeprefix("model."): shape for name, shape in shapes.items()}
        assert "transformer.resblocks.23.ln_1.weight" in shapes
        config = open_clip_text_config(shapes)
        without_last = {name: shape for name, shape in shapes.items() if ".23." not in name}
        assert open_clip_text_config(without_last) == config
    else:
        shapes = ldm_shapes("clip", text_encoder)
        config = clip_text_config(
            bare_text_names({name.removeprefix("transformer."): shape for name, shape in shapes.items()})
        )
    assert config | official == config


def test_levels_of_different_depth_are_refused(ldm_shapes, sd1):
    shapes = ldm_shapes("unet", sd1.unet)
    fewer = {name: shape for name, shape in shapes.items() if not name.startswith("input_blocks.5.")}
    with pytest.raises(ValueError, match=r"levels of \[1, 1, 0\] layers"):
        unet_config(fewer)
