"""This world's model in Stable Diffusion XL's layout: two text encoders, added conditions, depths by level.

The autoencoder is the world's own, with its latents scaled so that XL's factor gives them unit variance. The UNet is
trained by the same course as the world's, see unet.py, on the same stills and captions.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from tav_core.models.conditioning import NUM_SIZES
from tav_core.models.families import SDXL, TEXT_TIME, count_heads

from ...trainers.common import HERE, Log
from ...trainers.single_file import parts_to_ldm
from ...trainers.text import WIDTH, save_text_model, text_config, tokenize
from ...trainers.unet import make_scheduler
from ...world.vocabulary import write_tokenizer
from ..captions import vocabulary
from ..settings import MODEL as WORLD
from ..stills import SEED
from .device import DEVICE, prepare_device
from .stills import first_stills
from .text import NUM_STEPS, number_captions, teach
from .unet import Lesson
from .vae import encode

# What is made here is not committed: a course on a CPU is too short for pictures, see the page of the world.
FOLDER = HERE.parent / "out" / "creatures_xl"
# No attention at the finest level, and heads of 64 channels, as in the full-size model.
WIDTHS, DEPTHS, TEXT_LAYERS = (64, 128, 192), (1, 1, 2), 3
# The width of each size's sinusoids, the same at any size of model.
SIZE_WIDTH = 256


def make_unet() -> UNet2DConditionModel:
    """An untrained UNet."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=DEPTHS,
        attention_head_dim=[count_heads(width) for width in WIDTHS],
        norm_num_groups=32,
        cross_attention_dim=2 * WIDTH,
        use_linear_projection=True,
        addition_embed_type=TEXT_TIME,
        addition_time_embed_dim=SIZE_WIDTH,
        projection_class_embeddings_input_dim=WIDTH + NUM_SIZES * SIZE_WIDTH,
    )


def make_text_models(vocabulary_size: int) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Untrained text encoders of CLIP's and of OpenCLIP's kind, with heads of 64 channels, as a single file means."""
    settings = {"layers": TEXT_LAYERS, "heads": count_heads(WIDTH)}
    second = text_config(vocabulary_size, activation="gelu", **settings)
    return CLIPTextModel(text_config(vocabulary_size, **settings)), CLIPTextModelWithProjection(second)


def write_tokenizers(model: Path) -> int:
    """Writes both tokenizers, of one vocabulary; the second pads with id 0. Returns the vocabulary's size."""
    write_tokenizer(model / "tokenizer", vocabulary())
    size, second = write_tokenizer(model / "tokenizer_2", vocabulary()), model / "tokenizer_2"
    pad = {"pad_token": next(iter(json.loads((second / "vocab.json").read_text(encoding="utf-8"))))}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        known = json.loads((second / name).read_text(encoding="utf-8"))
        (second / name).write_text(json.dumps({**known, **pad}, indent=2) + "\n", encoding="utf-8")
    return size


@torch.no_grad()
def scale_latents(vae: AutoencoderKL, times: float) -> None:
    """Makes an autoencoder's latents so many times as large, in place; it decodes them as before."""
    channels = vae.config.latent_channels
    # The first half of what it gives is the mean, the second the logarithm of the variance.
    vae.quant_conv.weight[:channels] *= times
    vae.quant_conv.bias[:channels] *= times
    vae.quant_conv.bias[channels:] += 2 * float(np.log(times))
    vae.post_quant_conv.weight /= times
    vae.register_to_config(scaling_factor=SDXL.scaling_factor, _name_or_path="")


def prepare_stills(count: int, folder: Path = FOLDER) -> None:
    """Draws stills, and keeps their latents and captions; writes the autoencoder into the model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    prepare_device()
    pictures, rows = first_stills(count)
    vae = AutoencoderKL.from_pretrained(WORLD / "vae").float().to(DEVICE)
    latents = encode(vae, pictures)
    scale_latents(vae, 1 / (SDXL.scaling_factor * latents.std().item()))
    vae.cpu().half().save_pretrained(folder / "model" / "vae")
    torch.save(latents, folder / "latents.pt")
    (folder / "captions.txt").write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")


def read_captions(folder: Path) -> list[list[str]]:
    """The captions of each still."""
    return [row.split("\t") for row in (folder / "captions.txt").read_text(encoding="utf-8").split("\n")]


def shown_by(model: Any, ids: Tensor) -> list[Tensor]:
    """What the UNet is shown of token ids `n 77`: the last hidden layer but one, and for the second encoder the pooled
    text at every token, `n 77 c` each."""
    found = model(ids, output_hidden_states=True)
    hidden = found.hidden_states[-2]
    pooled = getattr(found, "text_embeds", None)
    return [hidden] if pooled is None else [hidden, pooled[:, None].expand_as(hidden)]


def train_texts(folder: Path = FOLDER) -> None:
    """Writes the tokenizers, trains both text encoders, and saves them into the model's folder."""
    torch.manual_seed(SEED)
    model, rows = folder / "model", read_captions(folder)
    encoders = make_text_models(write_tokenizers(model))
    for ending, encoder in zip(("", "_2"), encoders, strict=True):
        tokenizer = CLIPTokenizer.from_pretrained(model / f"tokenizer{ending}")
        log = Log(f"text{ending}", NUM_STEPS, folder / "log.csv")
        teach(encoder, tokenizer, rows, lambda ids, encoder=encoder: shown_by(encoder, ids), log)
        save_text_model(encoder, model / f"text_encoder{ending}")


@torch.no_grad()
def embed_texts(texts: list[str], model: Path) -> tuple[Tensor, Tensor]:
    """What the UNet is told of captions: text `m 77 c` and pooled text `m c`, float32, by the encoders as saved."""
    hidden, pooled = [], torch.empty(0)
    for ending, cls in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        encoder = cls.from_pretrained(model / f"text_encoder{ending}").float().to(DEVICE)
        ids = tokenize(CLIPTokenizer.from_pretrained(model / f"tokenizer{ending}"), texts).to(DEVICE)
        parts = [[shown.cpu() for shown in shown_by(encoder, part)] for part in ids.split(256)]
        hidden.append(torch.cat([shown[0] for shown in parts]))
        pooled = torch.cat([shown[-1][:, 0] for shown in parts])
    return torch.cat(hidden, dim=-1), pooled


def lesson(folder: Path = FOLDER) -> Lesson:
    """What the UNet is taught; the stages before it must have run."""

    def told() -> tuple[tuple[Tensor, ...], Tensor]:
        texts, captions = number_captions(read_captions(folder))
        return embed_texts(texts, folder / "model"), captions

    return Lesson(
        make_unet=make_unet,
        latents=lambda: torch.load(folder / "latents.pt", weights_only=True),
        told=told,
        state=folder / "unet_state.pt",
        log=folder / "log.csv",
        model=folder / "model",
    )


def write_index(model: Path) -> None:
    """Writes `model_index.json`, by which diffusers' own pipelines find the parts. "" is encoded, not zeros."""
    parts = {"vae": AutoencoderKL, "unet": UNet2DConditionModel, "text_encoder": CLIPTextModel}
    parts |= {"text_encoder_2": CLIPTextModelWithProjection, "tokenizer": CLIPTokenizer, "tokenizer_2": CLIPTokenizer}
    read = {name: cls.from_pretrained(model / name) for name, cls in parts.items()}
    scheduler = make_scheduler()
    scheduler.save_pretrained(model / "scheduler")
    StableDiffusionXLPipeline(**read, scheduler=scheduler, force_zeros_for_empty_prompt=False).save_config(model)


def write_random(folder: Path, seed: int = SEED) -> None:
    """Writes a model of this layout with random weights, in half precision: for tests and trials.

    Args:
        folder: gets a diffusers folder, `model`, and the same weights in one file, `model.safetensors`, which needs the
            folder's tokenizer: `--tokenizer model/tokenizer`.
    """
    model = folder / "model"
    torch.manual_seed(seed)
    first, second = make_text_models(write_tokenizers(model))
    vae = AutoencoderKL.from_pretrained(WORLD / "vae").float()
    scale_latents(vae, vae.config.scaling_factor / SDXL.scaling_factor)
    parts = SimpleNamespace(unet=make_unet().half(), vae=vae.half(), text_encoder=first, text_encoder_2=second)
    for ending, encoder in (("", first), ("_2", second)):
        save_text_model(encoder, model / f"text_encoder{ending}")
    for name in ("unet", "vae"):
        getattr(parts, name).save_pretrained(model / name)
    write_index(model)
    save_file({name: tensor.contiguous() for name, tensor in parts_to_ldm(parts).items()}, folder / "model.safetensors")
