"""What gives a model away that is not taken: a few tensor names of each as they stand in published files, and more."""

from __future__ import annotations

import pytest

from tav_core.models.unsupported import (
    ORIGINAL_UNET,
    REFUSED,
    REFUSED_NETS,
    find_refused,
    find_refused_channels,
    find_refused_config,
    find_refused_core_class,
    find_refused_pipeline,
)

NAMES = {
    "the saved state of a training": ["param.down_blocks.0.attentions.0.transformer_blocks.0.attn_temp.to_q.lora_A"],
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
    "Stable Diffusion XL's refiner": ["conditioner.embedders.0.model.ln_final.weight"],
    "Playground v2.5": ["edm_mean"],
    "a Stable Diffusion XL model that predicts EDM's velocity": ["edm_vpred.sigma_max"],
    "Stable Diffusion 3": ["model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight"],
    "Flux": ["double_blocks.0.img_attn.qkv.weight", "single_transformer_blocks.0.attn.to_q.weight"],
    "a checkpoint in fp8 with scales": [
        "model.diffusion_model.scaled_fp8",
        "model.diffusion_model.input_blocks.4.1.proj_in.scale_weight",
    ],
    "a class-conditioned or unCLIP model": ["model.diffusion_model.label_emb.0.0.weight"],
    "a motion file": ["down_blocks.0.attentions.0.transformer_blocks.0.attn_temp.to_q.weight"],
    "the UNet of a diffusers folder alone": ["down_blocks.0.resnets.0.conv1.weight"],
    "a checkpoint that has a UNet as averaged weights alone (model_ema)": [
        "model_ema.diffusion_modelinput_blocks00weight"
    ],
    "a VAE alone": ["first_stage_model.encoder.conv_in.weight", "encoder.down.0.block.0.conv1.weight"],
    "a text encoder alone": ["text_model.embeddings.token_embedding.weight", "cond_stage_model.model.ln_final.bias"],
}


@pytest.mark.parametrize("family, name", [(family, name) for family, names in NAMES.items() for name in names])
def test_a_family_is_known_by_its_names(family, name):
    assert find_refused([name, "other.weight", "losses"]).title == family


def test_the_originals_unet_is_told_from_a_motion_file_by_its_spatial_weights():
    temporal = NAMES["a motion file"][0]
    assert find_refused([temporal, "conv_in.weight"]) is ORIGINAL_UNET


@pytest.mark.parametrize("parts", ["sd1", "sd2", "sdxl"])
def test_stable_diffusion_is_not_mistaken_for_another_family(request, to_ldm, parts):
    assert find_refused(to_ldm(request.getfixturevalue(parts))) is None


def test_every_refusal_says_what_it_is_and_what_to_do():
    titles = [refused.title for refused in (*REFUSED, *REFUSED_NETS)]
    assert len(set(titles)) == len(titles) >= 20
    for refused in (*REFUSED, *REFUSED_NETS):
        assert all(text == "" or text.endswith(".") for text in (refused.why, refused.mend)) and refused.mend


@pytest.mark.parametrize(
    "settings, title",
    [
        ({"addition_embed_type": "text_time", "cross_attention_dim": 1280}, "Stable Diffusion XL's refiner"),
        ({"addition_embed_type": "image"}, "a UNet with addition_embed_type 'image'"),
        ({"num_class_embeds": 10}, "a UNet with num_class_embeds 10"),
        ({"up_block_types": ["UpBlock2D", "SkipUpBlock2D"]}, "a UNet with a SkipUpBlock2D"),
    ],
)
def test_a_config_gives_its_model_away(sd1, sd2, settings, title):
    assert find_refused_config(sd1.unet.config) is find_refused_config(sd2.unet.config) is None
    assert find_refused_config({**sd1.unet.config, **settings}).title == title


SDXL_UNET = {
    "addition_embed_type": "text_time",
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
}
# unet/config.json of each, as far as it differs.
RELATIVES = {
    "SSD-1B": {
        "mid_block_type": None,
        "transformer_layers_per_block": [1, [2, 2], [4, 4]],
        "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
    },
    "Segmind Vega": {"mid_block_type": None, "transformer_layers_per_block": [1, [1, 1], [2, 2]]},
    "KOALA-700M": {"mid_block_type": None, "layers_per_block": 1, "transformer_layers_per_block": [0, 2, 5]},
    "KOALA-1B": {"layers_per_block": 1, "transformer_layers_per_block": [0, 2, 6]},
    "a smaller relative of Stable Diffusion XL": {"mid_block_type": None},
}


@pytest.mark.parametrize("title", RELATIVES)
def test_smaller_relatives_of_sdxl_are_told_from_it(title):
    assert find_refused_config(SDXL_UNET) is None
    assert find_refused_config({**SDXL_UNET, **RELATIVES[title]}).title == title


@pytest.mark.parametrize("depths", ["10", {}, None, [], [[]], [{"a": 1}], 3.5])
def test_depths_that_are_none_name_no_relative(depths):
    strange = {**SDXL_UNET, "mid_block_type": None, "transformer_layers_per_block": depths, "block_out_channels": None}
    assert find_refused_config(strange).title == "a smaller relative of Stable Diffusion XL"


@pytest.mark.parametrize(
    "in_channels, title", [(9, "an inpainting model"), (7, "an upscaler"), (12, "an image-conditioned model")]
)
def test_input_channels_tell_what_else_a_unet_is_given(in_channels, title):
    assert find_refused_channels(4, 4) is None
    assert find_refused_channels(in_channels, 4).title == title


def test_pipelines_and_cores_classes_give_models_away():
    assert find_refused_pipeline("StableDiffusionXLPipeline") is find_refused_pipeline("") is None
    assert find_refused_core_class("SDXLRefiner").title == "Stable Diffusion XL's refiner"
    assert find_refused_core_class("Unheard_Of").title == "Unheard_Of"
