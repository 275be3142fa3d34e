"""Tiny checkpoints and judges with random weights, in every layout that real ones come in.

demo/trainers/single_file.py writes the single-file (LDM) layout, apart from the maps by which the library reads it.
"""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from demo.trainers.single_file import clip_to_ldm, open_clip_to_ldm, parts_to_ldm, unet_to_ldm, vae_to_ldm
from tests.tav_core.metrics.tiny_judges import make_clip, make_dino, save_clip

TOKENS = 49408
# The width of the tiny SDXL's pooled text, another than its text encoders'.
POOLED = 96
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
}


def randomize(module, seed):
    """Every weight differs from every other, so that none can stand in another's place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            center = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + center)
    return module.eval().requires_grad_(False)


def make_vae(seed, *, widths=(32, 32, 32, 64), layers=2):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        layers_per_block=layers,
        latent_channels=4,
    )
    return randomize(vae, seed)


def make_unet(seed, *, widths, heads, attends, text_width=64, layers=1, **settings):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=widths,
        layers_per_block=layers,
        cross_attention_dim=text_width,
        attention_head_dim=heads,
        down_block_types=["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        **settings,
    )
    return randomize(unet, seed)


def make_text_encoder(seed, *, activation, layers=2):
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=TOKENS,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=1,
        hidden_act=activation,
    )
    return randomize(CLIPTextModel(config), seed)


def make_projected_text_encoder(seed, *, layers=3):
    """OpenCLIP's text tower with a projection to another width, and the end of a prompt at its end token."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=TOKENS,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=1,
        hidden_act="gelu",
        projection_dim=POOLED,
        bos_token_id=TOKENS - 2,
        eos_token_id=TOKENS - 1,
    )
    return randomize(CLIPTextModelWithProjection(config), seed)


@pytest.fixture(scope="session")
def sd1():
    """The parts of a tiny Stable Diffusion 1.x: convolutions as projections, 8 heads, CLIP."""
    return SimpleNamespace(
        unet=make_unet(1, widths=(32, 64, 64), heads=8, attends=(True, True, False)),
        vae=make_vae(2),
        text_encoder=make_text_encoder(3, activation="quick_gelu"),
        scheduler={**SCHEDULER, "prediction_type": "epsilon"},
        open_clip=False,
    )


@pytest.fixture(scope="session")
def small():
    """The parts of the smallest Stable Diffusion, for tests that run a model often and not for its own sake."""
    return SimpleNamespace(
        unet=make_unet(1, widths=(32, 64), heads=8, attends=(True, False)),
        vae=make_vae(2, widths=(32, 32, 32, 32), layers=1),
        text_encoder=make_text_encoder(3, activation="quick_gelu", layers=1),
        scheduler={**SCHEDULER, "prediction_type": "epsilon"},
        open_clip=False,
    )


@pytest.fixture(scope="session")
def sd2():
    """The parts of a tiny Stable Diffusion 2.x: linear projections, heads of 64, OpenCLIP."""
    return SimpleNamespace(
        unet=make_unet(4, widths=(64, 128), heads=(1, 2), attends=(True, False), use_linear_projection=True),
        vae=make_vae(5),
        text_encoder=make_text_encoder(6, activation="gelu"),
        scheduler={**SCHEDULER, "prediction_type": "v_prediction"},
        open_clip=True,
    )


@pytest.fixture(scope="session")
def sdxl():
    """The parts of a tiny Stable Diffusion XL: two text encoders, added conditions, several blocks in a transformer."""
    return SimpleNamespace(
        unet=make_unet(
            7,
            widths=(32, 64, 128),
            heads=(1, 1, 2),
            attends=(False, True, True),
            text_width=128,
            transformer_layers_per_block=[1, 2, 3],
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=POOLED + 6 * 256,
        ),
        vae=make_vae(8),
        text_encoder=make_text_encoder(9, activation="quick_gelu", layers=3),
        text_encoder_2=make_projected_text_encoder(10),
        scheduler={**SCHEDULER, "prediction_type": "epsilon"},
        open_clip=False,
    )


def widen_input(parts):
    """Parts like others, but for a UNet that sees a picture beside the latents, as InstructPix2Pix's does."""
    from diffusers import UNet2DConditionModel

    config = {name: value for name, value in parts.unet.config.items() if not name.startswith("_")}
    unet = UNet2DConditionModel(**config | {"in_channels": 8})
    weights = parts.unet.state_dict()
    name = "conv_in.weight"
    weights[name] = torch.cat([weights[name], 0.5 * weights[name].flip(1)], dim=1)
    unet.load_state_dict(weights)
    return SimpleNamespace(**{**vars(parts), "unet": unet.eval().requires_grad_(False)})


@pytest.fixture(scope="session")
def write_folder():
    """Writes parts as a diffusers folder: write_folder(parts, path)."""
    from tav_core.checkpoints.tokenizer import CLIP_TOKENIZER

    def write(parts, path, **how):
        for name in ("unet", "vae", "text_encoder"):
            getattr(parts, name).save_pretrained(path / name, **how)
        shutil.copytree(CLIP_TOKENIZER, path / "tokenizer")
        if second := getattr(parts, "text_encoder_2", None):
            second.save_pretrained(path / "text_encoder_2", **how)
            shutil.copytree(CLIP_TOKENIZER, path / "tokenizer_2")
            settings = path / "tokenizer_2" / "tokenizer_config.json"
            known = json.loads(settings.read_text()) if settings.is_file() else {}
            settings.write_text(json.dumps({**known, "pad_token": "!"}))
            edit = path / "vae" / "config.json"
            edit.write_text(json.dumps({**json.loads(edit.read_text()), "scaling_factor": 0.13025}))
        (path / "scheduler").mkdir()
        (path / "scheduler" / "scheduler_config.json").write_text(json.dumps(parts.scheduler))
        kind = "StableDiffusionXLPipeline" if second else "StableDiffusionPipeline"
        index = {"_class_name": kind, "unet": ["diffusers", "UNet2DConditionModel"]}
        (path / "model_index.json").write_text(json.dumps(index))
        return path

    return write


@pytest.fixture(scope="session")
def ldm_shapes():
    """The shapes of modules, real or on the meta device, in the single-file layout without the parts' prefixes."""
    converters = {"unet": unet_to_ldm, "vae": vae_to_ldm, "clip": clip_to_ldm, "open_clip": open_clip_to_ldm}
    return lambda kind, module: {name: tuple(t.shape) for name, t in converters[kind](module).items()}


@pytest.fixture(scope="session")
def to_ldm():
    """The tensors of some parts in the single-file layout: to_ldm(parts)."""
    return parts_to_ldm


@pytest.fixture(scope="session")
def clip_model():
    return make_clip()


@pytest.fixture(scope="session")
def clip_folder(clip_model, tmp_path_factory):
    """The tiny CLIP as transformers saves it, with the tokenizer that comes with the library."""
    return save_clip(clip_model, tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def dino_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    make_dino().save_pretrained(folder)
    return folder


@pytest.fixture
def video():
    """Six frames of noise in blocks, `f h w 3`, larger than any judge's pictures and not square."""
    blocks = torch.rand((6, 3, 6, 9), generator=torch.Generator().manual_seed(7))
    return torch.nn.functional.interpolate(blocks, (48, 72), mode="bilinear").movedim(1, -1)
