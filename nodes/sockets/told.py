"""What Stable Diffusion XL is told besides the text: a pooled text and six sizes, under ComfyUI's names for them.

A CONDITIONING holds `pooled_output`, and the sizes only where a node says them, as CLIP Text Encode SDXL does. ComfyUI
takes the size of the latents where it does not; so does this pack, but a motion's own sizes come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...tav_core.checkpoints.ldm_configs import SIZE_EMBEDDING
from ...tav_core.errors import ConfigError
from ...tav_core.models.conditioning import NUM_SIZES, Conditioning, repeat_size_ids

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

# ComfyUI's names of the six sizes, in the order of `Conditioning.size_ids`.
SIZES = ("height", "width", "crop_h", "crop_w", "target_height", "target_width")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a MODEL is told besides the text.

    Args:
        pooled: the width of the pooled text; None for a MODEL that is told nothing.
        size: height and width of its pictures in pixels, for sizes that are said in part.
    """

    pooled: int | None
    size: tuple[int, int]

    @classmethod
    def of(cls, model: ModelPatcher, *, height: int, width: int) -> Told:
        """What a MODEL is told of pictures of a size in pixels."""
        return cls(pooled=pooled_width(model), size=(height, width))

    def add(self, context: Conditioning, extras: Mapping[str, Any], socket: str) -> Conditioning:
        """A text with the pooled text of its CONDITIONING, and with the sizes if that says any.

        Raises:
            ConfigError: there is no such pooled text, an image in its place, or sizes that are none.
        """
        if "unclip_conditioning" in extras:
            raise ConfigError(
                got=f"the embedding of an image at {socket}",
                expected="the text alone",
                mend="Connect the text from in front of unCLIPConditioning; use the image where the clip is sampled.",
            )
        pooled = extras.get("pooled_output")
        check_pooled(pooled, self.pooled, socket)
        sizes = said_sizes(extras, self.size)
        ids = None if sizes is None else repeat_size_ids(sizes, len(context), context.text.device)
        return replace(context, pooled_text=pooled[:1], size_ids=ids)


def pooled_width(model: ModelPatcher) -> int | None:
    """The width of the pooled text that a MODEL is told; None for 1.x and 2.x, which are told none."""
    added = model.model.model_config.unet_config.get("adm_in_channels") or 0
    return max(added - NUM_SIZES * SIZE_EMBEDDING, 0) or None


def said_sizes(extras: Mapping[str, Any], size: Sequence[int]) -> tuple[int, ...] | None:
    """The six sizes that a CONDITIONING says, completed as ComfyUI does; None if it says none.

    Args:
        size: height and width of the pictures, in pixels.
    """
    if not any(name in extras for name in SIZES):
        return None
    height, width = extras.get("height", size[0]), extras.get("width", size[1])
    crop = (extras.get("crop_h", 0), extras.get("crop_w", 0))
    return (height, width, *crop, extras.get("target_height", height), extras.get("target_width", width))


def check_pooled(pooled: Any, width: int | None, socket: str) -> None:
    """Checks that a pooled text is `b p`, of a width.

    Raises:
        ConfigError: it is missing, or of another family.
    """
    shape = tuple(pooled.shape) if isinstance(pooled, Tensor) else ()
    if len(shape) != 2 or 0 in shape or shape[1] != width:
        raise ConfigError(
            got=f"{f'a pooled text of shape {shape}' if shape else 'no pooled text'} at {socket}",
            expected=f"one of width {width}, which Stable Diffusion XL is told besides the text",
            mend="Use CLIP Text Encode with the CLIP of the same checkpoint; some nodes that save or join "
            "CONDITIONING lose its pooled_output.",
        )
