"""Tune-A-Video: tune a text-to-image model on one clip, invert the clip, and render it again under another prompt.

    video file -> frames -> latents -> tune -> motion -> invert -> trajectory -> edit -> latents -> frames -> video

The rooms, from the bottom up: video/ (files to frames and back), models/ (networks and attention), checkpoints/ (disk
to models), denoisers/ (noise prediction), metrics/ (scores), sampling/ (invert and edit), tuning/ (the training run),
evaluation/ (previews and reports), cli/ (the command line). Beside them lies what all share: errors.py, settings.py,
layouts.py (shapes of tensors), paths.py, atomic_files.py, tensor_files.py (safetensors), version.py,
cancelling.py (how a host ends long work).

Names are imported when they are first used, so that `import tav_core` costs nothing.
"""

from __future__ import annotations

from .lazy_names import names_on_use
from .version import __version__

# The public names by module, in the order in which data flows through them.
HOMES = {
    "errors": ("TavError",),
    "video.config": ("AnimateConfig", "CameraConfig", "ClipConfig", "ClipInfo"),
    "video.clip": ("VideoClip", "read_clip"),
    "video.write": ("write_video",),
    "video.watermark": ("mark_frames", "read_mark"),
    "video.edges": ("edges",),
    "video.animate": ("Animation", "animate"),
    "models.schedule": ("NoiseSchedule", "gaussian_noise"),
    "models.latents": ("LatentMoments", "decode_latents", "encode_frames"),
    "models.conditioning": ("Conditioning",),
    "models.text": ("encode_prompt",),
    "models.unet": ("InflatedUNet",),
    "models.lavie.inflate": ("inflate_base", "inflate_interpolation"),
    "models.lavie.schedules": ("lavie_schedule",),
    "models.lavie.upscaler": ("UpscalerUNet",),
    "checkpoints.load": ("Checkpoint", "load_checkpoint", "load_original_unet"),
    "checkpoints.lora": ("Lora", "apply_loras", "load_lora"),
    "checkpoints.lavie": ("LaVie", "convert_lavie", "load_lavie", "start_from"),
    "checkpoints.upscaler_parts": ("UpscalerParts", "load_upscaler_parts"),
    "checkpoints.control_nets": ("load_control", "load_controlnet", "load_t2i_adapter"),
    "denoisers.config": ("ControlConfig", "FlowConfig"),
    "denoisers.denoiser": ("Denoiser", "UNetDenoiser"),
    "denoisers.control": ("Control", "add_controls"),
    "denoisers.windows": ("ContextWindows", "WindowedDenoiser"),
    "denoisers.instruct": ("InstructDenoiser",),
    "denoisers.local_prompts": ("LocalPrompt",),
    "metrics.flow": ("FlowPair", "measure_flow"),
    "metrics.raft": ("load_raft",),
    "metrics.token_paths": ("token_paths",),
    "denoisers.flow_guided": ("FlowGuidedDenoiser",),
    "tuning.config": ("SEVERAL", "START", "TuneConfig"),
    "tuning.appearance": ("save_lora",),
    "tuning.clips_run": ("ClipToLearn", "ClipsMotion", "learn_start", "tune_clips"),
    "tuning.progress": ("TuneProgress", "TuneStart", "TuneWatcher", "VideoLayersProgress"),
    "tuning.tune": ("tune",),
    "tuning.early_stop": ("EarlyStop",),
    "tuning.video_layers.config": ("VideoLayersConfig",),
    "tuning.video_layers.captioned_latents": ("Captioned", "CaptionedLatents", "encode_folder"),
    "tuning.video_layers.train": ("train_video_layers",),
    "tuning.motion_info": ("MotionInfo",),
    "tuning.motion": ("Motion", "import_original"),
    "sampling.config": ("AnimationConfig", "EditConfig", "InjectionConfig", "InvertConfig", "LocalEditConfig"),
    "sampling.trajectory": ("Trajectory",),
    "sampling.invert": ("invert",),
    "sampling.edit": ("edit",),
    "sampling.blend": ("blend", "slerp"),
    "sampling.from_animation": ("edit_animation",),
    "sampling.stretch": ("stretch",),
    "sampling.free_noise": ("free_noise",),
    "sampling.injection": ("InjectedDenoiser",),
    "sampling.local_edit": ("composite", "edit_mask", "frame_ramp", "keep_outside"),
    "sampling.presets": ("PRESETS", "Preset"),
    "sampling.zero_shot.config": ("ZeroShotConfig",),
    "sampling.zero_shot.motion_field": ("MotionField",),
    "sampling.zero_shot.generate": ("generate",),
    "sampling.zero_shot.instruct_config": ("InstructConfig",),
    "sampling.zero_shot.instruct": ("encode_pictures", "instruct"),
    "sampling.lavie_config": ("InterpolateConfig", "TextToVideoConfig", "UpscaleConfig"),
    "sampling.text_to_video": ("text_to_video",),
    "sampling.interpolate": ("interpolate", "interpolated_length", "repeat_keys"),
    "sampling.keep_colors": ("keep_colors",),
    "sampling.upscale": ("upscale",),
    "evaluation.preview": ("preview_score", "render_preview"),
    "evaluation.reconstruct": ("Reconstruction", "psnr", "reconstruct"),
    "evaluation.compare_inversions": ("MethodReport", "compare_methods"),
}
__getattr__, NAMES = names_on_use(__name__, HOMES)
__all__ = ["__version__", *NAMES]


def __dir__() -> list[str]:
    return sorted(__all__)
