"""A tiny Stable Diffusion XL with random weights: diffusers' and transformers' modules, core's MODEL, CLIP, VAE.

Core's checkpoint loader knows SDXL by its full widths and depths, so these are built from core's classes. Both hosts
get the same weights. As in SDXL, the level of the highest resolution does not attend, others have several blocks in a
transformer, and two text encoders stand side by side. It runs inside ComfyUI, after `comfy` was imported.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

TOKENS, HIDDEN, LAYERS = 49408, 64, 3
WIDTHS, DEPTHS = (32, 64, 128), (0, 2, 3)
TEXT, POOLED = 2 * HIDDEN, HIDDEN
ADDED = POOLED + 6 * 256
FACTOR = 0.13025
VAE_WIDTHS = (32, 32, 32, 64)
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": WIDTHS[0],
    "channel_mult": [width // WIDTHS[0] for width in WIDTHS],
    "num_res_blocks": [1] * len(WIDTHS),
    "transformer_depth": list(DEPTHS),
    "transformer_depth_output": [depth for depth in DEPTHS for _ in range(2)],
    "transformer_depth_middle": DEPTHS[-1],
    "context_dim": TEXT,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "adm_in_channels": ADDED,
    "num_classes": "sequential",
    "num_head_channels": 64,
    "use_temporal_attention": False,
    "legacy": False,
}
VAE = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": VAE_WIDTHS[0],
    "ch_mult": [width // VAE_WIDTHS[0] for width in VAE_WIDTHS],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def randomize(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Random weights, all of them different, under which signals neither die nor explode; all are of float16, in which
    core may hold them.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                noise = noise * weight[0].numel() ** -0.5
            else:
                noise = noise * 0.1 + float(name.endswith("weight"))
            weight.copy_(noise.half())
    return module.eval().requires_grad_(False)


def make_parts(seed: int = 0) -> SimpleNamespace:
    """UNet, VAE and both text encoders, of diffusers and transformers."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    attends = [depth > 0 for depth in DEPTHS]
    unet = UNet2DConditionModel(
        block_out_channels=WIDTHS,
        layers_per_block=1,
        cross_attention_dim=TEXT,
        attention_head_dim=[max(1, width // 64) for width in WIDTHS],
        down_block_types=["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        transformer_layers_per_block=[max(1, depth) for depth in DEPTHS],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=ADDED,
    )
    vae = AutoencoderKL(
        block_out_channels=VAE_WIDTHS,
        down_block_types=["DownEncoderBlock2D"] * len(VAE_WIDTHS),
        up_block_types=["UpDecoderBlock2D"] * len(VAE_WIDTHS),
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=FACTOR,
    )
    sizes = {
        "vocab_size": TOKENS,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 1,
        "bos_token_id": TOKENS - 2,
        "eos_token_id": TOKENS - 1,
    }
    first = CLIPTextModel(CLIPTextConfig(**sizes, hidden_act="quick_gelu"))
    second = CLIPTextModelWithProjection(CLIPTextConfig(**sizes, hidden_act="gelu", projection_dim=POOLED))
    modules = {"unet": unet, "vae": vae, "text_encoder": first, "text_encoder_2": second}
    return SimpleNamespace(**{name: randomize(part, seed + i) for i, (name, part) in enumerate(modules.items())})


def write_folder(parts: SimpleNamespace, path: Path, tokenizer: Path) -> Path:
    """The parts as a diffusers folder.

    Args:
        tokenizer: a folder with CLIP's vocabulary.
    """
    for name, part in vars(parts).items():
        part.save_pretrained(path / name)
    shutil.copytree(tokenizer, path / "tokenizer")
    shutil.copytree(tokenizer, path / "tokenizer_2")
    settings = path / "tokenizer_2" / "tokenizer_config.json"
    known = json.loads(settings.read_text()) if settings.is_file() else {}
    settings.write_text(json.dumps({**known, "pad_token": "!"}))
    (path / "scheduler").mkdir()
    about = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    about |= {"steps_offset": 1, "set_alpha_to_one": False, "prediction_type": "epsilon"}
    about["_class_name"] = "EulerDiscreteScheduler"
    (path / "scheduler" / "scheduler_config.json").write_text(json.dumps(about))
    index = {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (path / "model_index.json").write_text(json.dumps(index))
    return path


def core_model(unet: torch.nn.Module, *, family: str = "SDXL", model_type: Any = None, **settings: Any) -> Any:
    """A MODEL with the weights of diffusers' UNet.

    Args:
        family: one of core's model classes.
        model_type: what it predicts; epsilon by default.
        settings: of its UNet, other than `UNET`.
    """
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models
    import comfy.utils

    config = getattr(comfy.supported_models, family)({**UNET, **settings})
    config.set_inference_dtype(torch.float32, None)
    if model_type is not None:
        config.model_type = lambda *args: model_type
    model = config.get_model({}, "")
    names = comfy.utils.unet_to_diffusers(config.unet_config)
    weights = {names[name]: weight for name, weight in unet.state_dict().items()}
    model.diffusion_model.load_state_dict(weights)
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return patcher(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def core_clip(parts: SimpleNamespace) -> Any:
    """A CLIP with the weights of both text encoders."""
    import comfy.sd
    import comfy.sdxl_clip
    import comfy.supported_models_base

    sizes = {
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 1,
    }

    class Tiny(comfy.sdxl_clip.SDXLClipModel):
        def __init__(self, device="cpu", dtype=None, model_options=None) -> None:
            smaller = {"clip_l_model_config": sizes, "clip_g_model_config": sizes}
            super().__init__(device=device, dtype=dtype, model_options={**(model_options or {}), **smaller})

    named = {
        f"{own}.transformer.{bare_name(name)}": weight
        for own, given in (("clip_l", parts.text_encoder), ("clip_g", parts.text_encoder_2))
        for name, weight in given.state_dict().items()
    }
    target = comfy.supported_models_base.ClipTarget(comfy.sdxl_clip.SDXLTokenizer, Tiny)
    clip = comfy.sd.CLIP(target, state_dict=named)
    kept = clip.cond_stage_model.state_dict()
    assert all(torch.equal(kept[name], weight.to(kept[name])) for name, weight in named.items())
    return clip


def bare_name(name: str) -> str:
    """Some versions of transformers put `text_model.` before the names, and some do not."""
    return name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}"


def core_vae(vae: torch.nn.Module) -> Any:
    """A VAE with the weights of diffusers' autoencoder."""
    import comfy.sd

    weights = {name: weight.clone() for name, weight in vae.state_dict().items()}
    return comfy.sd.VAE(sd=weights, config={"params": {"ddconfig": VAE, "embed_dim": 4}})
