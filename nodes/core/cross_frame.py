"""Attention across frames on a core MODEL without a motion: its batches are videos, and nothing is tuned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...tav_core.errors import MotionError
from ...tav_core.models.inflation import FrameCount, recast
from .frame_attention import FrameAttention
from .inflation import block_paths, watch_frames
from .motion import looks_across_frames
from .unet import check_model, core_names

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def look_across_frames(model: ModelPatcher, *, attention: str, attention_k: int = 2) -> ModelPatcher:
    """A clone of a MODEL whose frames attend to each other; the MODEL itself is not changed.

    Args:
        model: Stable Diffusion 1.x, 2.x or XL, or InstructPix2Pix, with or without LoRAs.
        attention: which frames each frame attends to, one of `attention_modes.MODES`.
        attention_k: how far back "sparse_causal_k" also attends, in frames.

    Raises:
        CheckpointError: the model is of another family.
        MotionError: it has attention across frames already.
    """
    check_model(model, takes_pictures=True)
    check_is_plain(model)
    frames, patched = FrameCount(), model.clone()
    modes = {"attention": attention, "attention_k": attention_k}
    for path in block_paths(core_names(model)).values():
        # By way of the block: that of another clone, which may be loaded now, has an attention of its own.
        attn1 = model.get_model_object(path).attn1
        patched.add_object_patch(f"{path}.attn1", recast(attn1, FrameAttention, frames=frames, modes=modes))
    watch_frames(patched, frames)
    return patched


def check_is_plain(model: ModelPatcher) -> None:
    """Raises `MotionError` if a MODEL has attention across frames already."""
    if looks_across_frames(model):
        raise MotionError(
            got="a MODEL whose frames attend to each other already",
            expected="the MODEL of a checkpoint loader, with or without LoRAs",
            mend="Connect the loader; Apply Motion has an attention widget of its own.",
        )


def check_looks_across_frames(model: ModelPatcher) -> None:
    """Raises `MotionError` unless a MODEL's batches are videos."""
    if not looks_across_frames(model):
        raise MotionError(
            got="a MODEL whose frames do not see each other",
            expected="the MODEL of Cross-Frame Model or of Apply Motion",
            mend="Connect Cross-Frame Model in front of this node.",
        )
