"""Latents of frames and embeddings of captions, computed once with the demo's autoencoder and text model, then kept.

Both are frozen parts of the demo's checkpoint, as LaVie's are of Stable Diffusion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from ...creatures.trainers.device import DEVICE
from ...trainers.common import save_state
from ...trainers.text import tokenize
from ...trainers.vae import to_input
from .render import chunk_paths, load_captions, load_parts
from .settings import CACHE, SD_MODEL, Amounts

BATCH = 64
# What the sampler adds to a prompt, and what it says instead of one (interpolation, super-resolution).
SUFFIX, NO_PROMPT, BAD = ", 4k.", "None", "blur, worst quality"


def sd_autoencoder() -> AutoencoderKL:
    """The demo's autoencoder, frozen, on the trainers' device."""
    return AutoencoderKL.from_pretrained(SD_MODEL / "vae").float().requires_grad_(False).eval().to(DEVICE)


@torch.no_grad()
def encode_frames(kind: str, amounts: Amounts) -> Tensor:
    """Scaled mean latents of all frames of a kind, float16 `n f c h w`."""
    kept = CACHE / f"{kind}_latents.pt"
    if not kept.exists():
        vae = sd_autoencoder()
        files = [load_file_frames(path) for path, _ in chunk_paths(kind, amounts)]
        save_state(kept, torch.cat([encode_pictures(vae, frames).half() for frames in files]))
    return torch.load(kept, weights_only=True)


def load_file_frames(path: str) -> np.ndarray:
    """The frames of one file, uint8 `n f h w 3`."""
    with np.load(path) as parts:
        return parts["frames"]


def encode_pictures(vae: AutoencoderKL, frames: np.ndarray) -> Tensor:
    """Scaled mean latents of frames, uint8 `n f h w 3`: `n f c h w`, on the CPU."""
    flat = torch.from_numpy(frames.reshape(-1, *frames.shape[2:]))
    means = [vae.encode(to_input(part.to(DEVICE))).latent_dist.mean.cpu() for part in flat.split(BATCH)]
    return torch.cat(means).unflatten(0, frames.shape[:2]) * vae.config.scaling_factor


@torch.no_grad()
def restored(vae: AutoencoderKL, frames: np.ndarray) -> np.ndarray:
    """What the autoencoder makes of frames, uint8 `n f h w 3` in and out: as blurred as generated frames are."""
    latents = encode_pictures(vae, frames).flatten(0, 1) / vae.config.scaling_factor
    pictures = torch.cat([vae.decode(part.to(DEVICE)).sample.cpu() for part in latents.split(BATCH)])
    as_bytes = ((pictures + 1) * 127.5).round().clamp(0, 255).byte().movedim(1, -1).numpy()
    return as_bytes.reshape(frames.shape)


def embed_captions(
    kind: str, amounts: Amounts, *, others: Sequence[str] = ("",), suffix: str = ""
) -> tuple[Tensor, Tensor]:
    """Embeddings of all different captions of a kind, and which of them each example has.

    Args:
        others: texts that stand for no caption; they come first.
        suffix: text that follows half of the captions.

    Returns:
        float16 `texts 77 c`, and indices `examples captions`.
    """
    rows = load_captions(kind, amounts)
    rows = [[text + suffix * (column % 2) for column, text in enumerate(row)] for row in rows]
    kept = CACHE / f"{kind}_text{len(suffix)}{len(others)}.pt"
    if not kept.exists():
        texts = [*others, *sorted({text for row in rows for text in row} - set(others))]
        position = {text: index for index, text in enumerate(texts)}
        save_state(kept, (embed(texts), torch.tensor([[position[text] for text in row] for row in rows])))
    return torch.load(kept, weights_only=True)


@torch.no_grad()
def embed(texts: list[str]) -> Tensor:
    """Embeddings of texts by the demo's text model, float16 `n 77 c`, on the CPU."""
    model = CLIPTextModel.from_pretrained(SD_MODEL / "text_encoder").float().eval().to(DEVICE)
    ids = tokenize(CLIPTokenizer.from_pretrained(SD_MODEL / "tokenizer"), texts)
    return torch.cat([model(part.to(DEVICE)).last_hidden_state.half().cpu() for part in ids.split(256)])


def load_frames(kind: str, amounts: Amounts) -> Tensor:
    """All frames of a kind, uint8 `n f h w 3`."""
    return torch.from_numpy(load_parts(kind, "frames", amounts))
