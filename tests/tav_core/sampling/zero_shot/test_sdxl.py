"""What needs no tuning on a tiny Stable Diffusion XL: instructions as in diffusers' pipeline, and video from text."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLInstructPix2PixPipeline

from tav_core.checkpoints.load import load_checkpoint
from tav_core.denoisers.denoiser import UNetDenoiser
from tav_core.models.schedule import draw_noise
from tav_core.models.text import encode_prompt
from tav_core.models.unet import InflatedUNet
from tav_core.sampling.zero_shot.config import ZeroShotConfig
from tav_core.sampling.zero_shot.generate import generate
from tav_core.sampling.zero_shot.instruct import encode_pictures, instruct
from tav_core.sampling.zero_shot.instruct_config import InstructConfig
from tests.tav_core.conftest import widen_input

FRAMES, SIZE = 3, {"height": 64, "width": 64}


@pytest.fixture(scope="module")
def load(sdxl, write_folder, tmp_path_factory):
    """Loads the tiny model, or one that sees a picture beside the latents."""

    def make(pictures):
        parts = widen_input(sdxl) if pictures else sdxl
        return load_checkpoint(write_folder(parts, tmp_path_factory.mktemp("xl") / "model"))

    return make


def denoise(model, **modes):
    unet = InflatedUNet.from_2d(model.unet, temporal=False, **modes)
    return UNetDenoiser(unet=unet, schedule=model.schedule)


def test_instructions_change_frames_as_diffusers_pipeline_changes_pictures(load, sdxl, close):
    """Frames that see themselves alone; the picture goes in unscaled, and three predictions make one."""
    model, frames = load(pictures=True), torch.rand(FRAMES, 64, 64, 3)
    parts = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet")
    scheduler = DDIMScheduler(**{n: v for n, v in sdxl.scheduler.items() if n[0] != "_" and "prk" not in n})
    scheduler.register_to_config(clip_sample=False)
    pipeline = StableDiffusionXLInstructPix2PixPipeline(
        **{part: getattr(model, part) for part in parts}, scheduler=scheduler
    )
    pipeline.set_progress_bar_config(disable=True)
    config = InstructConfig(num_steps=3, guidance_scale=4.0, image_guidance_scale=1.3, seed=5, sampler="ddim")
    noise = draw_noise((FRAMES, 4, 8, 8), torch.Generator().manual_seed(5))
    settings = {
        "num_inference_steps": 3,
        "guidance_scale": 4.0,
        "image_guidance_scale": 1.3,
        "output_type": "latent",
        **SIZE,
    }
    pictures = [
        pipeline(
            "make it red", negative_prompt="", image=frame.movedim(-1, 0)[None], latents=start[None], **settings
        ).images
        for frame, start in zip(frames, noise, strict=True)
    ]
    told, empty = (encode_prompt(model, prompt) for prompt in ("make it red", ""))
    found = instruct(
        denoise(model, attention="spatial"), encode_pictures(model.vae, frames), told, empty, config=config
    )
    close(found, torch.stack(pictures, dim=2), 1e-4)


def test_a_video_from_text_moves_and_is_told_the_pooled_text(load):
    model, config = load(pictures=False), ZeroShotConfig(num_frames=FRAMES, num_steps=4, **SIZE)
    denoiser = denoise(model, attention="first")
    cat, dog, empty = (encode_prompt(model, prompt) for prompt in ("a cat", "a dog", ""))
    one = generate(denoiser, cat, empty, config=config)
    assert one.shape == (1, 4, FRAMES, 8, 8) and torch.isfinite(one).all()
    assert (one[:, :, 0] - one[:, :, 1]).abs().max() > 1e-2
    other = generate(denoiser, dataclasses.replace(cat, pooled_text=dog.pooled_text), empty, config=config)
    assert (one - other).abs().max() > 1e-3
