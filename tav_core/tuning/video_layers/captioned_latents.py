"""What a training learns from: clips and pictures with captions, encoded once and kept in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from ...cancelling import cancellable
from ...errors import ConfigError, InputError
from ...models.latents import LatentMoments, encode_frames
from ...models.precision import resolve_precision
from ...models.text import TextModel, encode_prompt
from ...video.clip import read_clip
from ...video.config import VIDEO_ENDINGS, ClipConfig
from ...video.image_files import read_picture
from ...video.sizes import fit_image
from .captioned_folder import Example, find_examples
from .config import VideoLayersConfig

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

# How many files a refusal names.
NAMED = 100


class EncodingParts(TextModel, Protocol):
    """What encodes frames and captions: a `Checkpoint`, or anything else with these attributes."""

    @property
    def vae(self) -> AutoencoderKL:
        """The autoencoder between frames and latents."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Captioned:
    """A clip or a picture, encoded.

    Args:
        latents: moments `1 c f h w`; f is 1 for a picture.
        text: its caption's embeddings, `1 m d`.
        name, caption: which one it is, by which a resumed run knows its data.
    """

    latents: LatentMoments
    text: Tensor
    name: str = ""
    caption: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class CaptionedLatents:
    """Encoded clips and pictures to learn from.

    Args:
        clips, pictures: all of one size, and all clips of one length; there may be no pictures.
        no_text: the embeddings of "", `1 m d`.
    """

    clips: Sequence[Captioned]
    pictures: Sequence[Captioned]
    no_text: Tensor


@torch.inference_mode(False)
def encode_folder(
    parts: EncodingParts,
    folder: str | Path,
    *,
    config: VideoLayersConfig | None = None,
    on_read: Callable[[int, int], None] | None = None,
    long_prompts: bool = False,
) -> CaptionedLatents:
    """Reads and encodes the clips and pictures of a folder, see captioned_folder.py for what it holds.

    Of each clip the first `num_frames` frames at the stride are taken. Frames and pictures are cropped to the size.
    Captions are plain text: parentheses weigh nothing. All is kept on the CPU, in bf16 where the precision is half.

    Args:
        parts: VAE, text encoder and tokenizer, as `load_checkpoint` gives them.
        config: frames, stride and size; without `images_per_clip`, pictures are not read.
        on_read: called after each example with (how many are done, how many there are).
        long_prompts: whether captions may have more than 75 tokens; texts then differ in length.

    Raises:
        ConfigError: examples lack a caption or have one that is too long, clips are too short, files cannot be read:
            all are named at once. Or there is no clip, or no picture where the config asks for some.
    """
    config = config or VideoLayersConfig()
    examples, problems = find_examples(folder, pictures=config.images_per_clip > 0)
    encoder, found = Encoder(parts, config, long_prompts), []
    for done, example in enumerate(cancellable(examples), 1):
        try:
            found.append((example, encoder.encode(example, only_read=bool(problems))))
        except InputError as error:
            problems.append(f"{example.name}: {error.got}")
        if on_read is not None:
            on_read(done, len(examples))
    if problems:
        raise unusable(folder, problems, config)
    clips = [one for example, one in found if one and example.is_clip]
    pictures = [one for example, one in found if one and not example.is_clip]
    check_counts(str(folder), len(clips), len(pictures), config)
    return CaptionedLatents(clips=clips, pictures=pictures, no_text=encoder.text(""))


class Encoder:
    """Encodes examples; a caption that several have is encoded once."""

    def __init__(self, parts: EncodingParts, config: VideoLayersConfig, long_prompts: bool) -> None:
        self.parts, self.config, self.long_prompts, self.texts = parts, config, long_prompts, dict[str, Tensor]()
        precision = resolve_precision(config.precision, parts.vae.device, torch.float32)
        self.dtype = torch.float32 if precision == torch.float32 else torch.bfloat16

    def encode(self, example: Example, *, only_read: bool) -> Captioned | None:
        """An example in latents and text; None if it is only to be read, to find out whether it can be."""
        frames, text = self.frames(example), self.text(example.caption)
        if only_read:
            return None
        moments = encode_frames(self.parts.vae, frames)
        latents = LatentMoments(mean=self.keep(moments.mean), std=self.keep(moments.std))
        return Captioned(latents=latents, text=text, name=example.name, caption=example.caption)

    def frames(self, example: Example) -> Tensor:
        """The frames of a clip, or a picture as one, `f h w c` in [0, 1]."""
        config = self.config
        if example.is_clip:
            names = ("num_frames", "stride", "width", "height")
            return read_clip(example.path, ClipConfig(**{name: getattr(config, name) for name in names})).frames
        fitted = fit_image(read_picture(example.path), config.width, config.height)
        return torch.from_numpy(np.array(fitted, dtype=np.float32) / 255)[None]

    def text(self, caption: str) -> Tensor:
        """The embeddings of a caption, `1 m d`."""
        if caption not in self.texts:
            told = encode_prompt(self.parts, without_weights(caption), long_prompts=self.long_prompts)
            self.texts[caption] = self.keep(told.text)
        return self.texts[caption]

    def keep(self, tensor: Tensor) -> Tensor:
        return tensor.detach().to("cpu", self.dtype)


def without_weights(caption: str) -> str:
    """A caption as a prompt in which parentheses are parentheses, and weigh nothing."""
    return re.sub(r"[()]", r"\\\g<0>", caption)


def unusable(folder: str | Path, problems: Sequence[str], config: VideoLayersConfig) -> ConfigError:
    """The refusal of all examples that cannot be learnt from."""
    more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    needed = (config.num_frames - 1) * config.stride + 1
    return ConfigError(
        got=f"{len(problems)} problems in {folder}: {'; '.join(problems[:NAMED])}{more}",
        expected=f"clips of {needed} frames or more and pictures, undamaged, each with a caption in NAME.txt",
        mend="Repair these files or take them away, or lower num_frames or the stride; no step was taken.",
    )


def check_counts(where: str, clips: int, pictures: int, config: VideoLayersConfig) -> None:
    """Raises `ConfigError` if there is nothing to learn from, or no picture where some are to follow each clip."""
    if not clips:
        raise ConfigError(
            got=f"no clip in {where}",
            expected=f"a folder of pictures, or a video ({', '.join(VIDEO_ENDINGS)}), beside its caption",
            mend="Add clips: pictures alone teach no motion.",
        )
    if config.images_per_clip and not pictures:
        raise ConfigError(
            got=f"no picture in {where}, and images_per_clip {config.images_per_clip}",
            expected="pictures beside their captions, or images_per_clip 0",
            mend="Add pictures, or set images_per_clip to 0 to learn from video alone.",
        )


def check_examples(data: CaptionedLatents, *, width: int) -> None:
    """Raises `ConfigError` unless examples have one size, clips one length, and texts one of the model's width."""
    shapes = {tuple(one.latents.mean.shape) for one in data.clips}
    stills = {(*shape[:2], 1, *shape[3:]) for shape in shapes}
    if len(shapes) > 1 or {tuple(one.latents.mean.shape) for one in data.pictures} - stills:
        raise ConfigError(
            got="clips and pictures of different sizes or lengths",
            expected="one length of all clips, and one size of all",
            mend="Encode them with encode_folder, which brings them to one size.",
        )
    texts = {tuple(text.shape) for text in (data.no_text, *(one.text for one in (*data.clips, *data.pictures)))}
    if len(texts) > 1 or next(iter(texts))[-1] != width:
        raise ConfigError(
            got=f"text embeddings of shapes {', '.join(map(str, sorted(texts)))}",
            expected=f"1 m {width}, with as many tokens m for all captions and no caption",
            mend="Encode them with the VAE and text encoder of a Stable Diffusion 1.x checkpoint.",
        )
