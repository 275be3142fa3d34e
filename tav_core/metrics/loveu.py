"""The three scores of LOVEU-TGVE-2023, by the steps of its script (github.com/showlab/loveu-tgve-2023).

They differ from ours of the same names: frames are first brought to 480x480, Pillow resizes, the frame consistency is
not times 100, and the cosine with the prompt is times the model's own scale, which is 100 for OpenAI's CLIPs. PickScore
(arXiv 2305.01569) is the same product with the weights of PickScore_v1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..cancelling import cancellable
from ..errors import CheckpointError
from .images import BATCH, CLIP_MEAN, CLIP_STD
from .similarity import frame_consistency

if TYPE_CHECKING:
    from .clip import ClipEncoder

SIDE = 480


def loveu_scores(
    frames: Tensor, prompt: str, *, clip: ClipEncoder | None = None, pick: ClipEncoder | None = None
) -> dict[str, float]:
    """The scores of an edited video.

    Args:
        frames: `f h w 3` in [0, 1], two or more.
        prompt: what they should show.
        clip: CLIP ViT-L/14, for `loveu_frames` and `loveu_text`.
        pick: PickScore_v1, for `loveu_pick`.

    Raises:
        CheckpointError: the weights hold no scale.
        PromptError: the prompt is too long for the CLIP; PickScore's is cut, as in the script.
    """
    found: dict[str, float] = {}
    pictures = resize_pictures(frames) if clip or pick else []
    if clip is not None:
        embeddings = embed_pictures(clip, pictures)
        found["loveu_frames"] = float(frame_consistency(embeddings)) / 100
        found["loveu_text"] = scaled_cosine(clip, embeddings, clip.encode_text(prompt))
    if pick is not None:
        embeddings = embed_pictures(pick, pictures)
        found["loveu_pick"] = scaled_cosine(pick, embeddings, pick.encode_text(prompt, truncate=True))
    return found


def resize_pictures(frames: Tensor) -> list[Image.Image]:
    """Frames as 8-bit pictures of 480x480."""
    pixels = frames.detach().cpu().float().clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return [Image.fromarray(frame).resize((SIDE, SIDE)) for frame in cancellable(pixels)]


def embed_pictures(judge: ClipEncoder, pictures: list[Image.Image]) -> Tensor:
    """Embeddings `f d`, float32 on the CPU, of square pictures, which are prepared by Pillow."""
    size = judge.image_size
    parts = [pictures[first : first + BATCH] for first in range(0, len(pictures), BATCH)]
    return torch.cat([judge.encode_pixels(prepare(part, size)).float().cpu() for part in cancellable(parts)])


def prepare(pictures: list[Image.Image], size: int) -> Tensor:
    """Square pictures as CLIP was trained to see them, `f 3 size size`: bicubic and normalised."""
    small = [np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)) for picture in pictures]
    pixels = rearrange(torch.from_numpy(np.stack(small)).float() / 255, "f h w c -> f c h w")
    spread = [rearrange(pixels.new_tensor(values), "c -> c 1 1") for values in (CLIP_MEAN, CLIP_STD)]
    return (pixels - spread[0]) / spread[1]


def scaled_cosine(judge: ClipEncoder, embeddings: Tensor, text: Tensor) -> float:
    """The model's scale times the mean cosine of frames `f d` with a text `1 d`."""
    scale = float(judge.model.logit_scale)
    if math.isnan(scale):
        raise CheckpointError(
            got=f"{judge.path} without logit_scale",
            expected="a CLIP with the scale that it was trained with, by which the score is multiplied",
            mend="Get the whole model, as its authors published it.",
        )
    cosines = F.cosine_similarity(embeddings.double(), text.double(), dim=-1)
    return float(cosines.mean()) * math.exp(scale)
