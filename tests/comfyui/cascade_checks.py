"""The parts of the bundled small LaVie as core's objects, beside diffusers' own; prints JSON.

Usage: COMFYUI_PATH=... python cascade_checks.py
"""

from __future__ import annotations

from host_checks import far, report

# After host_checks, which sets ComfyUI up.
import torch  # isort: skip
from diffusers import AutoencoderKL  # isort: skip
from tune_a_video_pack.nodes.core.demo_cascade import MODEL, UPSCALER_VAE, load_cascade_parts  # isort: skip
from tune_a_video_pack.tav_core.checkpoints.load import load_checkpoint  # isort: skip
from tune_a_video_pack.tav_core.models.text import encode_prompt  # isort: skip

PROMPT = "a red star moving right on a blue background"
PARTS = load_cascade_parts()


@torch.no_grad()
def decoded(vae, folder) -> dict:
    """How far core's decoder and encoder are from diffusers', and how much core's enlarges."""
    own = AutoencoderKL.from_pretrained(folder).float()
    generator = torch.Generator().manual_seed(0)
    latents, pictures = torch.randn(2, 4, 8, 12, generator=generator), torch.rand(2, 64, 96, 3, generator=generator)
    shown = own.decode(latents).sample.clamp(-1, 1).movedim(1, -1) / 2 + 0.5
    means = own.encode(pictures.movedim(-1, 1) * 2 - 1).latent_dist.mean
    times = [vae.spacial_compression_decode(), vae.spacial_compression_encode()]
    return {"decode": far(vae.decode(latents), shown), "encode": far(vae.encode(pictures), means), "times": times}


def text() -> float:
    """How far core's embeddings of a prompt are from the library's."""
    core = PARTS.clip.encode_from_tokens_scheduled(PARTS.clip.tokenize(PROMPT))[0][0]
    return far(core, encode_prompt(load_checkpoint(MODEL), PROMPT).text)


report(
    {
        "text": text,
        "vae": lambda: decoded(PARTS.vae, MODEL / "vae"),
        "upscaler_vae": lambda: decoded(PARTS.upscaler_vae, UPSCALER_VAE),
    }
)
