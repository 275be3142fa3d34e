"""The sizes that Stable Diffusion XL is told on a core MODEL: those of a motion, where a CONDITIONING says none.

ComfyUI fills in the size of the latents once sampling has begun, so the motion's are put in before that, in every
sampler, into the copies of the prompts that each sampling makes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...tav_core.layouts import VAE_FACTOR
from ...tav_core.models.unet_inputs import picture_sizes
from ..sockets.told import SIZES, said_sizes

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.models.conditioning import Conditioning

KEY = "tune_a_video_sizes"


def tell_sizes(patched: ModelPatcher, sizes: Sequence[int]) -> None:
    """Makes a clone tell its UNet the sizes of a motion where a CONDITIONING says none; nothing if there are none.

    Args:
        sizes: in the order of `Conditioning.size_ids`.
    """
    if sizes:
        patched.model_options["transformer_options"][KEY] = tuple(sizes)
        patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, fill_in)


def sizes_of(options: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The sizes in ComfyUI's transformer_options of a MODEL with a motion; None if it has none."""
    return options.get(KEY)


def fill_in(executor: Callable, noise: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Wraps ComfyUI's sampling: completes the prompts, which are copies made for this run alone."""
    guider, size = executor.class_obj, [side * VAE_FACTOR for side in noise.shape[-2:]]
    sizes = guider.model_options["transformer_options"][KEY]
    for prompts in guider.conds.values():
        for prompt in prompts:
            said = said_sizes(prompt, size)
            if said is None:
                prompt.update(zip(SIZES, sizes, strict=True))
            elif said != sizes:
                logging.info(
                    "A prompt tells Stable Diffusion XL the sizes %s, and its motion was tuned at %s.", said, sizes
                )
    return executor(noise, *args, **kwargs)


def encode_told(model: Any, context: Conditioning, options: Mapping[str, Any], rows: Tensor) -> Tensor:
    """What core's SDXL makes of a pooled text and its sizes, `1 p`.

    Args:
        model: core's BaseModel.
        context: of one prompt; without sizes it is told those of the motion, else those of the latents.
        options: ComfyUI's transformer_options.
        rows: latents `f c h w`.
    """
    if context.size_ids is not None:
        sizes = context.size_ids[0].tolist()
    else:
        sizes = sizes_of(options) or picture_sizes(*(side * VAE_FACTOR for side in rows.shape[-2:]))
    return model.encode_adm(pooled_output=context.pooled_text, **dict(zip(SIZES, sizes, strict=True)))
