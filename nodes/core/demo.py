"""The bundled demo model as core's own objects, so that every stock node takes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import comfy.diffusers_convert
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from ...tav_core.errors import CheckpointError
from ...tav_core.video.clip import VideoClip, read_clip
from .build import build_model, sd15_config

HERE = Path(__file__).resolve().parents[2] / "demo"
MODEL = HERE / "creatures" / "model"
CLIP, MASK = HERE / "clip.mp4", HERE / "clip_mask.png"
NUM_FRAMES, SIZE = 8, 128
# ComfyUI's text model always has an embedding for each token of Stable Diffusion's vocabulary.
CORE_VOCABULARY = 49408
CORE_LEVELS = 4
TEXT_MODEL = "clip_l.transformer.text_model."
# The demo's UNet (64, 128, 192; attention on two levels) in ComfyUI's terms, one entry per ResNet.
UNET_CONFIG = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "channel_mult": [1, 2, 3],
    "num_res_blocks": [1, 1, 1],
    "transformer_depth": [1, 1, 0],
    "transformer_depth_output": [1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "context_dim": 128,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "legacy": False,
}


class DemoModels(NamedTuple):
    """MODEL, CLIP and VAE."""

    model: Any
    clip: Any
    vae: Any


class Width:
    """A factor that gives this width, whatever it is multiplied by.

    ComfyUI computes an autoencoder's widths as whole multiples of the first one, which the demo's widths are not.
    """

    def __init__(self, width: int) -> None:
        self.width = width

    def __rmul__(self, first: int) -> int:
        return self.width


def load_demo_clip() -> VideoClip:
    """The clip that comes with the pack."""
    return read_clip(CLIP, num_frames=NUM_FRAMES, width=SIZE, height=SIZE)


def load_demo_mask() -> Tensor:
    """Where its subject is, `f h w` in [0, 1]; the file has the frames side by side."""
    # Not by OpenCV, which opens no file in a folder with letters that Windows' code page lacks.
    with Image.open(MASK) as picture:
        strip = torch.from_numpy(np.array(picture.convert("L"))).float() / 255
    return rearrange(strip, "h (f w) -> f h w", f=NUM_FRAMES)


def load_demo() -> DemoModels:
    """The demo model from the files that come with the pack."""
    return DemoModels(load_unet(), load_text_encoder(MODEL), load_vae(MODEL / "vae"))


def read_part(part: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and weights of one part of a diffusers folder.

    Raises:
        CheckpointError: the pack's own files are not all there.
    """
    weights = next(part.glob("*.safetensors"), None)
    if weights is None or not (part / "config.json").exists():
        raise CheckpointError(
            got=f"no weights in {part}",
            expected="the files that come with the pack",
            mend="Install the pack again, all of it.",
        )
    return json.loads((part / "config.json").read_text()), comfy.utils.load_torch_file(str(weights))


def load_unet(*, disable_dynamic: bool = False) -> Any:
    """A MODEL: core's Stable Diffusion 1.x with the demo's sizes and latent scale."""
    config = sd15_config(UNET_CONFIG, scaling_factor=read_part(MODEL / "vae")[0]["scaling_factor"])
    model = build_model(config, read_part(MODEL / "unet")[1], MODEL, disable_dynamic=disable_dynamic)
    # How ComfyUI makes another copy of it, for TorchCompileModel and others.
    model.cached_patcher_init = (load_unet, ())
    return model


def load_text_encoder(folder: Path) -> Any:
    """A CLIP: core's text model with the sizes and the vocabulary of a demo model, a diffusers folder."""
    config, weights = read_part(folder / "text_encoder")
    ends = {"start": config["bos_token_id"], "end": config["eos_token_id"], "pad": config["eos_token_id"]}

    class Tokenizer(comfy.sd1_clip.SD1Tokenizer):
        def __init__(self, embedding_directory=None, tokenizer_data=None) -> None:
            super().__init__(embedding_directory=embedding_directory, tokenizer_data={}, tokenizer=tokenizer)

    def tokenizer(embedding_directory=None, tokenizer_data=None) -> Any:
        path, width = str(folder / "tokenizer"), config["hidden_size"]
        return comfy.sd1_clip.SDTokenizer(path, embedding_directory=embedding_directory, embedding_size=width)

    class TextModel(comfy.sd1_clip.SDClipModel):
        def __init__(self, device="cpu", dtype=None, model_options=None) -> None:
            sizes = {"textmodel_json_config": dict(config), "special_tokens": ends}
            super().__init__(device=device, dtype=dtype, return_projected_pooled=False, **sizes)

    class ClipModel(comfy.sd1_clip.SD1ClipModel):
        def __init__(self, device="cpu", dtype=None, model_options=None) -> None:
            super().__init__(device=device, dtype=dtype, model_options=model_options or {}, clip_model=TextModel)

    target = comfy.supported_models_base.ClipTarget(Tokenizer, ClipModel)
    # Given to the constructor, which may load the model to its device: weights that come later would be put back to
    # what was there before.
    return comfy.sd.CLIP(target, state_dict=text_weights(weights))


def text_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A text model's weights under ComfyUI's names, the vocabulary padded with zeros."""
    named = {f"{TEXT_MODEL}{name.removeprefix('text_model.')}": tensor for name, tensor in weights.items()}
    words = f"{TEXT_MODEL}embeddings.token_embedding.weight"
    room = named[words].new_zeros(CORE_VOCABULARY - len(named[words]), named[words].shape[1])
    return {**named, words: torch.cat([named[words], room])}


def load_vae(part: Path) -> Any:
    """A VAE: core's autoencoder with the widths of a demo model's, the folder of which is given."""
    config, weights = read_part(part)
    widths = config["block_out_channels"]
    sizes = {
        "double_z": True,
        "z_channels": config["latent_channels"],
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": widths[0],
        "ch_mult": [1, *map(Width, widths[1:])],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return comfy.sd.VAE(
        sd=vae_weights(weights, len(widths)),
        config={"params": {"ddconfig": sizes, "embed_dim": config["latent_channels"]}},
    )


def vae_weights(weights: dict[str, Tensor], levels: int) -> dict[str, Tensor]:
    """An autoencoder's weights under ComfyUI's names. ComfyUI's own renaming takes all autoencoders to have four
    levels, and counts the decoder's from there."""
    renamed = comfy.diffusers_convert.convert_vae_state_dict(weights)
    missing = CORE_LEVELS - levels
    return {
        re.sub(r"^decoder\.up\.(\d)", lambda up: f"decoder.up.{int(up[1]) - missing}", name): tensor
        for name, tensor in renamed.items()
    }
