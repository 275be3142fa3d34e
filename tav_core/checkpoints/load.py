"""Loads Stable Diffusion 1.x, 2.x and XL checkpoints offline: no model hub is ever contacted.

The public entry is `load_checkpoint`. Folders are read by diffusers_folder.py, single files by single_file.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..errors import CheckpointError, ConfigError
from ..models.conditioning import NUM_SIZES
from ..models.families import OPEN_CLIP_PAD, find_family, name_architecture
from ..models.schedule import PREDICTION_TYPES, NoiseSchedule
from ..paths import check_input_path
from .build import Parts
from .diffusers_folder import load_folder, load_original_unet
from .single_file import load_single_file
from .tokenizer import CLIP_TOKENIZER, has_tokenizer, load_tokenizer

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

__all__ = ["Checkpoint", "load_checkpoint", "load_original_unet"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A frozen text-to-image model: none of its weights takes gradients.

    Args:
        unet: the 2-D UNet.
        vae: the autoencoder between frames and latents.
        text_encoder: turns prompts into the embeddings that the UNet attends to.
        tokenizer: splits prompts for the text encoder.
        schedule: the alphas, and what the UNet predicts.
        architecture: a name for messages: "sd1", "sd2", or with its widths if they are not the official ones.
        path: where it was loaded from.
        text_encoder_2, tokenizer_2: of Stable Diffusion XL, whose UNet attends to both encoders' embeddings side by
            side, and is told the second's pooled one; None in all others.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    schedule: NoiseSchedule
    architecture: str
    path: Path
    text_encoder_2: CLIPTextModelWithProjection | None = None
    tokenizer_2: CLIPTokenizer | None = None

    @property
    def takes_pictures(self) -> bool:
        """Whether it is InstructPix2Pix's, whose UNet sees a picture beside the latents: for `instruct` alone."""
        return self.unet.config.in_channels == 2 * self.vae.config.latent_channels


@torch.inference_mode(False)
def load_checkpoint(
    path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    prediction_type: str | None = None,
    tokenizer: str | Path | None = None,
    vae: str | Path | None = None,
) -> Checkpoint:
    """Loads a Stable Diffusion 1.x, 2.x or XL checkpoint from the disk.

    Args:
        path: a diffusers folder (unet, vae, text_encoder, tokenizer, scheduler; for XL also text_encoder_2 and, if its
            vocabulary is another, tokenizer_2), a pipeline that the original
            Tune-A-Video saved (its temporal blocks are left out: read them with `load_original_unet`), or a single
            file: .safetensors, or .ckpt, .pt, .bin as long as they hold nothing but tensors.
        dtype: of all weights.
        device: of all weights.
        prediction_type: "epsilon" or "v_prediction"; needed only if the checkpoint does not state it, or states it
            wrongly. A folder states it. For a single file, the first of these that says something holds: this argument;
            the YAML of the same name beside it; the tensor `v_pred` in it; its metadata; and a guess, by which 1.x is
            epsilon, and 2.x is told from the spread of one bias, as in ComfyUI. prediction.py has the details.
        tokenizer: a folder with vocab.json and merges.txt. Default: the checkpoint folder's own, or for a single file
            the CLIP vocabulary that comes with this library.
        vae: a VAE to use instead of the checkpoint's own, or for a checkpoint without one: a single file, in LDM's or
            diffusers' layout, or a folder.

    Raises:
        CheckpointError: there is nothing at `path`; or it is damaged, would run code, has parts that do not belong
            together, or is of another family.
        ConfigError: the prediction type is unknown.
    """
    path = check_input_path(path, CheckpointError)
    vae = check_input_path(vae, CheckpointError) if vae else None
    _check_arguments(path, prediction_type, vae)
    if path.is_dir():
        parts = load_folder(path, dtype=dtype, device=device, vae=vae)
    else:
        parts = load_single_file(path, dtype=dtype, device=device, prediction_type=prediction_type, vae=vae)
    override = {"prediction_type": prediction_type} if prediction_type else {}
    checkpoint = Checkpoint(
        unet=parts.unet,
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        text_encoder_2=parts.text_encoder_2,
        tokenizer=_load_tokenizer(path, tokenizer, parts),
        tokenizer_2=_load_second_tokenizer(path, tokenizer, parts),
        schedule=NoiseSchedule.from_config({**parts.scheduler_config, **override}),
        architecture=name_architecture(parts.unet.config),
        path=path,
    )
    _check_parts(checkpoint)
    return checkpoint


def _check_arguments(path: Path, prediction_type: str | None, vae: Path | None) -> None:
    if prediction_type is not None and prediction_type not in PREDICTION_TYPES:
        raise ConfigError(
            got=f"prediction_type {prediction_type!r}",
            expected=f"one of {', '.join(PREDICTION_TYPES)}, or None",
            mend="Leave it out to use what the checkpoint says.",
        )
    if not path.exists():
        raise CheckpointError(
            got=f"{path}, no such file or folder",
            expected="a checkpoint on this machine: a diffusers folder or a single file",
            mend="Check the path. Names on a model hub do not work: download the model first.",
        )
    if vae and not vae.exists():
        raise CheckpointError(
            got=f"{vae}, no such file or folder", expected="a VAE on this machine", mend="Check the path of the VAE."
        )


def _load_tokenizer(path: Path, given: str | Path | None, parts: Parts) -> CLIPTokenizer:
    folder = path / "tokenizer" if path.is_dir() else CLIP_TOKENIZER
    folder = check_input_path(given, CheckpointError) if given else folder
    text, pad_token = parts.text_encoder.config, find_family(parts.unet.config).pad_token
    settings = {"model_max_length": text.max_position_embeddings}
    if folder == CLIP_TOKENIZER and pad_token:
        settings["pad_token"] = pad_token
    return load_tokenizer(folder, vocab_size=text.vocab_size, **settings)


def _load_second_tokenizer(path: Path, given: str | Path | None, parts: Parts) -> CLIPTokenizer | None:
    """The second text encoder's tokenizer: the folder's own, else the first's vocabulary with OpenCLIP's padding."""
    if parts.text_encoder_2 is None:
        return None
    text, own = parts.text_encoder_2.config, path / "tokenizer_2"
    settings = {"model_max_length": text.max_position_embeddings}
    if has_tokenizer(own) and not given:
        return load_tokenizer(own, vocab_size=text.vocab_size, **settings)
    first = path / "tokenizer" if path.is_dir() else CLIP_TOKENIZER
    folder = check_input_path(given, CheckpointError) if given else first
    return load_tokenizer(folder, vocab_size=text.vocab_size, pad_token=OPEN_CLIP_PAD, **settings)


def _check_parts(checkpoint: Checkpoint) -> None:
    """Refuses parts of different models, which would fail later with an obscure error, or give noise."""
    unet, text, vae = checkpoint.unet.config, checkpoint.text_encoder.config, checkpoint.vae.config
    second = checkpoint.text_encoder_2.config if checkpoint.text_encoder_2 else None
    width = text.hidden_size + (second.hidden_size if second else 0)
    sizes = NUM_SIZES * (unet.addition_time_embed_dim or 0)
    pooled = (unet.projection_class_embeddings_input_dim or sizes) - sizes
    pairs = (
        (unet.cross_attention_dim, width, "a UNet for text embeddings of width {}, a text encoder of {}"),
        (pooled, second.projection_dim if second else 0, "a UNet for a pooled text of width {}, a text encoder of {}"),
        (unet.out_channels, vae.latent_channels, "a UNet for latents of {} channels, a VAE of {}"),
    )
    mend = "Choose another checkpoint; this one was put together from parts of different models."
    for wanted, found, what in pairs:
        if wanted != found:
            raise CheckpointError(
                got=f"{what.format(wanted, found)}: {checkpoint.path}", expected="the same in both", mend=mend
            )
