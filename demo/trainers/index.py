"""The list of the model's parts, by which diffusers' own pipelines find them."""

from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from .common import MODEL


def write_index(model: Path = MODEL) -> None:
    """Writes `model_index.json` into a model's folder: Stable Diffusion without a safety checker.

    A T2I-Adapter belongs to no pipeline.
    """
    StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(model / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(model / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(model / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(model / "unet"),
        scheduler=DDIMScheduler.from_pretrained(model / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_config(model)
