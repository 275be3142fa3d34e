"""Tune-A-Video: tune a text-to-image model on one clip, invert the clip, and render it again under another prompt.

    video file -> frames -> latents -> tune -> motion -> invert -> trajectory -> edit -> latents -> frames -> video

Names are imported when they are first used, so that `import tav_core` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .version import __version__

# The modules that the public names live in, in the order in which data passes them.
HOMES = {
    "errors": ("TavError",),
    "video.clip": ("VideoClip", "read_clip"),
    "video.write": ("write_video",),
    "models.schedule": ("NoiseSchedule", "gaussian_noise"),
    "models.latents": ("LatentMoments", "decode_latents", "encode_frames"),
    "models.conditioning": ("Conditioning",),
    "models.text": ("encode_prompt",),
    "models.unet": ("InflatedUNet",),
    "checkpoints.load": ("Checkpoint", "load_checkpoint", "load_original_unet"),
    "checkpoints.control_nets": ("load_control", "load_controlnet", "load_t2i_adapter"),
    "denoisers.config": ("ControlConfig",),
    "denoisers.denoiser": ("Denoiser", "UNetDenoiser"),
    "denoisers.control": ("Control", "add_controls"),
    "denoisers.windows": ("ContextWindows", "WindowedDenoiser"),
    "tuning.config": ("TuneConfig",),
    "tuning.progress": ("TuneProgress",),
    "tuning.tune": ("tune",),
    "tuning.early_stop": ("EarlyStop",),
    "tuning.motion_info": ("MotionInfo",),
    "tuning.motion": ("Motion", "import_original"),
    "sampling.config": ("EditConfig", "InjectionConfig", "InvertConfig", "LocalEditConfig"),
    "sampling.trajectory": ("Trajectory",),
    "sampling.invert": ("invert",),
    "sampling.edit": ("edit",),
    "sampling.blend": ("blend", "slerp"),
    "sampling.free_noise": ("free_noise",),
    "sampling.injection": ("InjectedDenoiser",),
    "sampling.local_edit": ("composite", "edit_mask", "frame_ramp", "keep_outside"),
    "sampling.presets": ("PRESETS", "Preset"),
    "evaluation.preview": ("preview_score", "render_preview"),
    "evaluation.reconstruct": ("Reconstruction", "psnr", "reconstruct"),
    "evaluation.compare_inversions": ("MethodReport", "compare_methods"),
}
NAMES = {name: home for home, names in HOMES.items() for name in names}

__all__ = ["__version__", *NAMES]


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{NAMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
