"""The list of the model's parts, by which diffusers' own pipelines find them."""

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from .common import MODEL


def write_index() -> None:
    """Writes `model_index.json`: Stable Diffusion without a safety checker. A T2I-Adapter belongs to no pipeline."""
    StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(MODEL / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(MODEL / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(MODEL / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(MODEL / "unet"),
        scheduler=DDIMScheduler.from_pretrained(MODEL / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_config(MODEL)
