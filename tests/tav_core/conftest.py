"""Tiny checkpoints and judges with random weights, in every layout that real ones come in.

The names of the single-file (LDM) layout are written here from the layout itself, apart from the maps that the library
uses to read it.
"""

from __future__ import annotations

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch

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


def make_vae(seed):
    from diffusers import AutoencoderKL

    widths = (32, 32, 32, 64)
    vae = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        layers_per_block=2,
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

    def convert(parts):
        tensors = {f"model.diffusion_model.{n}": t for n, t in unet_to_ldm(parts.unet).items()}
        tensors |= {f"first_stage_model.{n}": t for n, t in vae_to_ldm(parts.vae).items()}
        if second := getattr(parts, "text_encoder_2", None):
            first = clip_to_ldm(parts.text_encoder)
            tensors |= {f"conditioner.embedders.0.{n}": t for n, t in first.items()}
            return tensors | {f"conditioner.embedders.1.{n}": t for n, t in open_clip_to_ldm(second).items()}
        text = open_clip_to_ldm if parts.open_clip else clip_to_ldm
        return tensors | {f"cond_stage_model.{n}": t for n, t in text(parts.text_encoder).items()}

    return convert


RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_to_ldm(unet):
    """The UNet's tensors, or those of any mapping named alike, in the single-file layout."""
    layers = unet.config.layers_per_block

    def rename(name):
        if end := next((end for end in ENDS if name.startswith(end + ".")), None):
            return name.replace(end, ENDS[end], 1)
        if "resnets" in name:
            for old, new in RESNET.items():
                name = name.replace(f".{old}.", f".{new}.")
        kind, block, part, index, rest = re.fullmatch(
            r"(down|mid|up)_blocks?\.?(\d*)\.(\w+)\.(\d+)\.(.+)", name
        ).groups()
        place = 1 if part == "attentions" else 0
        if kind == "mid":
            return f"middle_block.{place or 2 * int(index)}.{rest}"
        first = int(block) * (layers + 1)
        if kind == "down" and part == "downsamplers":
            return f"input_blocks.{first + layers + 1}.0.op.{rest.removeprefix('conv.')}"
        if kind == "down":
            return f"input_blocks.{1 + first + int(index)}.{place}.{rest}"
        if part == "upsamplers":
            attends = unet.config.up_block_types[int(block)].startswith("Cross")
            return f"output_blocks.{first + layers}.{2 if attends else 1}.{rest}"
        return f"output_blocks.{first + int(index)}.{place}.{rest}"

    return {rename(name): tensor for name, tensor in unet.state_dict().items()}


def vae_to_ldm(vae):
    last = len(vae.config.block_out_channels) - 1

    def rename(name):
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{last - int(m[1])}.block", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", name)
        for old, new in VAE_ATTENTION.items():
            name = name.replace(f".attn_1.{old}.", f".attn_1.{new}.")
        return name

    renamed = {rename(name): tensor for name, tensor in vae.state_dict().items()}
    # The layout keeps the attention's projections as 1x1 convolutions.
    return {n: t[:, :, None, None] if ".attn_1." in n and t.ndim == 2 else t for n, t in renamed.items()}


def clip_to_ldm(text_encoder):
    bare = {name.removeprefix("text_model."): tensor for name, tensor in text_encoder.state_dict().items()}
    return {f"transformer.text_model.{name}": tensor for name, tensor in bare.items()}


def open_clip_to_ldm(text_encoder):
    """OpenCLIP's names, its joint q, k, v projection, and the last layer that 2.x does not use but XL's pooled text."""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in text_encoder.state_dict().items()}
    layers, width = text_encoder.config.num_hidden_layers, text_encoder.config.hidden_size
    projected = "text_projection.weight" in bare
    tensors = {
        "model.positional_embedding": bare["embeddings.position_embedding.weight"],
        "model.token_embedding.weight": bare["embeddings.token_embedding.weight"],
        "model.ln_final.weight": bare["final_layer_norm.weight"],
        "model.ln_final.bias": bare["final_layer_norm.bias"],
        "model.text_projection": bare["text_projection.weight"].T if projected else torch.randn(width, 2 * width),
        "model.logit_scale": torch.tensor(4.6),
    }
    parts = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    for layer in range(layers):
        old, new = f"encoder.layers.{layer}", f"model.transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            tensors |= {f"{new}.{ldm}.{kind}": bare[f"{old}.{name}.{kind}"] for name, ldm in parts.items()}
            joint = [bare[f"{old}.self_attn.{each}_proj.{kind}"] for each in "qkv"]
            tensors[f"{new}.attn.in_proj_{kind}"] = torch.cat(joint)
    if projected:
        return tensors
    last = f"resblocks.{layers - 1}."
    unused = {n.replace(last, f"resblocks.{layers}."): torch.randn_like(t) for n, t in tensors.items() if last in n}
    return tensors | unused


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
