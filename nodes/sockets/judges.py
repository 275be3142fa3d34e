"""The weights that videos are measured with: ComfyUI's CLIP_VISION, or a CLIP or DINO in the user's model folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from comfy_api.latest import io
from torch import Tensor

from ...tav_core.errors import ConfigError
from .folders import is_folder, list_entries

if TYPE_CHECKING:
    from ...tav_core.metrics.clip import ClipEncoder
    from ...tav_core.metrics.dino import DinoEncoder

# The first choice of each list.
NONE = "none"
# Where CLIP and DINO may be kept. Single files are looked for in the first folder only.
FOLDERS = ("clip_vision", "diffusers")
CLIP_TYPES, DINO_TYPES = ("clip", "clip_vision_model"), ("vit",)


class CoreClipVision:
    """ComfyUI's CLIP_VISION as an image encoder.

    Args:
        clip_vision: the model; it is not changed.
    """

    def __init__(self, clip_vision: Any) -> None:
        self.clip_vision = clip_vision

    def encode_images(self, frames: Tensor) -> Tensor:
        """Image embeddings `f d`, float32 on the CPU. ComfyUI resizes and crops the frames as CLIP does."""
        from ...tav_core.metrics.images import encode_in_batches

        return encode_in_batches(lambda part: self.clip_vision.encode_image(part)["image_embeds"], frames)


def clip_input() -> io.Combo.Input:
    """The widget that chooses a CLIP."""
    return io.Combo.Input(
        "clip_model",
        options=list_clips(),
        default=NONE,
        tooltip=(
            "A complete CLIP, with text and image encoders: a transformers folder in models/clip_vision or "
            "models/diffusers, or a .safetensors file in models/clip_vision."
        ),
    )


def list_clips() -> list[str]:
    """The CLIPs that can be chosen: folders in transformers' format, and single files."""
    return [NONE, *list_folders(CLIP_TYPES), *(f"{FOLDERS[0]}/{name}" for name in list_files())]


def list_dinos() -> list[str]:
    """The DINOs that can be chosen: folders in transformers' format."""
    return [NONE, *list_folders(DINO_TYPES)]


def list_files() -> list[str]:
    """The single weight files in models/clip_vision and its subfolders."""
    return [name for name in folder_paths.get_filename_list(FOLDERS[0]) if name.endswith(".safetensors")]


def list_folders(types: tuple[str, ...]) -> list[str]:
    """Folders in which transformers saved a model of these types, as "models folder/name"."""
    return [f"{kind}/{path.name}" for kind, path in model_folders() if model_type(path) in types]


def model_folders() -> list[tuple[str, Path]]:
    """Every folder that may hold a model, with the name of the models folder that it is in."""
    roots = [(kind, Path(root)) for kind in FOLDERS for root in folder_paths.get_folder_paths(kind)]
    return [(kind, path) for kind, root in roots for path in list_entries(root) if is_folder(path)]


def model_type(folder: Path) -> str:
    """The model type that config.json names; "" if it cannot be read or names none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def find_weights(choice: str) -> Path:
    """The path behind a choice of the lists.

    Raises:
        ConfigError: the weights have gone, or the name leads elsewhere.
    """
    kind, _, name = choice.partition("/")
    for own, path in model_folders():
        if (own, path.name) == (kind, name):
            return path
    found = folder_paths.get_full_path(kind, name) if kind == FOLDERS[0] and name in list_files() else None
    if found is None:
        raise ConfigError(
            got=f"the weights {choice!r}",
            expected="a folder or file in models/clip_vision or models/diffusers",
            mend="Put the weights there, press R to refresh the list, and choose them.",
        )
    return Path(found)


def load_judges(clip: str, dino: str) -> tuple[ClipEncoder | None, DinoEncoder | None]:
    """Loads the chosen CLIP and DINO on the device where ComfyUI runs its own text encoders."""
    import comfy.model_management

    from ...tav_core.metrics.clip import load_clip_model
    from ...tav_core.metrics.dino import load_dino_model

    device = comfy.model_management.text_encoder_device()
    return (
        None if clip == NONE else load_clip_model(find_weights(clip), device=device),
        None if dino == NONE else load_dino_model(find_weights(dino), device=device),
    )
