"""CLIP as a judge: embeddings of frames and prompts, with weights that the user provides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ..checkpoints.tokenizer import CLIP_TOKENIZER, has_tokenizer, load_tokenizer
from ..checkpoints.transformers_folder import load_pretrained, read_model_type
from ..errors import CheckpointError, InputError, PromptError
from ..prompts import plain_text
from .images import CLIP_MEAN, CLIP_STD, encode_in_batches, prepare_images

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer, CLIPVisionModelWithProjection


class ImageEncoder(Protocol):
    """Anything that gives one embedding per frame: `f h w 3` in [0, 1] to `f d` float32 on the CPU."""

    def encode_images(self, frames: Tensor) -> Tensor: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipEncoder:
    """A frozen CLIP model.

    Args:
        model: a CLIP with both towers, or its image tower alone.
        tokenizer: for prompts; None if there is no text tower.
        path: where it was loaded from.
    """

    model: CLIPModel | CLIPVisionModelWithProjection
    tokenizer: CLIPTokenizer | None
    path: Path

    @torch.no_grad()
    def encode_images(self, frames: Tensor) -> Tensor:
        """Image embeddings `f d`, not normalised, float32 on the CPU, of frames `f h w 3` in [0, 1]."""
        size, device = self.image_size, self.model.visual_projection.weight.device

        def encode(part: Tensor) -> Tensor:
            pixels = prepare_images(part.to(device), resize=size, crop=size, mean=CLIP_MEAN, std=CLIP_STD)
            return self.encode_pixels(pixels)

        return encode_in_batches(encode, frames)

    @property
    def image_size(self) -> int:
        """Side of the pictures that it sees."""
        return int(self.model.vision_model.config.image_size)

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Image embeddings `f d`, not normalised, on the model's device, of prepared pixels `f 3 h w`."""
        pixels = pixels.to(self.model.visual_projection.weight.device)
        return self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output)

    @torch.no_grad()
    def encode_text(self, prompt: str, *, truncate: bool = False) -> Tensor:
        """The text embedding `1 d`, not normalised, float32 on the CPU.

        Args:
            truncate: cuts a prompt that is too long, and does not refuse it.

        Raises:
            InputError: this CLIP has no text tower.
            PromptError: the prompt has more tokens than this CLIP takes, or is not text.
        """
        if self.tokenizer is None:
            raise InputError(
                got=f"a prompt, and a CLIP without a text tower: {self.path}",
                expected="a CLIP with both towers, for the text score",
                mend="Give a complete CLIP, as a transformers folder or a file, or leave the prompt out.",
            )
        tokens = self.tokenizer(plain_text(prompt), verbose=False).input_ids
        limit = self.model.text_model.config.max_position_embeddings
        if truncate:
            tokens = [*tokens[: limit - 1], tokens[-1]] if len(tokens) > limit else tokens
        if len(tokens) > limit:
            raise PromptError(
                got=f"a prompt of {len(tokens) - 2} tokens, not counting start and end",
                expected=f"at most {limit - 2}",
                mend="Shorten the prompt.",
            )
        # No padding: the embedding is read at <|endoftext|>, which does not attend to what follows it.
        projection = self.model.text_projection
        row = torch.tensor([tokens], device=projection.weight.device)
        return projection(self.model.text_model(input_ids=row).pooler_output).cpu()


# ComfyUI runs its nodes in inference mode, in which loaded weights cannot become parameters.
@torch.inference_mode(False)
def load_clip_model(path: str | Path, *, device: torch.device | str = "cpu") -> ClipEncoder:
    """Loads a CLIP from the disk.

    Args:
        path: a folder that transformers saved (a CLIPModel, or a CLIPVisionModelWithProjection for images alone), or
            one file of weights under transformers' or OpenAI's names, as ComfyUI's models/clip_vision holds them.
        device: where the weights go; they are float32.

    Raises:
        CheckpointError: there is nothing at `path`, it is damaged, or it is not a CLIP.
    """
    from transformers import CLIPModel, CLIPVisionModelWithProjection

    path = Path(path).expanduser()
    if path.is_file():
        model = clip_model_from_file(path)
    else:
        kinds = {"clip": CLIPModel, "clip_vision_model": CLIPVisionModelWithProjection}
        kind = read_model_type(path)
        if kind not in kinds:
            raise CheckpointError(
                got=f"{path}, a model of type {kind or '(none)'}",
                expected="a CLIP: the model_type clip or clip_vision_model in its config.json",
                mend="Give the folder of a complete CLIP. A checkpoint's text_encoder alone cannot read images.",
            )
        model = load_pretrained(kinds[kind], path, optional=("logit_scale",))
    whole = isinstance(model, CLIPModel)
    # A single file holds no vocabulary, and few folders have another than CLIP's.
    folder = path if has_tokenizer(path) else CLIP_TOKENIZER
    tokenizer = load_tokenizer(folder, vocab_size=model.text_model.config.vocab_size) if whole else None
    return ClipEncoder(model=model.to(device), tokenizer=tokenizer, path=path)


def clip_model_from_file(path: Path) -> Any:
    """A CLIP from one file, its config inferred from the shapes; see `load_clip_model`."""
    from transformers import CLIPModel, CLIPVisionModelWithProjection

    from ..checkpoints.clip_weights import clip_config, read_clip_weights

    tensors = read_clip_weights(path)
    config = clip_config(tensors, path)
    model_class = CLIPVisionModelWithProjection if config.model_type == "clip_vision_model" else CLIPModel
    return load_pretrained(model_class, path, config=config, tensors=tensors, optional=("logit_scale",))
