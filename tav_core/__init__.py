"""Tune-A-Video: tune a text-to-image model on one clip, invert the clip, and render it again under another prompt.

    video file -> frames -> latents -> tune -> motion -> invert -> trajectory -> edit -> latents -> frames -> video

Names are imported when they are first used, so that `import tav_core` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from .version import __version__

HOMES = {
    "sampling.blend": ("blend", "slerp"),
    "checkpoints.load": ("Checkpoint", "load_checkpoint", "load_original_unet"),
    "denoisers.control": ("Control", "add_controls"),
    "denoisers.config": ("ControlConfig",),
    "checkpoints.control_nets": ("load_control", "load_controlnet", "load_t2i_adapter"),
    "denoisers.denoiser": ("Denoiser", "UNetDenoiser"),
    "tuning.early_stop": ("EarlyStop", "preview_score"),
    "sampling.edit": ("edit",),
    "sampling.edit_config": ("EditConfig",),
    "errors": ("TavError",),
    "sampling.free_noise": ("free_noise",),
    "sampling.injection": ("InjectedDenoiser",),
    "sampling.injection_config": ("InjectionConfig",),
    "sampling.invert": ("Trajectory", "invert"),
    "sampling.invert_config": ("InvertConfig",),
    "models.latents": ("LatentMoments", "decode_latents", "encode_frames"),
    "sampling.local_edit": ("composite", "edit_mask", "frame_ramp", "keep_outside"),
    "sampling.local_edit_config": ("LocalEditConfig",),
    "tuning.motion_info": ("MotionInfo",),
    "sampling.presets": ("PRESETS", "Preset"),
    "evaluation.preview": ("render_preview",),
    "evaluation.reconstruct": ("Reconstruction", "psnr", "reconstruct"),
    "evaluation.compare_inversions": ("MethodReport", "compare_methods"),
    "models.schedule": ("NoiseSchedule", "gaussian_noise"),
    "models.text": ("encode_prompt",),
    "tuning.tune": ("TuneProgress", "tune"),
    "tuning.config": ("TuneConfig",),
    "models.unet": ("InflatedUNet",),
    "video.clip": ("VideoClip", "read_clip", "write_video"),
    "tuning.motion": ("Motion", "import_original"),
    "denoisers.windows": ("ContextWindows", "WindowedDenoiser"),
}
NAMES = {name: home for home, names in HOMES.items() for name in names}

__all__ = ["__version__", *NAMES]


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{NAMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class LazyPackage(ModuleType):
    """A stage's module is named after its one function, and `tav_core.tuning.tune` means the function.

    The import system would put the module there, as soon as anything imports it.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if NAMES.get(name) == name and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = LazyPackage
