"""Names of families, from a few tensor names of each as they stand in published files."""

from __future__ import annotations

import pytest

from tav_core.checkpoints.families import name_family, refuse_unet_config
from tav_core.errors import CheckpointError

NAMES = {
    "a LoRA": [
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
    ],
    "a ControlNet": ["control_model.input_blocks.0.0.weight", "controlnet_cond_embedding.conv_in.weight"],
    "a textual inversion embedding": ["emb_params"],
    "a video model": [
        "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight",
        "model.diffusion_model.input_blocks.1.1.time_stack.0.attn1.to_q.weight",
        "down_blocks.0.temp_convs.0.conv1.0.weight",
        "model.diffusion_model.blocks.0.self_attn.norm_q.weight",
    ],
    "Stable Diffusion XL": [
        "conditioner.embedders.1.model.ln_final.weight",
        "add_embedding.linear_1.weight",
    ],
    "Stable Diffusion 3": ["model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight"],
    "Flux": ["double_blocks.0.img_attn.qkv.weight", "single_transformer_blocks.0.attn.to_q.weight"],
    "a class-conditioned or unCLIP model": ["model.diffusion_model.label_emb.0.0.weight"],
    "a motion file": ["down_blocks.0.attentions.0.transformer_blocks.0.attn_temp.to_q.weight"],
    "the UNet of a diffusers folder alone": ["down_blocks.0.resnets.0.conv1.weight"],
    "a VAE alone": ["first_stage_model.encoder.conv_in.weight", "encoder.down.0.block.0.conv1.weight"],
    "a text encoder alone": ["text_model.embeddings.token_embedding.weight", "cond_stage_model.model.ln_final.bias"],
}


@pytest.mark.parametrize("family, name", [(family, name) for family, names in NAMES.items() for name in names])
def test_a_family_is_known_by_its_names(family, name):
    assert name_family([name, "other.weight"]) == family


def test_the_originals_unet_is_told_from_a_motion_file_by_its_spatial_weights():
    temporal = NAMES["a motion file"][0]
    assert name_family([temporal, "conv_in.weight"]) == "a UNet saved by the original Tune-A-Video"


@pytest.mark.parametrize("parts", ["sd1", "sd2"])
def test_stable_diffusion_is_not_mistaken_for_another_family(request, to_ldm, parts):
    assert name_family(to_ldm(request.getfixturevalue(parts))) is None


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"addition_embed_type": "text_time"}, "Stable Diffusion XL"),
        ({"class_embed_type": "projection"}, "class_embed_type 'projection'"),
        ({"in_channels": 9}, "an inpainting model"),
        ({"down_block_types": ["SimpleCrossAttnDownBlock2D"]}, "a SimpleCrossAttnDownBlock2D"),
    ],
)
def test_unet_configs_of_other_families_are_refused(tmp_path, sd1, settings, message):
    refuse_unet_config(tmp_path, sd1.unet.config)
    with pytest.raises(CheckpointError, match=message):
        refuse_unet_config(tmp_path, {**sd1.unet.config, **settings})
